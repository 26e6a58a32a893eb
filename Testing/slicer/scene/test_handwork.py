"""Nothing that somebody has edited or renamed is ever removed; the rest is added as a whole or not at all."""

from __future__ import annotations

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")

from MultiTaskSegLib.runtime.errors import InputError, ResourceError
from MultiTaskSegLib.scene import earlier_result, result
from MultiTaskSegLib.scene.image_node import image_nodes
from MultiTaskSegLib.scene.node.added_nodes import all_or_nothing
from MultiTaskSegLib.scene.result_table import rows_of
from MultiTaskSegLib.scene.run import SceneRun, finish_segmentation
from MultiTaskSegLib.scene.uncertain_region import most_uncertain_place, regions_of
from Testing.slicer import scene_samples as samples
from Testing.slicer.scene.test_result_table import FOREIGN, found

pytestmark = pytest.mark.usefixtures("session")
REPLACE = result.RunNotes(existing="replace")


def paint(made) -> None:
    """As a brush does: the segment gets a label image of its own with one voxel more."""
    segmentation, volume = made.segmentation, made.segmentation.GetNodeReference(earlier_result.INPUT_ROLE)
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, "anterior", volume)
    mask[0, 0, 0] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, segmentation, "anterior", volume)


EDITS = {
    "painted": paint,
    "one more segment": lambda made: made.segmentation.GetSegmentation().AddEmptySegment("hand drawn"),
    "one segment less": lambda made: made.segmentation.GetSegmentation().RemoveSegment("anterior"),
    "segment renamed": lambda made: made.segmentation.GetSegmentation().GetSegment("anterior").SetName("mine"),
    "segment coloured": lambda made: made.segmentation.GetSegmentation().GetSegment("anterior").SetColor(0, 1, 0),
    "segmentation renamed": lambda made: made.segmentation.SetName("my final segmentation"),
    "table renamed": lambda made: made.table.SetName("table 1 of the paper"),
    "uncertainty renamed": lambda made: made.uncertainty.SetName("fig 3"),
    "hardened": lambda made: harden(made.segmentation),
    "made by an earlier version": lambda made: made.segmentation.RemoveAttribute("MultiTaskSeg.AsMade.Segments"),
}


def harden(segmentation) -> None:
    samples.linear_transform(segmentation, np.array([[1, 0, 0, 9.0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]))
    segmentation.HardenTransform()


@pytest.mark.parametrize("edit", EDITS)
def test_what_somebody_worked_on_stays_and_the_user_is_told(edit):
    volume = samples.volume()
    mine = result.add_result(volume, found())
    EDITS[edit](mine)
    new = result.add_result(volume, found(), REPLACE)
    assert [node.GetScene() is None for node in mine.nodes] == [False] * 3
    assert result.KEPT_HANDWORK in new.report["warnings"]
    assert "edited or renamed" in new.segmentation.GetAttribute("MultiTaskSeg.Warnings")


def own_label_images(made) -> None:
    """As the Segment Editor leaves them when nothing was painted: the same voxels, stored otherwise."""
    volume = made.segmentation.GetNodeReference(earlier_result.INPUT_ROLE)
    for segment_id in ("anterior", "posterior"):
        mask = slicer.util.arrayFromSegmentBinaryLabelmap(made.segmentation, segment_id, volume)
        slicer.util.updateSegmentBinaryLabelmapFromArray(mask, made.segmentation, segment_id, volume)


@pytest.mark.parametrize("touch", [lambda made: None, own_label_images, lambda made: made.segmentation.Modified()])
@pytest.mark.parametrize("kind", ["axial", "oblique", "left-handed"])
def test_what_nobody_worked_on_is_replaced(touch, kind):
    volume = samples.volume(kind)
    earlier = result.add_result(volume, found())
    touch(earlier)
    new = result.add_result(volume, found(), REPLACE)
    assert [node.GetScene() for node in earlier.nodes] == [None] * 3
    assert earlier_result.results_of(volume) == [new.segmentation]
    assert "MultiTaskSeg" in new.segmentation.GetAttributeNames()[0]


def test_what_was_saved_and_loaded_without_being_touched_is_replaced(session, tmp_path):
    result.add_result(samples.volume("oblique"), found())
    bundle = str(tmp_path / "scene.mrb")
    session.scene.SetURL(bundle)
    assert session.scene.WriteToMRB(bundle)
    session.scene.Clear(0)
    assert session.scene.ReadFromMRB(bundle)
    volume = session.scene.GetFirstNode("Scan", "vtkMRMLScalarVolumeNode")
    (earlier,) = earlier_result.results_of(volume)
    assert not earlier_result.is_handwork(earlier)
    paint(result.SegmentationResult(earlier, None, None, None, {}))
    assert earlier_result.is_handwork(earlier)


def test_both_reasons_to_keep_are_told():
    volume = samples.volume()
    first, second = result.add_result(volume, found()), result.add_result(volume, found())
    first.segmentation.SetName("mine")
    bad = result.add_result(volume, found(FOREIGN), REPLACE)
    assert len(earlier_result.results_of(volume)) == 3
    assert bad.report["warnings"][-2:] == [result.KEPT_HANDWORK, result.KEPT]
    assert second.segmentation.GetScene() is not None


def test_results_of_two_tasks_have_names_of_their_own():
    volume = samples.volume()
    names = {
        result.add_result(volume, found(task=task)).segmentation.GetName()
        for task in ("Dataset001_Hippocampus", "Dataset002_Ventricles")
    }
    assert names == {"Scan segmentation (Hippocampus)", "Scan segmentation (Ventricles)"}


@pytest.mark.parametrize("step", ["add_heatmap", "add_table", "write_record", "seal_segments"])
def test_a_result_that_fails_half_way_leaves_nothing_and_takes_nothing_away(session, monkeypatch, step):
    volume = samples.volume()
    earlier = result.add_result(volume, found())
    before = session.scene.GetNumberOfNodes()

    def full(*_arguments: object) -> None:
        raise MemoryError("629 MiB")

    monkeypatch.setattr(result, step, full)
    with pytest.raises(MemoryError):
        result.add_result(volume, found(), REPLACE)
    assert session.scene.GetNumberOfNodes() == before
    assert earlier_result.results_of(volume) == [earlier.segmentation]


def test_whatever_goes_wrong_at_the_end_of_a_run_is_an_error_that_a_panel_can_show(monkeypatch):
    volume = samples.volume()

    class JobStandIn:
        def cancel(self, _reason: str) -> None:
            return

        def result(self):
            return found()

    monkeypatch.setattr(result, "add_table", lambda *_arguments: 1 / 0)
    with pytest.raises(ResourceError, match="unexpected ZeroDivisionError"):
        finish_segmentation(SceneRun(volume, JobStandIn()))


def test_only_what_came_in_meanwhile_goes_again(session):
    kept = samples.volume()

    def fail() -> None:
        with all_or_nothing(session.scene):
            samples.volume(name="Other")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") == [kept]
    with all_or_nothing(session.scene):
        samples.volume(name="Other")
    assert len(slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")) == 2


def test_a_map_of_ours_is_no_image_whatever_its_colours_are():
    volume = samples.volume()
    made = result.add_result(volume, found())
    made.uncertainty.GetDisplayNode().SetAndObserveColorNodeID("vtkMRMLColorTableNodeGrey")
    assert image_nodes(slicer.mrmlScene) == [volume]


def test_the_uncertainty_can_be_left_out_and_the_figures_are_the_same(session):
    with_it = result.add_result(samples.volume(name="one"), found())
    volumes = session.scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode")
    without = result.add_result(samples.volume(name="two"), found(), result.RunNotes(with_uncertainty=False))
    assert session.scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == volumes + 1
    assert without.uncertainty is None
    assert rows_of(without.table) == rows_of(with_it.table)
    earlier_result.remove_result(without.segmentation)


def test_a_scale_in_the_parent_transform_counts_in_every_volume():
    volume = samples.volume()
    samples.linear_transform(volume, np.diag([0.5, 0.5, 0.5, 1.0]))
    made = result.add_result(volume, found())
    # The report comes from the worker, which gets the world; here only our own figures: 12 of 36 voxels i < 4 of a box.
    one_voxel_ml = 0.8 * 1.1 * 2.5 / 8 / 1000
    uncertain = slicer.util.arrayFromVolume(made.uncertainty) >= 0.5
    assert sum(region.volume_ml for region in regions_of(made.uncertainty)) == pytest.approx(
        uncertain.sum() * one_voxel_ml
    )
    inside = uncertain & (samples.labels() == 1)
    assert rows_of(made.table)[0].uncertain_ml == pytest.approx(inside.sum() * one_voxel_ml)


def test_a_transform_that_became_non_linear_is_refused_in_words():
    volume = samples.volume()
    transform = samples.linear_transform(volume, np.eye(4))
    made = result.add_result(volume, found())
    samples.warp_transform(transform)
    with pytest.raises(InputError, match="non-linear"):
        most_uncertain_place(made.segmentation, "anterior", made.uncertainty)
    with pytest.raises(InputError, match="non-linear"):
        regions_of(made.uncertainty)
