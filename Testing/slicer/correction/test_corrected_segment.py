"""A corrected segment is marked on itself and in the table, and is the model's again when its voxels are."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")
import vtk

from MultiTaskSegLib.correction.corrected_segment import corrected_segments, mark_corrections, results_in
from MultiTaskSegLib.scene import earlier_result, result
from MultiTaskSegLib.scene.result_table import rows_of
from MultiTaskSegLib.scene.segmentation import oriented_labels
from Testing.slicer import scene_samples as samples
from Testing.slicer.scene.test_result_table import VOXEL_MM3, found

pytestmark = pytest.mark.usefixtures("session")
TYPE = "DICOM.SegmentAlgorithmType"


def mask_of(made, segment_id: str) -> np.ndarray:
    volume = made.segmentation.GetNodeReference(earlier_result.INPUT_ROLE)
    return slicer.util.arrayFromSegmentBinaryLabelmap(made.segmentation, segment_id, volume)


def put(made, segment_id: str, mask: np.ndarray) -> None:
    """As Slicer's own functions do: the segment gets a label image of its own."""
    volume = made.segmentation.GetNodeReference(earlier_result.INPUT_ROLE)
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, made.segmentation, segment_id, volume)


def paint(made, segment_id: str, *places: tuple[int, int, int], erase: bool = False) -> None:
    mask = mask_of(made, segment_id)
    for place in places:
        mask[place] = 0 if erase else 1
    put(made, segment_id, mask)


def brush(made, segment_id: str, place: tuple[int, int, int]) -> None:
    """As the effects of the Segment Editor do: into the label image that segments share, over others."""
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    stroke, shared = slicer.vtkOrientedImageData(), slicer.vtkOrientedImageData()
    shared.DeepCopy(made.segmentation.GetSegmentation().GetNthSegment(0).GetRepresentation("Binary labelmap"))
    z, y, x = place
    stroke.DeepCopy(shared)
    stroke.GetPointData().GetScalars().Fill(0)
    stroke.SetScalarComponentFromDouble(x, y, z, 0, 1)
    mode = logic.MODE_MERGE_MAX
    assert logic.SetBinaryLabelmapToSegment(stroke, made.segmentation, segment_id, mode, stroke.GetExtent(), False, [])


def types(made) -> dict[str, str]:
    segmentation, found_types = made.segmentation.GetSegmentation(), {}
    for segment_id in segmentation.GetSegmentIDs():
        text = vtk.mutable("")
        segmentation.GetSegment(segment_id).GetTag(TYPE, text)
        found_types[segment_id] = str(text)
    return found_types


def test_a_result_that_nobody_touched_has_no_corrected_segment():
    made = result.add_result(samples.volume(), found())
    assert mark_corrections(made.segmentation) == []
    assert types(made) == {"anterior": "AUTOMATIC", "posterior": "AUTOMATIC"}
    assert not any(row.is_corrected for row in rows_of(made.table))


@pytest.mark.parametrize("kind", ["axial", "oblique", "flipped", "left-handed", "sagittal"])
def test_a_painted_segment_is_marked_and_loses_the_model_s_figures(kind):
    made = result.add_result(samples.volume(kind), found())
    before = rows_of(made.table)
    paint(made, "anterior", (0, 0, 0), (8, 11, 14))
    assert mark_corrections(made.segmentation) == ["anterior"] == corrected_segments(made.segmentation)
    assert types(made) == {"anterior": "SEMIAUTOMATIC", "posterior": "AUTOMATIC"}
    anterior, posterior = rows_of(made.table)
    assert anterior.is_corrected
    assert (anterior.mean_confidence, anterior.predicted_dice, anterior.uncertain_ml) == (None, None, None)
    assert (anterior.voxels, anterior.volume_ml) == (56, pytest.approx(56 * VOXEL_MM3 / 1000))
    assert posterior == before[1]


def test_further_corrections_change_the_volume_and_never_what_the_model_said():
    made = result.add_result(samples.volume(), found())
    before = rows_of(made.table)
    for number in range(3):
        paint(made, "anterior", (0, 0, number))
        mark_corrections(made.segmentation)
        assert rows_of(made.table)[0].voxels == before[0].voxels + number + 1
    paint(made, "anterior", (0, 0, 0), (0, 0, 1), (0, 0, 2), erase=True)
    assert mark_corrections(made.segmentation) == []
    assert rows_of(made.table) == before


def test_undo_to_the_model_s_own_voxels_makes_the_segment_the_model_s_again():
    made = result.add_result(samples.volume(), found())
    before, history = rows_of(made.table), slicer.vtkSegmentationHistory()
    history.SetSegmentation(made.segmentation.GetSegmentation())
    history.SaveState()
    paint(made, "anterior", (0, 0, 0))
    assert mark_corrections(made.segmentation) == ["anterior"]
    history.RestorePreviousState()
    assert mark_corrections(made.segmentation) == []
    assert types(made)["anterior"] == "AUTOMATIC"
    assert rows_of(made.table) == before


def test_of_segments_that_share_a_label_image_only_those_whose_voxels_changed_are_corrected():
    made = result.add_result(samples.volume(), found())
    brush(made, "anterior", (7, 8, 9))  # nobody's voxel
    assert mark_corrections(made.segmentation) == ["anterior"]
    paint(made, "anterior", (4, 2, 3))  # a voxel of the other segment, which keeps it
    assert mark_corrections(made.segmentation) == ["anterior"]


def test_a_segment_that_loses_everything_is_corrected_and_has_no_voxel_left():
    made = result.add_result(samples.volume(), found())
    put(made, "posterior", np.zeros_like(mask_of(made, "posterior")))
    assert mark_corrections(made.segmentation) == ["posterior"]
    assert not rows_of(made.table)[1].is_found


def test_names_colours_and_new_segments_are_no_corrections():
    made = result.add_result(samples.volume(), found())
    segmentation = made.segmentation.GetSegmentation()
    segmentation.GetSegment("anterior").SetName("mine")
    segmentation.GetSegment("anterior").SetColor(0, 1, 0)
    segmentation.AddEmptySegment("hand drawn")
    assert mark_corrections(made.segmentation) == []
    assert types(made)["hand drawn"] == ""


def test_a_scene_that_was_saved_and_loaded_knows_what_was_corrected_and_what_the_model_said(session, tmp_path):
    made = result.add_result(samples.volume(), found())
    before = rows_of(made.table)
    paint(made, "anterior", (0, 0, 0))
    mark_corrections(made.segmentation)
    bundle = str(tmp_path / "scene.mrb")
    session.scene.SetURL(bundle)
    assert session.scene.WriteToMRB(bundle)
    session.scene.Clear(0)
    assert session.scene.ReadFromMRB(bundle)
    (segmentation,) = results_in(session.scene)
    assert corrected_segments(segmentation) == ["anterior"]
    assert mark_corrections(segmentation) == ["anterior"]  # the other's voxels are found to be the same
    table = segmentation.GetNodeReference(earlier_result.TABLE_ROLE)
    assert rows_of(table)[0].is_corrected
    loaded = result.SegmentationResult(segmentation, None, table, None, {})
    paint(loaded, "anterior", (0, 0, 0), erase=True)
    assert mark_corrections(segmentation) == []
    assert rows_of(table)[0].predicted_dice == before[0].predicted_dice


def test_a_result_whose_voxels_were_not_noted_is_left_as_it_is():
    made = result.add_result(samples.volume(), found())
    made.segmentation.RemoveAttribute("MultiTaskSeg.AsMade.Voxels")
    paint(made, "anterior", (0, 0, 0))
    assert mark_corrections(made.segmentation) == []
    assert types(made)["anterior"] == "AUTOMATIC"


@pytest.mark.parametrize("first", [-0.25, 0.0])  # corners in the same place, or the first voxels
def test_a_segment_that_is_stored_on_a_finer_grid_is_the_same_segment_until_it_is_changed(first):
    made = result.add_result(samples.volume("oblique"), found())
    mask = (mask_of(made, "anterior") > 0).astype(np.uint8)
    fine = np.repeat(np.repeat(np.repeat(mask, 2, 0), 2, 1), 2, 2)
    to_world = samples.ijk_to_ras("oblique") @ np.diag([0.5, 0.5, 0.5, 1.0])
    to_world[:3, 3] = (samples.ijk_to_ras("oblique") @ [first, first, first, 1.0])[:3]
    for shift, corrected in ((0, []), (4, ["anterior"])):
        volume = slicer.util.addVolumeFromArray(np.roll(fine, shift, 0), ijkToRAS=to_world, name="fine")
        labelmap = oriented_labels(volume, np.roll(fine, shift, 0))
        segment = made.segmentation.GetSegmentation().GetSegment("anterior")
        segment.SetLabelValue(1)
        segment.AddRepresentation("Binary labelmap", labelmap)
        assert mark_corrections(made.segmentation) == corrected


def test_regions_that_overlap_are_told_apart():
    labels = samples.labels()
    regions = np.stack([labels > 0, labels == 2])
    made = result.add_result(samples.volume(), dataclasses.replace(found(), regions=regions))
    assert mark_corrections(made.segmentation) == []
    paint(made, "posterior", (0, 0, 0))
    assert mark_corrections(made.segmentation) == ["posterior"]
