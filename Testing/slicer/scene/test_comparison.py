"""A result beside a reference: figures in its table, and a segmentation of the difference."""

from __future__ import annotations

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")

from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.scene.comparison.reference import COLUMNS, add_difference, compare
from MultiTaskSegLib.scene.result import add_result
from MultiTaskSegLib.scene.result_table import rows_of
from MultiTaskSegLib.scene.segmentation import add_segmentation
from Testing.slicer import scene_samples as samples
from Testing.slicer.scene.test_result_table import found


@pytest.fixture
def volume(session):
    return samples.volume()


@pytest.fixture
def result(volume):
    return add_result(volume, found())


def reference_of(volume, labels: np.ndarray, names: tuple[str, ...] = ("anterior", "POSTERIOR ")):
    legend = [{**entry, "name": name, "display_name": name} for entry, name in zip(samples.LEGEND, names, strict=True)]
    return add_segmentation(volume, labels, legend, "Drawn")


def test_against_itself_everything_agrees(volume, result) -> None:
    agreed = compare(result.segmentation, reference_of(volume, samples.labels()))
    assert [one.segment_id for one in agreed] == ["anterior", "posterior"]
    for one in agreed:
        assert (one.dice, one.hausdorff95_mm, one.surface_dice) == (1, 0, 1)


def test_pictures_are_compared_by_dice_alone_for_they_have_no_millimetres(volume, result) -> None:
    volume.SetAttribute("MultiTaskSeg.Picture", ".png")
    for one in compare(result.segmentation, reference_of(volume, samples.labels())):
        assert one.dice == 1
        assert np.isnan([one.hausdorff95_mm, one.surface_dice]).all()


def test_the_figures_become_columns_and_those_of_the_model_stay(volume, result) -> None:
    before = rows_of(result.table)
    labels = np.roll(samples.labels(), 1, axis=2)
    reference = reference_of(volume, labels)
    compare(result.segmentation, reference)
    agreed = compare(result.segmentation, reference)  # once more: no column twice
    names = [result.table.GetColumnName(number) for number in range(result.table.GetNumberOfColumns())]
    assert [name for name in names if name in COLUMNS] == list(COLUMNS)
    assert rows_of(result.table) == before
    one, other = samples.labels() == 1, labels == 1
    assert agreed[0].dice == pytest.approx(2 * (one & other).sum() / (one.sum() + other.sum()))
    assert agreed[0].hausdorff95_mm == pytest.approx(volume.GetSpacing()[0])
    assert result.table.GetTable().GetColumnByName(COLUMNS[0]).GetValue(0) == pytest.approx(agreed[0].dice)


def test_the_difference_is_what_one_alone_has_and_what_both_have(volume, result) -> None:
    labels = np.roll(samples.labels(), 1, axis=2)
    node = add_difference(result.segmentation, reference_of(volume, labels), "anterior")
    one, other = samples.labels() == 1, labels == 1
    expected = (one & ~other, other & ~one, one & other)
    for number, mask in enumerate(expected):
        segment_id = node.GetSegmentation().GetNthSegmentID(number)
        shown = slicer.util.arrayFromSegmentBinaryLabelmap(node, segment_id, volume) > 0
        np.testing.assert_array_equal(shown, mask)


def test_segments_that_were_renamed_are_compared_by_their_names(volume, result) -> None:
    reference = reference_of(volume, samples.labels(), ("anterior", "posterior"))
    segments = [reference.GetSegmentation().GetSegment(name) for name in ("anterior", "posterior")]
    for segment, name in zip(segments, ("posterior", "anterior"), strict=True):
        segment.SetName(name)
    assert [one.dice for one in compare(result.segmentation, reference)] == [0, 0]
    # What has the name of no other structure is still known by its identifier.
    segments[0].SetName("head")
    segments[1].SetName("posterior")
    assert [one.dice for one in compare(result.segmentation, reference)] == [1, 1]
    # One segment is not the reference of two structures.
    segments[0].SetName("posterior")
    segments[1].SetName("tail")
    assert [one.segment_id for one in compare(result.segmentation, reference)] == ["posterior"]


def test_a_reference_without_a_common_name_is_refused_with_what_it_has(volume, result) -> None:
    reference = reference_of(volume, samples.labels(), ("head", "tail"))
    with pytest.raises(InputError, match="there: head, tail"):
        compare(result.segmentation, reference)
    with pytest.raises(InputError):
        add_difference(result.segmentation, reference, "anterior")
