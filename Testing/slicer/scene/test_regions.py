"""Segments that overlap: kept as they are in the scene, in its figures and on the disk."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")

from MultiTaskSegLib.job_result import result_of
from MultiTaskSegLib.runtime.errors import ResourceError
from MultiTaskSegLib.scene.earlier_result import is_handwork
from MultiTaskSegLib.scene.edited_segmentation import add_segments
from MultiTaskSegLib.scene.handwork import has_segments_as_made
from MultiTaskSegLib.scene.result import add_result
from MultiTaskSegLib.scene.result_table import rows_of
from Testing.slicer import scene_samples as samples
from Testing.slicer.scene.test_result_table import found

pytestmark = pytest.mark.usefixtures("session")
SHAPE = (9, 12, 15)


def two_regions() -> np.ndarray:
    """The second one lies partly in the first, partly outside."""
    regions = np.zeros((2, *SHAPE), bool)
    regions[0, 2:6, 3:9, 4:11] = True
    regions[1, 4:8, 5:10, 6:9] = True
    return regions


def overlapping():
    """A result whose segments overlap, and the voxels that each has."""
    regions = two_regions()
    labels = np.where(regions[1], 2, np.where(regions[0], 1, 0)).astype(np.uint8)  # later ones over earlier ones
    made = found()
    report = copy.deepcopy(made.report)
    for entry, region in zip(report["labels"], regions, strict=True):
        entry["voxels"] = int(region.sum())
        entry["volume_mm3"] = float(region.sum()) * 2.2
    return replace(made, report=report, labels=labels, regions=regions)


def masks(segmentation, volume) -> np.ndarray:
    ids = [entry["name"] for entry in samples.LEGEND]
    return np.stack([slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, name, volume) > 0 for name in ids])


@pytest.mark.parametrize("kind", ["axial", "oblique", "left-handed"])
def test_overlapping_regions_become_overlapping_segments(kind):
    volume = samples.volume(kind)
    made = add_result(volume, overlapping())
    np.testing.assert_array_equal(masks(made.segmentation, volume), two_regions())
    assert made.segmentation.GetSegmentation().GetNumberOfLayers() == 2


def test_figures_are_those_of_the_whole_regions():
    made = overlapping()
    uncertainty = np.where(two_regions()[0], 0.9, 0.1).astype(np.float32)
    rows = rows_of(add_result(samples.volume(), replace(made, uncertainty=uncertainty)).table)
    regions = two_regions()
    assert [row.voxels for row in rows] == [int(region.sum()) for region in regions]
    expected = [int((region & regions[0]).sum()) * 2.2 / 1000.0 for region in regions]
    assert [row.uncertain_ml for row in rows] == pytest.approx(expected)


def test_overlapping_segments_are_as_made_until_somebody_edits_one_of_them():
    volume = samples.volume()
    made = add_result(volume, overlapping())
    assert has_segments_as_made(made.segmentation, volume)
    assert not is_handwork(made.segmentation)
    changed = two_regions()[0].astype(np.uint8)
    changed[3, 4, 5] = 0  # where the other one is not
    slicer.util.updateSegmentBinaryLabelmapFromArray(changed, made.segmentation, samples.LEGEND[0]["name"], volume)
    assert not has_segments_as_made(made.segmentation, volume)


def test_segments_stay_overlapping_through_a_file(tmp_path):
    volume = samples.volume()
    made = add_result(volume, overlapping())
    storage = slicer.vtkMRMLSegmentationStorageNode()
    storage.SetFileName(str(tmp_path / "regions.seg.nrrd"))
    assert storage.WriteData(made.segmentation)
    again = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "again")
    assert storage.ReadData(again)
    np.testing.assert_array_equal(masks(again, volume), two_regions())


def test_the_segment_editor_gets_overlapping_segments_too():
    volume = samples.volume()
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "edited")
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    ids = add_segments(volume, segmentation, overlapping())
    assert ids == [entry["name"] for entry in samples.LEGEND]
    np.testing.assert_array_equal(masks(segmentation, volume), two_regions())


def test_as_many_regions_as_names_are_wanted():
    made = overlapping()
    with pytest.raises(ResourceError, match="1 regions and 2 names"):
        add_result(samples.volume(), replace(made, regions=made.regions[:1]))
    assert slicer.util.getNodesByClass("vtkMRMLSegmentationNode") == []


def test_the_worker_hands_regions_over_as_an_array(tmp_path):
    np.save(tmp_path / "regions.npy", two_regions())
    taken = result_of({"event": "result", "regions": str(tmp_path / "regions.npy")})
    assert taken.regions.dtype == bool
    np.testing.assert_array_equal(taken.regions, two_regions())
