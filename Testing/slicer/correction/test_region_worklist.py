"""Uncertain regions are worked off one by one, and what is done survives saving and loading."""

from __future__ import annotations

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")

from MultiTaskSegLib.correction.corrected_segment import results_in
from MultiTaskSegLib.correction.region_worklist import RegionWorklist
from MultiTaskSegLib.correction.segment_at_place import segment_at
from MultiTaskSegLib.scene import result
from MultiTaskSegLib.scene.uncertain_region import place_ras
from Testing.slicer import scene_samples as samples
from Testing.slicer.scene.test_result_table import found

pytestmark = pytest.mark.usefixtures("session")


def made_with(*boxes: tuple[slice, ...]):
    """A result that is uncertain in these boxes of the array."""
    job = found()
    job.uncertainty[:] = 0
    for box in boxes:
        job.uncertainty[box] = 0.9
    return result.add_result(samples.volume("oblique"), job)


LARGE, MIDDLE, SMALL = np.s_[0:3, 0:4, 0:4], np.s_[5:8, 0:3, 0:3], np.s_[5:7, 8:10, 10:12]


def test_regions_are_gone_through_from_the_largest_and_those_that_are_done_are_passed_over():
    work = RegionWorklist(made_with(SMALL, LARGE, MIDDLE).segmentation)
    large, middle, small = work.regions
    assert [region.voxels for region in work.regions] == [48, 27, 8]
    assert work.after(None) is large
    assert work.after(large) is middle
    work.set_done(middle)
    assert work.after(large) is small
    assert work.after(small) is large
    assert (work.done_count, work.left) == (1, [large, small])
    for region in (large, small):
        work.set_done(region)
    assert work.left == []
    assert work.after(large) is middle  # once more
    work.set_done(middle, False)
    assert (work.left, work.after(None), work.number_of(middle)) == ([middle], middle, 2)


def test_without_regions_there_is_none_to_go_to():
    work = RegionWorklist(made_with().segmentation)
    assert (work.after(None), work.left, work.done_count) == (None, [], 0)


def test_what_is_done_is_kept_with_the_scene(session, tmp_path):
    work = RegionWorklist(made_with(SMALL, LARGE, MIDDLE).segmentation)
    work.set_done(work.regions[1])
    bundle = str(tmp_path / "scene.mrb")
    session.scene.SetURL(bundle)
    assert session.scene.WriteToMRB(bundle)
    session.scene.Clear(0)
    assert session.scene.ReadFromMRB(bundle)
    again = RegionWorklist(results_in(session.scene)[0])
    assert [again.is_done(region) for region in again.regions] == [False, True, False]


@pytest.mark.parametrize("kind", ["axial", "oblique", "left-handed"])
@pytest.mark.parametrize("is_moved", [False, True])
@pytest.mark.parametrize(
    ("place_ijk", "expected"),
    [
        ((4, 3, 2), ("anterior", True)),
        ((4, 3, 5), ("posterior", True)),
        ((3, 4, 0), ("anterior", False)),  # a voxel beside it
        ((14, 11, 8), ("anterior", False)),  # far away; of this one there is more
    ],
)
def test_the_segment_at_a_place_is_the_one_there_or_the_nearest(kind, is_moved, place_ijk, expected):
    volume = samples.volume(kind)
    if is_moved:
        matrix = np.eye(4)
        matrix[:3, :3], matrix[:3, 3] = samples.rotation(1, 33), (5, -40, 12)
        samples.linear_transform(volume, matrix)
    segmentation = result.add_result(volume, found()).segmentation
    assert segment_at(segmentation, place_ras(volume, place_ijk)) == expected


def test_where_there_is_no_segment_there_is_none():
    volume = samples.volume()
    segmentation = result.add_result(volume, found(is_empty=True)).segmentation
    assert segment_at(segmentation, place_ras(volume, (1, 1, 1))) == (None, False)
    full = result.add_result(volume, found()).segmentation
    assert segment_at(full, np.array([900.0, 900.0, 900.0])) == (None, False)
