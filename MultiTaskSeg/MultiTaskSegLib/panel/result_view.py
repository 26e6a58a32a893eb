"""The part of the panel that shows one result: banner, figures, uncertain places, surfaces."""

from __future__ import annotations

import html
import json
from collections.abc import Callable
from typing import Any

import slicer
from slicer.i18n import tr as _

from MultiTaskSegLib.correction.region_worklist import RegionWorklist
from MultiTaskSegLib.panel.comparison.comparison_view import ComparisonView
from MultiTaskSegLib.panel.element.three_d_views import reset_cameras
from MultiTaskSegLib.panel.element.volume_text import volume_texts
from MultiTaskSegLib.panel.figure.figure_menu import FigureMenu
from MultiTaskSegLib.panel.segment_table import SegmentTable
from MultiTaskSegLib.panel.summary import result_text
from MultiTaskSegLib.registration.module_presence import has_module
from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.scene.attributes import PREFIX, is_unchecked, read_agreement, read_quality, read_verdict
from MultiTaskSegLib.scene.earlier_result import INPUT_ROLE, TABLE_ROLE, UNCERTAINTY_ROLE, results_of
from MultiTaskSegLib.scene.figure.figure_columns import figure_values
from MultiTaskSegLib.scene.image_record import changed_since
from MultiTaskSegLib.scene.result_table import SegmentRow, rows_of
from MultiTaskSegLib.scene.surface.surfaces import show_3d, smoothing_of
from MultiTaskSegLib.scene.uncertain_region import (
    HIGH_UNCERTAINTY,
    UncertainRegion,
    jump_slices,
    most_uncertain_place,
    place_ras,
)

OOD_MODULE = "OODCheck"
REFERENCES = 4  # of what is shown: the segmentation and what belongs to it


class ResultView:
    """Shows the result that a segmentation node stands for, whether it was made just now or loaded with a scene."""

    def __init__(self, ui: Any) -> None:
        """Take over the widgets of the result."""
        self.ui = ui
        self.segmentation: Any = None
        self.worklist: RegionWorklist | None = None
        self.region: UncertainRegion | None = None
        self.region_shown: Callable[[], object] = lambda: None
        self._shown: tuple[Any, ...] = ()
        self._volume: Any = None
        self._has_volumes = True
        self._title, self._is_earlier = ui.resultCollapsibleButton.text, False
        self._table = SegmentTable(ui.segmentTableWidget, self.show_segment)
        ui.nextRegionButton.connect("clicked(bool)", self.show_next_region)
        ui.show3DButton.connect("clicked(bool)", self.show_surfaces)
        self._figures = FigureMenu(ui.figuresButton, self._show_rows, self._say)
        self._comparison = ComparisonView(ui, self._show_rows, lambda: self._table.selected or "")
        ui.smoothingSlider.connect("valueChanged(double)", self.smooth_surfaces)
        ui.oodCheckButton.connect("clicked(bool)", self.open_ood_check)
        self.show(None)

    def show(self, segmentation: slicer.vtkMRMLSegmentationNode | None) -> None:
        """Show a result, or nothing; figures are left as they are when it is shown already with all that belongs to it.

        The banner is always made anew: whether the image is still the one that was segmented may have changed.
        """
        self.ui.resultLabel.text = "" if segmentation is None else _text(segmentation)
        shown = _parts(segmentation)
        if shown == self._shown and self._shown:
            self._update_buttons()
            return
        if shown[:REFERENCES] != self._shown[:REFERENCES] or not shown:
            self.worklist = self.region = None
            self.ui.regionLabel.text = ""
        self._shown, self.segmentation = shown, segmentation
        self._figures.show(segmentation)
        self._comparison.show(segmentation)
        self._show_rows()
        self.ui.resultLabel.visible = segmentation is not None
        self.set_earlier(self._is_earlier)
        self._update_buttons()

    def _show_rows(self) -> None:
        segmentation = self.segmentation
        table = None if segmentation is None else segmentation.GetNodeReference(TABLE_ROLE)
        rows = [] if table is None else rows_of(table)
        self._has_volumes = all(row.volume_ml is not None for row in rows)
        further = figure_values(segmentation) if rows else []
        self._table.show(rows, _colours(segmentation, rows), further)
        self.ui.segmentTableWidget.visible = bool(rows)

    def _say(self, text: str) -> None:
        self.ui.regionLabel.text = text

    def turn_to_newest(self, parameters: Any) -> None:
        """When another volume is selected, turn the parameters to its newest result, if it has one; None lets it go."""
        volume = None if parameters is None else parameters.inputVolume
        is_other, self._volume = volume is not self._volume, volume
        if parameters is None or not is_other:  # not at any time: "None" would spring back
            return
        results = [] if volume is None else results_of(volume)
        if parameters.segmentation not in results:
            parameters.segmentation = results[-1] if results else None

    def set_earlier(self, is_earlier: bool) -> None:
        """Say of the result that it is an earlier one, where the last run was not done."""
        self._is_earlier = is_earlier
        is_told = is_earlier and self.segmentation is not None
        self.ui.resultCollapsibleButton.text = _("Earlier result, not of the last run") if is_told else self._title

    @property
    def selected_segment(self) -> str | None:
        """ID of the structure that is selected in the table."""
        return self._table.selected if self.segmentation is not None else None

    def show_segment(self, segment_id: str) -> None:
        """Show the most uncertain place of a segment in all slice views."""
        uncertainty = self._uncertainty()
        if uncertainty is None:
            return
        try:
            ras = most_uncertain_place(self.segmentation, segment_id, uncertainty)
        except InputError as error:  # a transform that has become non-linear
            self.ui.regionLabel.text = str(error)
            return
        if ras is not None:
            self.region = None  # what is shown now is the structure
            jump_slices(slicer.mrmlScene, ras)
            self.region_shown()

    def show_next_region(self, _checked: bool = False) -> None:
        """Show the next region of high uncertainty that is left, from the largest to the smallest and round again."""
        uncertainty = self._uncertainty()
        if uncertainty is None:  # removed since it was shown
            self.worklist = self.region = None
            self.ui.regionLabel.text = _("the uncertainty map is not in the scene any more")
            self._update_buttons()
            self.region_shown()
            return
        try:
            self._show_region(uncertainty)
        except InputError as error:  # a transform that has become non-linear
            self.ui.regionLabel.text = str(error)
        self.region_shown()

    def _show_region(self, uncertainty: slicer.vtkMRMLScalarVolumeNode) -> None:
        if self.worklist is None:
            self.worklist = RegionWorklist(self.segmentation)
        self.region = region = self.worklist.after(self.region)
        if region is None:
            self.ui.regionLabel.text = _("nowhere {limit} or more").format(limit=HIGH_UNCERTAINTY)
            return
        self._table.deselect()  # else the region would be corrected in a structure that was chosen for another place
        jump_slices(slicer.mrmlScene, place_ras(uncertainty, region.place_ijk))
        size = _("{volume} mL").format(volume=volume_texts([region.volume_ml])[0])
        if not self._has_volumes:
            size = _("{count} voxels").format(count=region.voxels)
        self.ui.regionLabel.text = _("{number} of {count}: {size}").format(
            number=self.worklist.number_of(region), count=len(self.worklist.regions), size=size
        )

    def show_surfaces(self, checked: bool = False) -> None:
        """Make and show the surfaces, or hide them."""
        try:
            with slicer.util.tryWithErrorDisplay(_("The surfaces could not be made."), waitCursor=True):
                show_3d(self.segmentation, checked)
                if checked:
                    reset_cameras()  # else they may look past them
        finally:
            self._update_buttons()  # the button says what there is, not what was wished

    def smooth_surfaces(self, smoothing: float) -> None:
        """Smooth the surfaces of the result more or less, now where they are shown, else when they will be."""
        if self.segmentation is None or smoothing == smoothing_of(self.segmentation):
            return
        with slicer.util.tryWithErrorDisplay(_("The surfaces could not be made."), waitCursor=True):
            show_3d(self.segmentation, self.ui.show3DButton.checked, smoothing)

    def open_ood_check(self, _checked: bool = False) -> None:
        """Open OOD Check with the volume of this result and the model that segmented it, not another one."""
        parameters = slicer.util.getModuleLogic(OOD_MODULE).getParameterNode()
        asked = json.loads(self.segmentation.GetAttribute(f"{PREFIX}Parameters") or "{}")
        parameters.modelPath = asked.get("model", "")
        parameters.scope = "volume"
        parameters.inputVolume = self.segmentation.GetNodeReference(INPUT_ROLE)
        slicer.util.selectModule(OOD_MODULE)

    def _uncertainty(self) -> slicer.vtkMRMLScalarVolumeNode | None:
        return None if self.segmentation is None else self.segmentation.GetNodeReference(UNCERTAINTY_ROLE)

    def _update_buttons(self) -> None:
        segmentation = self.segmentation
        display = None if segmentation is None else segmentation.GetDisplayNode()
        for widget in (self.ui.nextRegionButton, self.ui.regionLabel, self.ui.show3DButton):
            widget.visible = segmentation is not None
        self.ui.nextRegionButton.enabled = self._uncertainty() is not None
        self.ui.show3DButton.enabled = display is not None
        has_surface = display is not None and segmentation.GetSegmentation().ContainsRepresentation("Closed surface")
        self.ui.show3DButton.checked = has_surface and bool(display.GetVisibility3D())
        self.ui.smoothingSlider.enabled = display is not None
        if display is not None:
            self.ui.smoothingSlider.value = smoothing_of(segmentation)
        has_input = segmentation is not None and segmentation.GetNodeReference(INPUT_ROLE) is not None
        self.ui.oodCheckButton.visible = has_input and has_module(OOD_MODULE)


def _parts(segmentation: slicer.vtkMRMLSegmentationNode | None) -> tuple[Any, ...]:
    if segmentation is None:
        return ()
    roles = (INPUT_ROLE, UNCERTAINTY_ROLE, TABLE_ROLE)
    table = segmentation.GetNodeReference(TABLE_ROLE)
    figures = 0 if table is None else table.GetTable().GetMTime()  # corrections change them
    return (segmentation, *(segmentation.GetNodeReferenceID(role) for role in roles), figures)


def _text(segmentation: slicer.vtkMRMLSegmentationNode) -> str:
    verdict = read_verdict(segmentation)
    if verdict is None and not is_unchecked(segmentation):
        return f"<p>{html.escape(_('This segmentation was not made by MultiTaskSeg.'))}</p>"
    warnings = json.loads(segmentation.GetAttribute(f"{PREFIX}Warnings") or "[]")
    volume_node = segmentation.GetNodeReference(INPUT_ROLE)
    if volume_node is not None and changed_since(volume_node, segmentation):
        warnings.insert(0, _("The image was changed after this result was made: segment it again."))
    task, choice = (segmentation.GetAttribute(f"{PREFIX}{key}") or "" for key in ("Task", "Model.Choice"))
    is_region = segmentation.GetAttribute(f"{PREFIX}Region") is not None
    answers = read_quality(segmentation), read_agreement(segmentation)
    return result_text(verdict, task, warnings, choice, is_region, *answers)


def _colours(
    segmentation: slicer.vtkMRMLSegmentationNode | None, rows: list[SegmentRow]
) -> list[tuple[float, float, float]]:
    if segmentation is None:
        return []
    segments = [segmentation.GetSegmentation().GetSegment(row.segment_id) for row in rows]
    return [(0.5, 0.5, 0.5) if segment is None else tuple(segment.GetColor()) for segment in segments]
