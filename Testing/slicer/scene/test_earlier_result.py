"""Which earlier results are worth keeping, and what goes with one that is removed."""

from __future__ import annotations

import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")

from MultiTaskSegLib.scene import attributes, earlier_result, edited_segmentation, result
from Testing.slicer import scene_samples as samples
from Testing.slicer.scene.test_result_table import FOREIGN, GOOD, found

pytestmark = pytest.mark.usefixtures("session")


def test_an_empty_result_gives_way_even_to_a_flagged_one():
    volume = samples.volume()
    result.add_result(volume, found(is_empty=True))
    flagged = result.add_result(volume, found(FOREIGN), result.RunNotes(existing="replace"))
    assert earlier_result.results_of(volume) == [flagged.segmentation]


def test_a_result_whose_verdict_was_lost_is_not_taken_for_a_good_one():
    volume = samples.volume()
    first = result.add_result(volume, found()).segmentation
    assert earlier_result.is_good(first)
    first.SetAttribute("MultiTaskSeg.OOD.Verdict", None)
    assert not earlier_result.is_good(first)


def test_a_result_that_was_not_checked_says_so_and_replaces_no_good_one():
    volume = samples.volume()
    first = result.add_result(volume, found()).segmentation
    made = result.add_result(volume, found(None), result.RunNotes(existing="replace"))
    assert made.ood is None
    assert earlier_result.results_of(volume) == [first, made.segmentation]
    for node in (*made.nodes, volume):
        assert node.GetAttribute("MultiTaskSeg.OOD") == "not checked"
        assert attributes.is_unchecked(node)
        assert node.GetAttribute("MultiTaskSeg.OOD.Verdict") is None
    assert not attributes.is_unchecked(first)
    again = result.add_result(volume, found(None), result.RunNotes(existing="replace"))
    assert earlier_result.results_of(volume) == [first, again.segmentation]


def test_segments_in_a_segmentation_of_somebody_else_say_that_nothing_was_checked():
    volume = samples.volume()
    made = result.add_result(volume, found()).segmentation
    segment_id = edited_segmentation.add_segments(volume, made, found(None))[0]
    segment = made.GetSegmentation().GetSegment(segment_id)
    assert segment.HasTag("MultiTaskSeg.OOD")
    assert not segment.HasTag("MultiTaskSeg.OOD.Verdict")
    assert "OUT OF" not in segment.GetName()


def test_a_good_result_from_a_saved_scene_is_not_replaced_by_a_flagged_one(session, tmp_path):
    volume = samples.volume()
    result.add_result(volume, found())
    bundle = str(tmp_path / "scene.mrb")
    session.scene.SetURL(bundle)
    assert session.scene.WriteToMRB(bundle)
    session.scene.Clear(0)
    assert session.scene.ReadFromMRB(bundle)
    volume = session.scene.GetFirstNode("Scan", "vtkMRMLScalarVolumeNode")
    (good,) = earlier_result.results_of(volume)
    assert earlier_result.is_good(good)
    flagged = result.add_result(volume, found(FOREIGN), result.RunNotes(existing="replace"))
    assert earlier_result.results_of(volume) == [good, flagged.segmentation]


def test_a_result_that_has_been_saved_leaves_no_display_and_no_storage_node_behind(session):
    volume = samples.volume()
    before = session.scene.GetNumberOfNodes()
    made = result.add_result(volume, found())
    tables = session.scene.GetNumberOfNodesByClass("vtkMRMLColorTableNode")
    for node in (made.segmentation, made.uncertainty, made.table):
        node.AddDefaultStorageNode()  # as saving does
    earlier_result.remove_result(made.segmentation)
    kept = session.scene.GetNumberOfNodes() - before
    assert session.scene.GetNumberOfNodesByClass("vtkMRMLColorTableNode") == tables
    assert kept == 1  # the colour table, which all heatmaps share


@pytest.mark.parametrize(("voxels", "words"), [([0, 0], "nothing"), ([0, 7], "something"), ([7, 7], "something")])
def test_one_structure_is_enough_to_have_found_something(voxels, words):
    volume = samples.volume()
    report = {"labels": [{"value": number + 1, "voxels": count} for number, count in enumerate(voxels)]}
    attributes.write_provenance(volume, report, "0.1.0")
    assert volume.GetAttribute("MultiTaskSeg.Found") == words


def test_each_figure_of_the_verdict_is_under_its_own_name():
    volume = samples.volume()
    attributes.write_verdict(volume, GOOD)
    figures = {name: volume.GetAttribute(f"MultiTaskSeg.OOD.{name}") for name in ("Score", "Threshold", "PValue")}
    assert figures == {"Score": "1", "Threshold": "1.5", "PValue": "0.5"}


def test_the_figures_of_a_run_cannot_be_typed_over():
    assert result.add_result(samples.volume(), found()).table.GetLocked()


def test_what_a_clone_refers_to_stays_when_the_original_is_replaced(session):
    volume = samples.volume()
    made = result.add_result(volume, found())
    clone = session.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "clone")
    clone.Copy(made.segmentation)  # as Clone in the Data module, with its references
    clone.SetName("edited by hand")
    again = result.add_result(volume, found(), result.RunNotes(existing="replace"))
    assert earlier_result.results_of(volume) == [clone, again.segmentation]
    assert clone.GetNodeReference(earlier_result.TABLE_ROLE) is made.table
    assert clone.GetNodeReference(earlier_result.UNCERTAINTY_ROLE) is made.uncertainty
