"""The figures of the segments as a table node, and the result as a whole: kept, replaced, never lost by accident."""

from __future__ import annotations

import copy

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")

from MultiTaskSegLib.job import JobResult
from MultiTaskSegLib.runtime.errors import UsageError
from MultiTaskSegLib.runtime.ood.verdict import Verdict
from MultiTaskSegLib.scene import attributes, earlier_result, result, result_table
from MultiTaskSegLib.scene.result_record import clear_record
from Testing.slicer import scene_samples as samples

SHAPE = (9, 12, 15)
GOOD = Verdict(False, 1.0, 1.5, 0.5, "hippocampus", {})
FOREIGN = Verdict(True, 3.0, 1.5, 0.01, "hippocampus", {})
VOXEL_MM3 = 0.8 * 1.1 * 2.5
pytestmark = pytest.mark.usefixtures("session")


def found(verdict: Verdict | None = GOOD, is_empty: bool = False, task: str = "hippocampus") -> JobResult:
    """What the worker would send: two structures, uncertain where the array index along i is 4 or more."""
    labels = np.zeros(SHAPE, np.uint8) if is_empty else samples.labels()
    uncertainty = np.zeros(SHAPE, np.float32)
    uncertainty[..., 4:] = 0.5
    counts = np.bincount(labels.ravel(), minlength=3)
    figures = [
        {
            "value": entry["value"],
            "voxels": int(counts[entry["value"]]),
            "volume_mm3": counts[entry["value"]] * VOXEL_MM3,
            "mean_confidence": 0.9 if counts[entry["value"]] else None,
            "predicted_dice": 0.8 if entry["value"] == 1 and not is_empty else None,
        }
        for entry in samples.LEGEND
    ]
    report = {
        "task": task,
        "ood": None if verdict is None else verdict.as_dict(),
        "labels": figures,
        "warnings": ["coarse"],
        "image": "Scan",
    }
    report["model"] = {"name": "mr3d", "sha256": "ab" * 32}
    return JobResult(report, labels, uncertainty, copy.deepcopy(samples.LEGEND), [])


def test_the_rows_hold_the_figures_of_the_report_and_the_uncertain_volume():
    rows = result.add_result(samples.volume(), found()).table
    anterior, posterior = result_table.rows_of(rows)
    assert (anterior.segment_id, anterior.name) == ("anterior", "anterior hippocampus")
    assert anterior.volume_ml == pytest.approx(54 * VOXEL_MM3 / 1000)
    assert anterior.uncertain_ml == pytest.approx(45 * VOXEL_MM3 / 1000)  # 5 of the 6 columns
    assert (anterior.mean_confidence, anterior.predicted_dice) == (0.9, 0.8)
    assert posterior.predicted_dice is None


def test_the_answer_and_the_bound_of_a_result_are_in_the_scene_and_go_with_the_next_run():
    told, plain = found(), found()
    quality = {"answer": "good", "predicted_dice": 0.8, "margin": 0.05, "patients": 12, "why_no_bound": ""}
    told.report["quality"] = quality
    told.report["labels"][0]["dice_at_least"] = 0.75
    made = result.add_result(samples.volume(), told)
    assert [row.dice_at_least for row in result_table.rows_of(made.table)] == [0.75, None]
    assert attributes.read_quality(made.segmentation) == quality
    assert made.segmentation.GetAttribute("MultiTaskSeg.Quality") == "good"
    without = result.add_result(samples.volume(), plain)
    assert attributes.read_quality(without.segmentation) is None
    volume = made.segmentation.GetNodeReference(earlier_result.INPUT_ROLE)
    clear_record(volume)
    assert attributes.read_quality(volume) is None


def test_an_image_without_a_physical_size_has_voxels_and_no_volumes(session, tmp_path):
    plain = found()
    for figures in plain.report["labels"]:
        figures["volume_mm3"] = None
    table = result.add_result(samples.volume(), plain).table
    name, bundle = table.GetName(), str(tmp_path / "scene.mrb")
    session.scene.SetURL(bundle)
    assert session.scene.WriteToMRB(bundle)
    for read in (table, None):
        if read is None:
            session.scene.Clear(0)
            assert session.scene.ReadFromMRB(bundle)
            read = session.scene.GetFirstNode(name, "vtkMRMLTableNode")
        anterior = result_table.rows_of(read)[0]
        assert (anterior.volume_ml, anterior.uncertain_ml, anterior.voxels) == (None, None, 54)
        assert anterior.is_found


def test_rows_come_back_from_a_table_as_they_went_in_each_figure_in_its_own_column():
    rows = [
        result_table.SegmentRow("a", "one", 1.5, 0.9, 0.8, 0.25, 7, True, 0.7, 0.95),
        result_table.SegmentRow("b", "two", None, None, None, None, 3, False, None, None),
        result_table.SegmentRow("c", "three", 0.0, 0.4, 0.3, 0.0, 0, False, 0.2, 0.1),
    ]
    node = result_table.add_table(samples.volume(), rows, "Figures")
    assert result_table.rows_of(node) == rows
    columns = {
        "Segment": "one", "Volume [mL]": 1.5, "Mean confidence": 0.9, "Predicted Dice": 0.8, "Dice at least": 0.7,
        "Agreement": 0.95, "Uncertain volume [mL]": 0.25, "Voxels": 7, "Corrected": "yes", "Segment ID": "a",
    }  # fmt: skip
    table = node.GetTable()
    assert [table.GetColumnName(number) for number in range(table.GetNumberOfColumns())] == list(columns)
    assert [table.GetColumnByName(name).GetValue(0) for name in columns] == list(columns.values())
    assert [table.GetColumnByName("Corrected").GetValue(number) for number in range(3)] == ["yes", "no", "no"]
    assert node.GetLocked()
    # What a heading says for itself needs no description.
    assert {name for name in columns if not node.GetColumnDescription(name)} == {"Segment", "Segment ID"}


def test_a_table_of_an_earlier_version_has_no_voxels_and_is_read():
    table = result.add_result(samples.volume(), found()).table
    table.GetTable().RemoveColumnByName("Voxels")
    anterior = result_table.rows_of(table)[0]
    assert (anterior.voxels, anterior.is_found) == (0, True)
    assert anterior.volume_ml == pytest.approx(54 * VOXEL_MM3 / 1000)


def test_a_structure_that_was_not_found_has_a_row_without_confidence():
    rows = result_table.rows_of(result.add_result(samples.volume(), found(is_empty=True)).table)
    assert [(row.volume_ml, row.uncertain_ml, row.mean_confidence) for row in rows] == [(0.0, 0.0, None)] * 2


def test_the_table_survives_saving_and_loading_the_scene(session, tmp_path):
    table = result.add_result(samples.volume(), found()).table
    rows, name = result_table.rows_of(table), table.GetName()
    bundle = str(tmp_path / "scene.mrb")
    session.scene.SetURL(bundle)
    assert session.scene.WriteToMRB(bundle)
    session.scene.Clear(0)
    assert session.scene.ReadFromMRB(bundle)
    read = result_table.rows_of(session.scene.GetFirstNode(name, "vtkMRMLTableNode"))
    assert [row.name for row in read] == [row.name for row in rows]
    for before, after in zip(rows, read, strict=True):
        assert after.volume_ml == pytest.approx(before.volume_ml, rel=1e-4)
        assert after.predicted_dice == (None if before.predicted_dice is None else pytest.approx(before.predicted_dice))
    segmentation = session.scene.GetFirstNodeByClass("vtkMRMLSegmentationNode")
    assert segmentation.GetNodeReference(earlier_result.TABLE_ROLE).GetName() == name
    volume = segmentation.GetNodeReference(earlier_result.INPUT_ROLE)
    assert earlier_result.results_of(volume) == [segmentation]


def test_a_table_of_somebody_else_has_no_rows():
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode")
    assert result_table.rows_of(node) == []


def test_all_nodes_of_a_result_carry_where_it_comes_from():
    made = result.add_result(samples.volume(), found(), result.RunNotes({"device": "cpu"}))
    for node in (made.segmentation, made.uncertainty, made.table):
        assert node.GetAttribute("MultiTaskSeg.Model.SHA256") == "ab" * 32
        assert node.GetAttribute("MultiTaskSeg.Parameters") == '{"device": "cpu"}'
        assert node.GetAttribute("MultiTaskSeg.Warnings") == '["coarse"]'
        assert node.GetAttribute("MultiTaskSeg.OOD") == "in distribution"


def test_a_result_out_of_distribution_looks_different_and_says_so_on_every_node():
    made = result.add_result(samples.volume(), found(FOREIGN))
    for node in (made.segmentation, made.uncertainty, made.table):
        assert node.GetName().endswith("[OUT OF DISTRIBUTION]")
    assert made.segmentation.GetDisplayNode().GetSegmentOpacity2DFill("anterior") == 0.0
    other = result.add_result(samples.volume(), found()).segmentation.GetDisplayNode()
    assert other.GetSegmentOpacity2DFill("anterior") > 0.0


def test_without_a_word_a_second_result_is_kept_beside_the_first():
    volume = samples.volume()
    first, second = (result.add_result(volume, found()) for _ in range(2))
    assert earlier_result.results_of(volume) == [first.segmentation, second.segmentation]
    assert first.segmentation.GetName() != second.segmentation.GetName()


def test_replacing_leaves_exactly_as_many_nodes_as_one_result_has(session):
    volume = samples.volume()
    first = result.add_result(volume, found())
    name = first.segmentation.GetName()
    before = session.scene.GetNumberOfNodes()
    for _ in range(3):
        made = result.add_result(volume, found(), result.RunNotes(existing="replace"))
    assert session.scene.GetNumberOfNodes() == before
    assert earlier_result.results_of(volume) == [made.segmentation]
    assert made.segmentation.GetName() == name


def test_replacing_touches_neither_other_tasks_nor_other_volumes():
    volume, other = samples.volume(name="one"), samples.volume(name="two")
    kept = [result.add_result(volume, found(task="heart")), result.add_result(other, found())]
    result.add_result(volume, found())
    made = result.add_result(volume, found(), result.RunNotes(existing="replace"))
    assert earlier_result.results_of(volume) == [kept[0].segmentation, made.segmentation]
    assert earlier_result.results_of(other) == [kept[1].segmentation]


@pytest.mark.parametrize("worse", [{"verdict": FOREIGN}, {"is_empty": True}])
def test_a_good_result_is_not_replaced_by_a_flagged_or_empty_one_and_the_user_is_told(worse):
    volume = samples.volume()
    good = result.add_result(volume, found())
    bad = result.add_result(volume, found(**worse), result.RunNotes(existing="replace"))
    assert earlier_result.results_of(volume) == [good.segmentation, bad.segmentation]
    assert result.KEPT in bad.report["warnings"]
    assert "earlier result was kept" in bad.segmentation.GetAttribute("MultiTaskSeg.Warnings")


def test_a_flagged_result_is_replaced_by_a_good_one():
    volume = samples.volume()
    result.add_result(volume, found(FOREIGN))
    good = result.add_result(volume, found(), result.RunNotes(existing="replace"))
    assert earlier_result.results_of(volume) == [good.segmentation]


def test_a_result_that_cannot_be_added_removes_nothing():
    volume = samples.volume()
    good = result.add_result(volume, found())
    wrong = found()
    wrong = JobResult(wrong.report, wrong.labels[:5], wrong.uncertainty, wrong.legend, [])
    with pytest.raises(Exception, match="shape"):
        result.add_result(volume, wrong, result.RunNotes(existing="replace"))
    assert earlier_result.results_of(volume) == [good.segmentation]


def test_an_unknown_choice_is_refused():
    with pytest.raises(UsageError, match="keep or replace"):
        result.add_result(samples.volume(), found(), result.RunNotes(existing="overwrite"))
