"""Regions of high uncertainty, the most uncertain place of a segment, and the jump of the slice views to it."""

from __future__ import annotations

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")

from MultiTaskSegLib.scene import heatmap, uncertain_region
from MultiTaskSegLib.scene.segmentation import add_segmentation
from Testing.slicer import scene_samples as samples

SHAPE = (9, 12, 15)
pytestmark = pytest.mark.usefixtures("session")


def spotted() -> np.ndarray:
    """Three boxes of 2, 12 and 6 voxels, the largest with its peak in a corner; a fourth one is below the limit."""
    uncertainty = np.zeros(SHAPE, np.float32)
    uncertainty[1, 1, 1:3] = 0.6
    uncertainty[4:6, 4:6, 4:7] = 0.5
    uncertainty[5, 5, 6] = 1.0
    uncertainty[8, 9:11, 10:13] = 0.9
    uncertainty[0, 8:12, 0:5] = 0.49
    return uncertainty


def test_regions_come_from_the_largest_to_the_smallest_with_their_volume():
    regions = uncertain_region.uncertain_regions(spotted(), one_voxel_mm3=500.0)
    assert [region.volume_ml for region in regions] == [6.0, 3.0, 1.0]


def test_the_place_of_a_region_is_its_most_uncertain_neighbourhood():
    places = [region.place_ijk for region in uncertain_region.uncertain_regions(spotted(), 1.0)]
    # The neighbourhood of voxel (5, 5, 5) (ijk) holds the peak and all twelve voxels of the first region.
    assert places[0] == (5, 5, 5)
    assert 10 <= places[1][0] <= 12
    assert places[1][2] == 8


def test_voxels_that_touch_at_a_corner_are_one_region():
    uncertainty = np.zeros((4, 4, 4), np.float32)
    uncertainty[1, 1, 1] = uncertainty[2, 2, 2] = 0.8
    assert len(uncertain_region.uncertain_regions(uncertainty, 1.0)) == 1


@pytest.mark.parametrize("value", [0.0, 0.4999])
def test_a_map_without_high_uncertainty_has_no_regions(value):
    assert uncertain_region.uncertain_regions(np.full(SHAPE, value, np.float32), 1.0) == []


def test_regions_do_not_depend_on_the_order_of_the_axes():
    uncertainty = np.random.default_rng(3).random(SHAPE).astype(np.float32)
    plain = uncertain_region.uncertain_regions(uncertainty, 1.0)
    turned = uncertain_region.uncertain_regions(np.ascontiguousarray(uncertainty.transpose(2, 1, 0)), 1.0)
    assert sorted(r.volume_ml for r in plain) == sorted(r.volume_ml for r in turned)


def test_one_stray_voxel_is_less_uncertain_than_a_neighbourhood():
    uncertainty = np.zeros(SHAPE, np.float32)
    uncertainty[2, 2, 2] = 1.0
    uncertainty[5:8, 5:8, 5:8] = 0.7
    mask = np.ones(SHAPE, bool)
    assert uncertain_region.most_uncertain_voxel(uncertainty, mask) == (6, 6, 6)
    mask[4:] = False
    i, j, k = uncertain_region.most_uncertain_voxel(uncertainty, mask)
    assert max(abs(i - 2), abs(j - 2), abs(k - 2)) <= 1


def test_an_empty_mask_has_no_most_uncertain_place():
    assert uncertain_region.most_uncertain_voxel(spotted(), np.zeros(SHAPE, bool)) is None


@pytest.mark.parametrize("kind", ["axial", "oblique", "left-handed", "sagittal"])
def test_the_place_of_a_segment_is_in_the_world_also_under_a_transform(kind):
    volume = samples.volume(kind)
    matrix = np.diag([1.0, -1.0, 1.0, 1.0])
    matrix[:3, 3] = [5.0, 6.0, 7.0]
    samples.linear_transform(volume, matrix)
    uncertainty = np.zeros(SHAPE, np.float32)
    uncertainty[1:4, 2:5, 3:6] = 0.8
    uncertainty[7, 7, 7] = 1.0  # outside the segment
    node = add_segmentation(volume, samples.labels(), samples.LEGEND, "Result")
    overlay = heatmap.add_heatmap(volume, uncertainty, "Uncertainty")
    place = uncertain_region.most_uncertain_place(node, "anterior", overlay)
    expected = matrix @ samples.ijk_to_ras(kind) @ [4, 3, 2, 1]
    np.testing.assert_allclose(place, expected[:3], atol=1e-6)


def test_a_missing_or_empty_segment_has_no_place():
    volume = samples.volume()
    node = add_segmentation(volume, np.zeros(SHAPE, np.uint8), samples.LEGEND, "Result")
    overlay = heatmap.add_heatmap(volume, spotted(), "Uncertainty")
    assert uncertain_region.most_uncertain_place(node, "anterior", overlay) is None
    assert uncertain_region.most_uncertain_place(node, "nobody", overlay) is None


def test_all_slice_views_are_centred_on_the_place(session):
    views = []
    for name, orientation in (("Red", "Axial"), ("Green", "Coronal"), ("Yellow", "Sagittal")):
        logic = slicer.vtkMRMLSliceLogic()
        logic.SetMRMLApplicationLogic(session.application_logic)
        logic.SetMRMLScene(session.scene)
        node = logic.AddSliceNode(name)
        node.SetOrientation(orientation)
        views.append((logic, node))
    uncertain_region.jump_slices(session.scene, np.array([10.0, -20.0, 30.0]))
    for _, node in views:
        centre = [node.GetSliceToRAS().GetElement(row, 3) for row in range(3)]
        np.testing.assert_allclose(centre, [10.0, -20.0, 30.0])
    crosshair = session.scene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
    assert crosshair.GetCrosshairRAS() == (10.0, -20.0, 30.0)


@pytest.mark.parametrize("corner", [(0, 0, 0), (4, 5, 6), (8, 11, 14)])
def test_the_place_in_a_small_segment_counts_the_neighbours_outside_it(corner):
    uncertainty = np.random.default_rng(7).random(SHAPE).astype(np.float32)
    mask = np.zeros(SHAPE, bool)
    mask[tuple(slice(max(index - 1, 0), index + 2) for index in corner)] = True
    padded = np.pad(uncertainty, 1, mode="edge").astype(np.float64)
    means = np.zeros(SHAPE)
    for z, y, x in np.ndindex(3, 3, 3):
        means += padded[z : z + SHAPE[0], y : y + SHAPE[1], x : x + SHAPE[2]] / 27
    k, j, i = np.unravel_index(np.argmax(np.where(mask, means, -1.0)), SHAPE)
    assert uncertain_region.most_uncertain_voxel(uncertainty, mask) == (i, j, k)
