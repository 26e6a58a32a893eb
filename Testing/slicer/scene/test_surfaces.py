"""Surfaces: smooth, and as large as the voxels they stand for, also through thick slices."""

from __future__ import annotations

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from MultiTaskSegLib.scene.segmentation import add_segmentation
from MultiTaskSegLib.scene.surface.kept_volume import keep_volume, surface_volume_mm3
from MultiTaskSegLib.scene.surface.surfaces import show_3d, smoothing_of

TISSUE = "Segmentation category and type~SCT^85756007^Tissue~SCT^85756007^Tissue~^^~Anatomic codes~^^~^^"
LEGEND = [
    {"value": value, "name": name, "display_name": name, "colour": (200, 30, 30 * value), "terminology": TISSUE}
    for value, name in ((1, "ball"), (2, "rod"), (3, "absent"))
]


def thick_slices() -> tuple[object, np.ndarray, float]:
    """A ball and a rod of voxels of 1.25 x 1.25 x 8 mm, the grid of a cardiac stack."""
    z, y, x = np.mgrid[:10, :48, :48].astype(float)
    labels = (((x - 16) * 1.25) ** 2 + ((y - 20) * 1.25) ** 2 + ((z - 4.6) * 8) ** 2 < 17**2).astype(np.uint8)
    labels[2:8, 36:40, 30:34] = 2
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "stack")
    slicer.util.updateVolumeFromArray(volume, labels.astype(np.int16))
    volume.SetSpacing(1.25, 1.25, 8.0)
    return volume, labels, 1.25 * 1.25 * 8.0


@pytest.fixture
def stack(session):
    volume, labels, voxel_mm3 = thick_slices()
    node = add_segmentation(volume, labels, LEGEND, "Result")
    return node, {name: float((labels == value).sum()) * voxel_mm3 for value, name in ((1, "ball"), (2, "rod"))}


def surface_of(node, name: str) -> vtk.vtkPolyData:
    return node.GetSegmentation().GetSegment(name).GetRepresentation("Closed surface")


@pytest.mark.parametrize("smoothing", [0.0, 0.5, 1.0])
def test_surfaces_keep_the_volume_of_the_voxels_to_one_percent(stack, smoothing) -> None:
    node, volumes_mm3 = stack
    show_3d(node, smoothing=smoothing)
    assert smoothing_of(node) == smoothing
    for name, volume_mm3 in volumes_mm3.items():
        assert surface_volume_mm3(surface_of(node, name)) == pytest.approx(volume_mm3, rel=0.01)


def test_without_it_slicer_loses_more_than_that(stack) -> None:
    node, volumes_mm3 = stack
    assert node.CreateClosedSurfaceRepresentation()
    kept = {name: surface_volume_mm3(surface_of(node, name)) / size for name, size in volumes_mm3.items()}
    assert min(kept.values()) < 0.97


def test_more_smoothing_makes_flatter_surfaces(stack) -> None:
    def roughness(smoothing: float) -> float:
        """Area of the ball's surface: steps between slices make it larger."""
        show_3d(node, smoothing=smoothing)
        properties = vtk.vtkMassProperties()
        properties.SetInputData(surface_of(node, "ball"))
        return properties.GetSurfaceArea()

    node, _ = stack
    assert roughness(1.0) < roughness(0.5) < roughness(0.0)


def test_a_surface_that_is_there_is_shown_again_as_it_is(stack) -> None:
    node, _ = stack
    show_3d(node)
    before = vtk_to_numpy(surface_of(node, "ball").GetPoints().GetData()).copy()
    show_3d(node, is_shown=False)
    assert not node.GetDisplayNode().GetVisibility3D()
    show_3d(node)
    np.testing.assert_array_equal(vtk_to_numpy(surface_of(node, "ball").GetPoints().GetData()), before)


def test_the_volume_of_a_cube_is_exact_and_a_ball_can_be_given_another() -> None:
    cube = vtk.vtkCubeSource()
    cube.SetXLength(2.0)
    cube.SetCenter(100, -50, 30)
    cube.Update()
    assert surface_volume_mm3(cube.GetOutput()) == pytest.approx(2.0)
    source = vtk.vtkSphereSource()
    source.SetRadius(10.0)
    source.SetThetaResolution(60)
    source.SetPhiResolution(60)
    source.Update()
    ball = source.GetOutput()
    wanted = 1.2 * surface_volume_mm3(ball)
    assert keep_volume(ball, wanted)
    assert surface_volume_mm3(ball) == pytest.approx(wanted, rel=1e-3)
    radii = np.linalg.norm(vtk_to_numpy(ball.GetPoints().GetData()), axis=1)
    np.testing.assert_allclose(radii, 10 * 1.2 ** (1 / 3), rtol=5e-3)


def test_what_has_lost_more_than_half_or_has_nothing_is_left_alone() -> None:
    assert not keep_volume(vtk.vtkPolyData(), 5.0)
    cube = vtk.vtkCubeSource()
    cube.Update()
    assert not keep_volume(cube.GetOutput(), 5.0)
    assert surface_volume_mm3(cube.GetOutput()) == pytest.approx(1.0)


@pytest.mark.parametrize("smoothing", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("handedness", [1.0, -1.0])
def test_a_single_voxel_and_what_is_one_voxel_thin_keep_their_volume_and_place(session, smoothing, handedness) -> None:
    labels = np.zeros((8, 20, 20), np.uint8)
    labels[3, 4, 5] = 1
    labels[5, 2:16, 12] = 2
    volume = slicer.util.addVolumeFromArray(labels.astype(np.int16), np.diag([1.0, handedness, 3.0, 1.0]))
    node = add_segmentation(volume, labels, LEGEND, "Result")
    show_3d(node, smoothing=smoothing)
    for name, voxels, middle in (
        ("ball", 1, (5.0, 4.0 * handedness, 9.0)),
        ("rod", 14, (12.0, 8.5 * handedness, 15.0)),
    ):
        surface = surface_of(node, name)
        assert surface_volume_mm3(surface) == pytest.approx(3.0 * voxels, rel=0.01)
        np.testing.assert_allclose(surface.GetCenter(), middle, atol=0.1)
