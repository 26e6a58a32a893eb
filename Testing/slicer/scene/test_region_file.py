"""Slicer's own reader finds every region of a segmentation file complete, each in a layer of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MultiTaskSegLib.runtime.labels.seg_nrrd import write_seg_nrrd
from Testing.runtime.channel_model import REGIONS, channel_manifest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")
vtk = pytest.importorskip("vtk.util.numpy_support", reason="slicer-core is not installed for this Python")


def test_slicer_reads_overlapping_regions(tmp_path: Path) -> None:
    task = channel_manifest().task(REGIONS)
    regions = np.zeros((2, 6, 7, 8), dtype=np.bool_)
    regions[0, 1:5, 1:6, 1:7] = regions[1, 2:4, 2:4, 2:4] = True
    labels = sitk.GetImageFromArray(np.where(regions[1], 1, 2 * regions[0]).astype(np.uint8))
    labels.SetSpacing((1.0, 2.0, 3.0))
    write_seg_nrrd(labels, task, tmp_path / "regions.seg.nrrd", regions)
    scene, node = slicer.vtkMRMLScene(), slicer.vtkMRMLSegmentationNode()
    scene.AddNode(node)
    storage = slicer.vtkMRMLSegmentationStorageNode()
    storage.SetFileName(str(tmp_path / "regions.seg.nrrd"))
    assert storage.ReadData(node)
    segmentation = node.GetSegmentation()
    assert (segmentation.GetNumberOfSegments(), segmentation.GetNumberOfLayers()) == (2, 2)
    for number, (label, region) in enumerate(zip(task.labels, regions, strict=True)):
        segment = segmentation.GetNthSegment(number)
        image = segment.GetRepresentation("Binary labelmap")
        values = vtk.vtk_to_numpy(image.GetPointData().GetScalars()).reshape(region.shape)
        assert segment.GetName() == label.display_name
        np.testing.assert_array_equal(values == segment.GetLabelValue(), region)
