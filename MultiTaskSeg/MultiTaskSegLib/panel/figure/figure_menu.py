"""A menu with a tick for each measurement of Segment Statistics, and the table as a file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from MultiTaskSegLib.runtime.errors import MtsError
from MultiTaskSegLib.scene.earlier_result import TABLE_ROLE
from MultiTaskSegLib.scene.figure.figure_columns import chosen_figures, set_figures, write_figures
from MultiTaskSegLib.scene.figure.measurement import measurements


class FigureMenu:
    """Fills the menu of a button and keeps its ticks and the columns of the shown result the same."""

    def __init__(self, button: Any, changed: Callable[[], object], fail: Callable[[str], object]) -> None:
        """Take over the button.

        Args:
            button: a ``QPushButton``.
            changed: is called when the table of the result has other columns.
            fail: is told in words what could not be done.
        """
        self._button, self._changed, self._fail = button, changed, fail
        self._segmentation: Any = None
        self.menu = qt.QMenu(button)
        self._actions = {one.column: self.menu.addAction(one.column) for one in measurements()}
        for action in self._actions.values():
            action.setCheckable(True)
        self.menu.addSeparator()
        self._export = self.menu.addAction(_("Save the table as CSV..."))
        button.setMenu(self.menu)
        self.menu.connect("triggered(QAction*)", self._on_triggered)

    def show(self, segmentation: slicer.vtkMRMLSegmentationNode | None) -> None:
        """Show what is chosen for a result; without one, or without its table, there is nothing to choose."""
        self._segmentation = segmentation
        has_table = segmentation is not None and segmentation.GetNodeReference(TABLE_ROLE) is not None
        self._button.visible = has_table
        chosen = chosen_figures(segmentation) if has_table else []
        for column, action in self._actions.items():
            action.setChecked(column in chosen)

    def save(self, path: str) -> None:
        """Write the table of the result to a file."""
        try:
            write_figures(self._segmentation, path)
        except MtsError as error:
            self._fail(str(error))

    def _on_triggered(self, action: Any) -> None:
        if action == self._export:
            path = qt.QFileDialog.getSaveFileName(self._button, _("Save the table"), "", "CSV (*.csv)")
            if path:
                self.save(path)
            return
        columns = [column for column, own in self._actions.items() if own.property("checked")]
        try:
            set_figures(self._segmentation, columns)
        except MtsError as error:
            self._fail(str(error))
        self.show(self._segmentation)
        self._changed()
