"""Regions of interest of the scene as boxes in the world: Slicer's own ROI nodes tell what lies in them."""

from __future__ import annotations

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")
import vtk

from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.runtime.selection.region_file import region_in_file
from MultiTaskSegLib.scene.volume import image_from_node
from MultiTaskSegLib.scene.wish.region_node import add_region_of_views, region_of
from MultiTaskSegLib.scene.wish.wish import wish_of
from Testing.slicer import scene_samples as samples


def turned(degrees: float, scale: float = 1.0) -> vtk.vtkMatrix4x4:
    transform = vtk.vtkTransform()
    transform.Translate(3, -2, 5)
    transform.RotateWXYZ(degrees, 0.3, 1.0, 0.5)
    transform.Scale(scale, scale, scale)
    return transform.GetMatrix()


def preset(orientation: str) -> vtk.vtkMatrix3x3:
    matrix = vtk.vtkMatrix3x3()
    getattr(slicer.vtkMRMLSliceNode, f"Get{orientation}SliceToRASMatrix")(matrix)
    return matrix


def roi_at(volume_node, size_mm=(9.0, 11.0, 13.0)):
    bounds = np.zeros(6)
    volume_node.GetRASBounds(bounds)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "ROI")
    node.SetCenter(*bounds.reshape(3, 2).mean(axis=1))
    node.SetSize(*size_mm)
    return node


def test_a_region_under_a_transform_holds_the_voxels_that_slicer_finds_in_it(session) -> None:
    volume_node = samples.volume("oblique")
    node = roi_at(volume_node)
    parent = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "turn")
    parent.SetMatrixTransformToParent(turned(25.0))
    node.SetAndObserveTransformNodeID(parent.GetID())
    image = image_from_node(volume_node)
    found = region_of(node).holds(image, (0, 0, 0), image.shape)
    expected = np.zeros(image.shape, bool)
    for z, y, x in np.ndindex(*image.shape):
        ras = (image.ijk_to_ras @ (x, y, z, 1))[:3]
        expected[z, y, x] = node.IsPointInROIWorld(ras)
    assert 0 < expected.sum() < expected.size
    np.testing.assert_array_equal(found, expected)


def test_a_region_that_a_transform_makes_larger_is_as_large_as_slicer_shows_it(session) -> None:
    # Slicer's own IsPointInROIWorld takes the size before the transform there, unlike the box that it draws.
    node = roi_at(samples.volume())
    parent = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "larger")
    parent.SetMatrixTransformToParent(turned(25.0, 1.4))
    node.SetAndObserveTransformNodeID(parent.GetID())
    shown_mm, centre = np.zeros(3), np.zeros(3)
    node.GetSizeWorld(shown_mm)
    node.GetCenterWorld(centre)
    np.testing.assert_allclose(region_of(node).size_mm, shown_mm)
    np.testing.assert_allclose(region_of(node).centre_ras_mm, centre)


def test_the_file_that_slicer_saves_is_the_same_region(session, tmp_path) -> None:
    node = roi_at(samples.volume())
    node.SetAndObserveObjectToNodeMatrix(turned(40.0))
    storage = slicer.vtkMRMLMarkupsROIJsonStorageNode()
    slicer.mrmlScene.AddNode(storage)
    storage.SetFileName(str(tmp_path / "ROI.mrk.json"))
    assert storage.WriteData(node)
    read, own = region_in_file(tmp_path / "ROI.mrk.json"), region_of(node)
    np.testing.assert_allclose(read.centre_ras_mm, own.centre_ras_mm, atol=1e-6)
    np.testing.assert_allclose(read.size_mm, own.size_mm, atol=1e-6)
    np.testing.assert_allclose(read.axes_ras, own.axes_ras, atol=1e-6)


def test_what_is_no_box_is_refused_in_words(session) -> None:
    node = roi_at(samples.volume())
    node.SetInsideOut(True)
    with pytest.raises(InputError, match="everything outside"):
        region_of(node)
    node.SetInsideOut(False)
    node.SetSize(0, 5, 5)
    with pytest.raises(InputError, match="no size"):
        region_of(node)
    node.SetSize(5, 5, 5)
    bent = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode", "bent")
    bent.SetAndObserveTransformToParent(vtk.vtkThinPlateSplineTransform())
    node.SetAndObserveTransformNodeID(bent.GetID())
    with pytest.raises(InputError, match="non-linear"):
        region_of(node)


def test_the_region_of_the_views_is_what_they_show_of_the_volume(session) -> None:
    volume_node = samples.volume()
    bounds = np.zeros(6)
    volume_node.GetRASBounds(bounds)
    middle = bounds.reshape(3, 2).mean(axis=1)
    for name, orientation in (("Red", "Axial"), ("Green", "Coronal")):
        view = slicer.vtkMRMLSliceNode()
        view.SetLayoutName(name)
        slicer.mrmlScene.AddNode(view)
        view.AddSliceOrientationPreset(orientation, preset(orientation))
        view.SetOrientation(orientation)
        view.SetFieldOfView(8.0, 6.0, 1.0)
        view.JumpSliceByCentering(*middle)
    node = add_region_of_views(volume_node)
    # Axial views span R and A, coronal ones R and S.
    np.testing.assert_allclose(node.GetSize(), (8.0, 6.0, 6.0), atol=1e-4)
    np.testing.assert_allclose(node.GetCenter(), middle, atol=1e-4)
    view.JumpSliceByCentering(1e4, 0, 0)
    view.SetMappedInLayout(0)
    slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSliceNode").SetMappedInLayout(1)
    np.testing.assert_allclose(add_region_of_views(volume_node).GetSize()[:2], (8.0, 6.0), atol=1e-4)
    view.SetMappedInLayout(1)
    with pytest.raises(InputError, match="show nothing"):
        add_region_of_views(volume_node)


def test_a_wish_for_everything_asks_for_nothing(session) -> None:
    assert wish_of() == {}
    node = roi_at(samples.volume())
    wish = wish_of(node, ["left"], True)
    assert wish == {"region": region_of(node).as_dict(), "whole_check": True, "structures": ["left"]}
