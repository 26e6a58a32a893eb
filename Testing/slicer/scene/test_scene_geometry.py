"""A volume goes out of the scene and a segmentation comes back, in the same place of the world."""

from __future__ import annotations

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.scene.heatmap import add_heatmap
from MultiTaskSegLib.scene.segmentation import add_segmentation
from MultiTaskSegLib.scene.volume import image_from_node, world_ijk_to_ras
from Testing.slicer import scene_samples as samples

KINDS = ["axial", "oblique", "flipped", "left-handed", "sagittal"]
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
pytestmark = pytest.mark.usefixtures("session")


def moved() -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = samples.rotation(1, 33) @ samples.rotation(0, -12)
    matrix[:3, 3] = [-4.0, 60.0, 11.0]
    return matrix


def segment_in_world(node, segment_id: str) -> np.ndarray:
    """World RAS positions ``(N, 3)`` of a segment's voxels, computed from the stored label image only."""
    labelmap = node.GetBinaryLabelmapInternalRepresentation(segment_id)
    matrix = vtk.vtkMatrix4x4()
    labelmap.GetImageToWorldMatrix(matrix)
    extent = np.array(labelmap.GetExtent()).reshape(3, 2)
    shape = (extent[:, 1] - extent[:, 0] + 1)[::-1]
    array = vtk_to_numpy(labelmap.GetPointData().GetScalars()).reshape(shape)
    value = node.GetSegmentation().GetSegment(segment_id).GetLabelValue()
    ijk = np.argwhere(array == value)[:, ::-1] + extent[:, 0]
    return in_world(ijk, parent_matrix(node) @ slicer.util.arrayFromVTKMatrix(matrix))


def parent_matrix(node) -> np.ndarray:
    matrix = vtk.vtkMatrix4x4()
    if node.GetParentTransformNode() is not None:
        node.GetParentTransformNode().GetMatrixTransformToWorld(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def in_world(ijk: np.ndarray, ijk_to_ras: np.ndarray) -> np.ndarray:
    return (np.c_[ijk, np.ones(len(ijk))] @ ijk_to_ras.T)[:, :3]


@pytest.mark.parametrize("kind", KINDS)
def test_the_image_has_the_voxels_and_the_world_matrix_of_the_node(kind):
    node = samples.volume(kind)
    image = image_from_node(node)
    assert image.voxels.dtype == np.float32
    np.testing.assert_array_equal(image.voxels, slicer.util.arrayFromVolume(node))
    np.testing.assert_allclose(image.ijk_to_ras, samples.ijk_to_ras(kind), atol=1e-12)
    np.testing.assert_allclose(image.ijk_to_lps, LPS @ samples.ijk_to_ras(kind), atol=1e-12)
    assert image.name == "Scan"


def test_the_image_does_not_share_memory_with_the_node():
    node = samples.volume()
    image = image_from_node(node)
    image.voxels[:] = -1
    assert slicer.util.arrayFromVolume(node).min() == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_parent_transform_moves_the_image_in_the_world(kind):
    node = samples.volume(kind)
    samples.linear_transform(node, moved())
    np.testing.assert_allclose(world_ijk_to_ras(node), moved() @ samples.ijk_to_ras(kind), atol=1e-9)


def test_nested_transforms_are_applied_from_the_inside_out():
    node = samples.volume()
    inner = samples.linear_transform(node, moved())
    samples.linear_transform(inner, np.diag([1.0, -1.0, 1.0, 1.0]))
    expected = np.diag([1.0, -1.0, 1.0, 1.0]) @ moved() @ samples.ijk_to_ras("axial")
    np.testing.assert_allclose(world_ijk_to_ras(node), expected, atol=1e-9)


@pytest.mark.parametrize("under_transform", [False, True], ids=["no transform", "linear transform"])
@pytest.mark.parametrize("kind", KINDS)
def test_segment_voxels_are_where_the_labels_were_to_the_voxel(kind, under_transform):
    node = samples.volume(kind)
    if under_transform:
        samples.linear_transform(node, moved())
    world = world_ijk_to_ras(node)
    segmentation = add_segmentation(node, samples.labels(), samples.LEGEND, "Result")
    for value, segment_id in ((1, "anterior"), (2, "posterior")):
        expected = in_world(np.argwhere(samples.labels() == value)[:, ::-1], world)
        np.testing.assert_allclose(segment_in_world(segmentation, segment_id), expected, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_slicer_reads_each_segment_back_on_the_grid_of_the_volume(kind):
    node = samples.volume(kind)
    segmentation = add_segmentation(node, samples.labels(), samples.LEGEND, "Result")
    for value, segment_id in ((1, "anterior"), (2, "posterior")):
        mask = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, segment_id, node)
        np.testing.assert_array_equal(mask, samples.labels() == value)


def test_the_segmentation_moves_with_the_transform_of_its_volume():
    node = samples.volume()
    transform = samples.linear_transform(node, np.eye(4))
    segmentation = add_segmentation(node, samples.labels(), samples.LEGEND, "Result")
    before = segment_in_world(segmentation, "anterior")
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(moved()))
    np.testing.assert_allclose(segment_in_world(segmentation, "anterior"), in_world(before, moved()), atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_the_heatmap_lies_on_the_grid_of_the_volume(kind):
    node = samples.volume(kind)
    samples.linear_transform(node, moved())
    uncertainty = np.linspace(0, 1, 9 * 12 * 15, dtype=np.float32).reshape(9, 12, 15)
    heatmap = add_heatmap(node, uncertainty, "Uncertainty")
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(heatmap), uncertainty)
    np.testing.assert_allclose(world_ijk_to_ras(heatmap), world_ijk_to_ras(node), atol=1e-12)


def test_a_non_linear_parent_transform_is_refused_and_the_way_out_is_named():
    node = samples.volume()
    samples.warp_transform(node)
    with pytest.raises(InputError, match=r"non-linear transform 'Warp': Scan\. Harden the transform"):
        image_from_node(node)


def test_no_node_is_refused():
    with pytest.raises(InputError, match="no volume is selected"):
        image_from_node(None)


def test_a_node_without_image_data_is_refused():
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Nothing")
    with pytest.raises(InputError, match="the volume is empty: Nothing"):
        image_from_node(node)


def test_a_label_map_is_refused():
    node = slicer.util.addVolumeFromArray(np.ones((3, 4, 5), np.uint8), nodeClassName="vtkMRMLLabelMapVolumeNode")
    with pytest.raises(InputError, match="label map"):
        image_from_node(node)


def test_a_colour_image_is_refused():
    node = slicer.util.addVolumeFromArray(np.ones((3, 4, 5, 3), np.uint8), nodeClassName="vtkMRMLVectorVolumeNode")
    with pytest.raises(InputError, match="several values"):
        image_from_node(node)


def test_several_values_per_voxel_in_a_scalar_node_are_refused():
    image = vtk.vtkImageData()
    image.SetDimensions(4, 4, 4)
    image.AllocateScalars(vtk.VTK_FLOAT, 5)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Frames")
    node.SetAndObserveImageData(image)
    with pytest.raises(InputError, match="5 values per voxel"):
        image_from_node(node)


def test_another_kind_of_node_is_refused():
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLModelNode", "Surface")
    with pytest.raises(InputError, match="not a scalar volume: Surface"):
        image_from_node(node)


def test_labels_of_another_shape_are_refused():
    with pytest.raises(InputError, match="shape"):
        add_segmentation(samples.volume(), np.zeros((3, 3, 3), np.uint8), samples.LEGEND, "Result")
