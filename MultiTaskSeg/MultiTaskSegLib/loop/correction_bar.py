"""The buttons that lead from an uncertain region into an editor, and tick the region off."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slicer.i18n import tr as _

from MultiTaskSegLib.correction.corrected_segment import corrected_segments
from MultiTaskSegLib.correction.correcting import correct
from MultiTaskSegLib.correction.editing_tool import SEGMENT_EDITOR, present_tools
from MultiTaskSegLib.panel.element.choice_list import ChoiceList
from MultiTaskSegLib.panel.result_view import ResultView
from MultiTaskSegLib.runtime.errors import MtsError


class CorrectionBar:
    """Belongs to the result that is shown."""

    def __init__(self, ui: Any, result: ResultView, failed: Callable[[str], object]) -> None:
        """Take over the widgets.

        Args:
            ui: of the panel, with ``correctButton``, ``correctToolComboBox``, ``regionDoneButton`` and
                ``worklistLabel``.
            result: what is shown.
            failed: is told in words what could not be done.
        """
        self.ui, self._result, self._failed = ui, result, failed
        self._tool = SEGMENT_EDITOR
        self._tools = ChoiceList(ui.correctToolComboBox, lambda tool: setattr(self, "_tool", tool))
        ui.correctButton.connect("clicked(bool)", self.correct)
        ui.regionDoneButton.connect("clicked(bool)", self.tick_off)
        ui.segmentTableWidget.connect("itemSelectionChanged()", self.show)
        result.region_shown = self.show
        self.show()

    def show(self) -> None:
        """Bring the widgets up to date."""
        ui, result = self.ui, self._result
        has_result = result.segmentation is not None
        for widget in (ui.correctButton, ui.regionDoneButton, ui.worklistLabel):
            widget.visible = has_result
        tools = present_tools() if has_result else []
        if tools:
            self._tool = self._tools.offer([(tool.module, tool.title) for tool in tools], self._tool)
        ui.correctToolComboBox.visible = len(tools) > 1
        ui.correctButton.enabled = bool(tools) and (result.region is not None or result.selected_segment is not None)
        work = result.worklist
        ui.regionDoneButton.enabled = result.region is not None
        ui.regionDoneButton.checked = work is not None and result.region is not None and work.is_done(result.region)
        ui.worklistLabel.text = self._work_text()

    def correct(self, _checked: bool = False) -> None:
        """Open the editor that is chosen, at the region that is shown or the structure that is selected."""
        result = self._result
        try:
            correct(result.segmentation, result.selected_segment, result.region, self._tool)
        except MtsError as error:
            self._failed(str(error))

    def tick_off(self, checked: bool = False) -> None:
        """Mark the region that is shown as done and go on, or take that back."""
        work, region = self._result.worklist, self._result.region
        if work is not None and region is not None:
            work.set_done(region, checked)
            if checked and work.left:
                self._result.show_next_region()
        self.show()

    def _work_text(self) -> str:
        result, parts = self._result, []
        if result.worklist is not None and result.worklist.regions:
            done, left = result.worklist.done_count, len(result.worklist.left)
            parts.append(_("{done} done, {left} left").format(done=done, left=left))
        if result.segmentation is not None and (corrected := corrected_segments(result.segmentation)):
            parts.append(_("{count} corrected").format(count=len(corrected)))
        return ", ".join(parts)
