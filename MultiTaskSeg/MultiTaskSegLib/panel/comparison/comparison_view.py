"""The choice of a reference, the button that compares, and the one that shows where both differ."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer
from slicer.i18n import tr as _

from MultiTaskSegLib.runtime.errors import MtsError
from MultiTaskSegLib.scene.comparison.reference import add_difference, compare
from MultiTaskSegLib.scene.earlier_result import TABLE_ROLE


class ComparisonView:
    """Compares the shown result with the segmentation that is selected beside it."""

    def __init__(self, ui: Any, changed: Callable[[], object], selected: Callable[[], str]) -> None:
        """Take over the widgets.

        Args:
            ui: of the panel.
            changed: is called when the table of the result has other columns.
            selected: the segment whose row is selected; empty without one.
        """
        self._ui, self._changed, self._selected = ui, changed, selected
        self._segmentation: Any = None
        ui.referenceSelector.connect("currentNodeChanged(vtkMRMLNode*)", lambda _node: self._update())
        ui.compareButton.connect("clicked(bool)", self.compare)
        ui.differenceButton.connect("clicked(bool)", self.show_difference)

    def show(self, segmentation: slicer.vtkMRMLSegmentationNode | None) -> None:
        """Offer to compare a result; what is no result, or has lost its table, cannot be."""
        self._segmentation = segmentation
        self._ui.comparisonLabel.text = ""
        self._update()

    def compare(self, _checked: bool = False) -> None:
        """Put Dice, HD95 and surface Dice of each structure into the table."""
        found = self._try(lambda: compare(self._segmentation, self._ui.referenceSelector.currentNode()))
        if found is not None:
            text = _("{count} structures have the same name in both.").format(count=len(found))
            self._ui.comparisonLabel.text = text
            self._changed()

    def show_difference(self, _checked: bool = False) -> None:
        """Add a segmentation of where the selected structure, or the first one, is in one of both alone."""
        segment_id = self._selected() or self._segmentation.GetSegmentation().GetNthSegmentID(0)
        reference = self._ui.referenceSelector.currentNode()
        node = self._try(lambda: add_difference(self._segmentation, reference, segment_id))
        if node is not None:
            self._ui.comparisonLabel.text = _("Added: {name}").format(name=node.GetName())

    def _try(self, act: Callable[[], Any]) -> Any:
        try:
            return act()
        except MtsError as error:
            self._ui.comparisonLabel.text = str(error)
            return None

    def _update(self) -> None:
        reference = self._ui.referenceSelector.currentNode()
        has_table = self._segmentation is not None and self._segmentation.GetNodeReference(TABLE_ROLE) is not None
        can_compare = has_table and reference is not None and reference is not self._segmentation
        for button in (self._ui.compareButton, self._ui.differenceButton):
            button.enabled = can_compare
