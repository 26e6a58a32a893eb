"""What was measured of a segment goes when its voxels change, and stays with those that nobody touched."""

from __future__ import annotations

import sys

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")

from MultiTaskSegLib.correction.corrected_segment import mark_corrections
from MultiTaskSegLib.correction.segment_watch import SegmentWatch
from MultiTaskSegLib.scene.comparison.reference import COLUMNS, clear_outdated_comparison, compare
from MultiTaskSegLib.scene.figure.figure_columns import set_figures
from MultiTaskSegLib.scene.result import add_result
from MultiTaskSegLib.scene.result_table import rows_of
from Testing.slicer import scene_samples as samples
from Testing.slicer.correction.test_corrected_segment import paint
from Testing.slicer.scene.test_result_table import found
from Testing.slicer.stand_ins import segment_statistics

pytestmark = pytest.mark.usefixtures("session")
MEAN = "Mean intensity"


@pytest.fixture
def made(session, monkeypatch):
    """A result with figures and a comparison with its twin."""
    monkeypatch.setitem(sys.modules, "SegmentStatistics", segment_statistics)
    volume = samples.volume()
    result = add_result(volume, found())
    set_figures(result.segmentation, [MEAN])
    compare(result.segmentation, add_result(volume, found()).segmentation)
    return result


def missing(made, title: str) -> list[bool]:
    column = made.table.GetTable().GetColumnByName(title)
    return [bool(np.isnan(column.GetValue(row))) for row in range(column.GetNumberOfValues())]


def test_a_correction_empties_the_columns_of_its_own_row_only(made):
    before = rows_of(made.table)[1]
    mark_corrections(made.segmentation)
    assert [missing(made, title) for title in (MEAN, *COLUMNS)] == 4 * [[False, False]]
    paint(made, "anterior", (0, 0, 0))
    mark_corrections(made.segmentation)
    assert [missing(made, title) for title in (MEAN, *COLUMNS)] == 4 * [[True, False]]
    assert rows_of(made.table)[1] == before


def test_measured_after_a_correction_they_stay_until_the_next_one(made):
    paint(made, "anterior", (0, 0, 0))
    mark_corrections(made.segmentation)
    set_figures(made.segmentation, [MEAN])
    mark_corrections(made.segmentation)
    assert missing(made, MEAN) == [False, False]
    paint(made, "anterior", (0, 0, 1))
    mark_corrections(made.segmentation)
    assert missing(made, MEAN) == [True, False]
    assert missing(made, COLUMNS[0]) == [True, False]


def test_back_at_the_model_s_voxels_nothing_is_shown_of_those_in_between(made):
    paint(made, "anterior", (0, 0, 0))
    set_figures(made.segmentation, [MEAN])
    paint(made, "anterior", (0, 0, 0), erase=True)
    assert mark_corrections(made.segmentation) == []
    assert missing(made, MEAN) == [True, False]
    set_figures(made.segmentation, [])
    mark_corrections(made.segmentation)
    assert made.table.GetColumnIndex(MEAN) < 0


def test_a_reference_that_is_edited_empties_what_was_compared_with_the_edited_structure(made, session):
    later: list = []
    watch = SegmentWatch(session.scene, later.append)
    reference = made.table.GetNodeReference("MultiTaskSeg.Reference")
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(reference, "posterior")
    mask[0, 0, 0] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, reference, "posterior", slicer.util.getNode("Scan"))
    (update,) = later
    update()
    watch.release()
    assert [missing(made, title) for title in COLUMNS] == 3 * [[False, True]]
    assert missing(made, MEAN) == [False, False]


@pytest.mark.parametrize("is_reference", [True, False])
def test_who_moves_one_of_both_empties_the_comparison_and_who_moves_all_does_not(made, session, is_reference):
    later: list = []
    watch = SegmentWatch(session.scene, later.append)
    volume, reference = slicer.util.getNode("Scan"), made.table.GetNodeReference("MultiTaskSeg.Reference")
    by_2_mm = np.eye(4)
    by_2_mm[0, 3] = 2.0
    moved = samples.linear_transform(reference if is_reference else made.segmentation, by_2_mm)
    for node in (volume, made.segmentation, reference):
        node.SetAndObserveTransformNodeID(moved.GetID())
    later.pop()()
    assert missing(made, COLUMNS[0]) == [False, False]
    (reference if is_reference else made.segmentation).SetAndObserveTransformNodeID(None)
    later.pop()()
    watch.release()
    assert [missing(made, title) for title in COLUMNS] == 3 * [[True, True]]


def test_a_reference_that_nobody_touched_or_that_is_gone_leaves_the_comparison(made):
    clear_outdated_comparison(made.segmentation)
    assert missing(made, COLUMNS[0]) == [False, False]
    slicer.mrmlScene.RemoveNode(made.table.GetNodeReference("MultiTaskSeg.Reference"))
    clear_outdated_comparison(made.segmentation)
    assert missing(made, COLUMNS[0]) == [False, False]


def test_a_structure_that_was_removed_from_the_reference_is_compared_with_nothing(made):
    made.table.GetNodeReference("MultiTaskSeg.Reference").GetSegmentation().RemoveSegment("anterior")
    clear_outdated_comparison(made.segmentation)
    assert missing(made, COLUMNS[0]) == [True, False]
