"""The picture of a result: which slice, which way round, in which proportions, and which pixels are outlined."""

from __future__ import annotations

import numpy as np
import pytest

from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.thumbnail.outline import outline
from MultiTaskSegLib.runtime.thumbnail.pixel_grid import PixelGrid
from MultiTaskSegLib.runtime.thumbnail.thumbnail import shown_slice, thumbnail

RED, BLUE = (255, 0, 0), (0, 0, 255)
CUBE_MM = np.diag([1.0, 1.0, 1.0, 1.0])


def of_size(shape: tuple[int, int, int], ijk_to_lps: np.ndarray = CUBE_MM) -> Volume:
    voxels = np.random.default_rng(0).normal(100.0, 20.0, shape).astype(np.float32)
    return Volume(voxels, ijk_to_lps)


def ball(shape: tuple[int, int, int], centre: tuple[int, int, int], radius: float) -> np.ndarray:
    grid = np.indices(shape) - np.reshape(centre, (3, 1, 1, 1))
    return ((grid**2).sum(axis=0) <= radius**2).astype(np.uint8)


def turned(ijk_to_lps: np.ndarray, shape: tuple[int, int, int], order: tuple[int, int, int], flips: tuple[bool, ...]):
    """The matrix of the same image, stored with its ``(Z, Y, X)`` axes in another order, some of them backwards."""
    stored = np.arange(3)[list(order)]
    matrix = np.eye(4)
    columns = {axis: ijk_to_lps[:3, 2 - axis] for axis in range(3)}
    origin = ijk_to_lps[:3, 3].copy()
    for place, axis in enumerate(stored):
        step = columns[axis]
        if flips[place]:
            origin = origin + step * (shape[axis] - 1)
            step = -step
        matrix[:3, 2 - place] = step
    matrix[:3, 3] = origin
    return matrix


def coloured(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return (picture == colour).all(axis=2)


def border_by_hand(labels: np.ndarray, value: int) -> np.ndarray:
    found = np.zeros(labels.shape, bool)
    for y, x in np.argwhere(labels == value):
        for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0)):
            inside = 0 <= y + dy < labels.shape[0] and 0 <= x + dx < labels.shape[1]
            found[y, x] |= not inside or labels[y + dy, x + dx] != value
    return found


def test_exactly_the_border_of_each_label_is_outlined_in_the_slice_with_the_most_labelled_voxels():
    volume = of_size((9, 40, 40))
    labels = ball(volume.shape, (6, 20, 15), 8)
    labels[ball(volume.shape, (6, 20, 25), 6) > 0] = 2
    counts = (labels > 0).sum(axis=(1, 2))
    assert shown_slice(labels) == counts.argmax() == 6
    picture = thumbnail(volume, labels, {1: RED, 2: BLUE}, longest=40)
    np.testing.assert_array_equal(coloured(picture, RED), border_by_hand(labels[6], 1))
    np.testing.assert_array_equal(coloured(picture, BLUE), border_by_hand(labels[6], 2))
    grey = ~(coloured(picture, RED) | coloured(picture, BLUE))
    assert (picture[grey].max(axis=1) == picture[grey].min(axis=1)).all()


def test_a_structure_at_the_edge_of_the_image_is_closed_there():
    np.testing.assert_array_equal(outline(np.ones((3, 4), np.bool_)), border_by_hand(np.ones((3, 4)), 1))


def test_an_axial_picture_has_the_right_of_the_patient_at_its_left_and_the_front_at_its_top():
    volume = Volume(np.zeros((5, 20, 20), np.float32), CUBE_MM)  # X to the left, Y to the back
    volume.voxels[2, 2:6, 2:6] = 1.0  # right and front
    picture = thumbnail(volume, np.zeros(volume.shape, np.uint8), {}, longest=20)
    bright = np.argwhere(picture[..., 0] == 255)
    assert (bright.min(axis=0).tolist(), bright.max(axis=0).tolist()) == ([2, 2], [5, 5])


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (0, 2, 1)])
@pytest.mark.parametrize("flips", [(False, False, False), (True, False, True), (False, True, True)])
def test_the_picture_does_not_depend_on_how_the_image_is_stored(order, flips):
    volume = of_size((7, 20, 30), np.diag([2.0, 1.0, 1.5, 1.0]))
    labels = ball(volume.shape, (4, 8, 20), 5)
    back = tuple(slice(None, None, -1) if flip else slice(None) for flip in flips)
    other = Volume(
        np.ascontiguousarray(volume.voxels.transpose(order)[back]),
        turned(volume.ijk_to_lps, volume.shape, order, flips),
    )
    np.testing.assert_array_equal(
        thumbnail(other, np.ascontiguousarray(labels.transpose(order)[back]), {1: RED}),
        thumbnail(volume, labels, {1: RED}),
    )


def test_a_tilted_image_is_shown_in_its_own_slices():
    angle = np.radians(20.0)
    tilt = np.eye(4)
    tilt[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    volume = of_size((7, 20, 30))
    labels = ball(volume.shape, (4, 8, 20), 5)
    expected = thumbnail(volume, labels, {1: RED})
    np.testing.assert_array_equal(thumbnail(Volume(volume.voxels, tilt), labels, {1: RED}), expected)


def test_thick_slices_of_a_sagittal_scan_are_shown_with_the_head_up_and_the_face_to_the_left():
    sagittal = np.array([[0.0, 0, 4, 0], [1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]])  # X back, Y down, Z left
    volume = Volume(np.zeros((6, 20, 30), np.float32), sagittal)
    volume.voxels[:, 1:4, 1:4] = 1.0  # up and in front
    picture = thumbnail(volume, np.zeros(volume.shape, np.uint8), {}, longest=30)
    assert picture.shape == (20, 30, 3)
    assert np.argwhere(picture[..., 0] == 255).max(axis=0).tolist() == [3, 3]


@pytest.mark.parametrize(
    ("spacing_mm", "size"), [((1.0, 1.0), (80, 160)), ((1.0, 4.0), (160, 80)), ((0.5, 1.0), (160, 160))]
)
def test_lengths_are_in_the_proportions_of_millimetres(spacing_mm, size):
    x_mm, y_mm = spacing_mm
    volume = of_size((4, 20, 40), np.diag([x_mm, y_mm, 12.0, 1.0]))
    assert thumbnail(volume, np.zeros(volume.shape, np.uint8), {}).shape == (*size, 3)


def test_a_picture_of_one_slice_is_shown_as_it_is():
    volume = of_size((1, 12, 24))
    labels = np.zeros(volume.shape, np.uint8)
    labels[0, 3:9, 4:20] = 1
    picture = thumbnail(volume, labels, {1: RED}, longest=24)
    np.testing.assert_array_equal(coloured(picture, RED), border_by_hand(labels[0], 1))


def test_an_empty_result_shows_the_middle_slice_without_an_outline():
    volume = of_size((9, 10, 10))
    picture = thumbnail(volume, np.zeros(volume.shape, np.uint8), {1: RED}, longest=10)
    assert not coloured(picture, RED).any()
    middle = Volume(volume.voxels[4:5], CUBE_MM)
    np.testing.assert_array_equal(picture, thumbnail(middle, np.zeros((1, 10, 10), np.uint8), {}, longest=10))


def test_each_of_overlapping_regions_has_its_whole_outline():
    volume = of_size((3, 30, 30))
    regions = np.stack([ball(volume.shape, (1, 15, 15), 9), ball(volume.shape, (1, 15, 15), 4)]).astype(bool)
    labels = np.maximum(regions[0], regions[1] * 2).astype(np.uint8)
    picture = thumbnail(volume, labels, {1: RED, 2: BLUE}, regions, longest=30)
    np.testing.assert_array_equal(coloured(picture, RED), border_by_hand(regions[0, 1], True))
    np.testing.assert_array_equal(coloured(picture, BLUE), border_by_hand(regions[1, 1], True))


def test_a_structure_smaller_than_a_pixel_of_the_picture_is_seen():
    volume = of_size((3, 200, 200))
    labels = np.zeros(volume.shape, np.uint8)
    labels[1, 101, 57] = 1
    picture = thumbnail(volume, labels, {1: RED}, longest=20)
    assert np.argwhere(coloured(picture, RED)).tolist() == [[10, 5]]


@pytest.mark.parametrize("at", [(101, 57), (100, 20)])  # within another structure, and on its border
def test_a_small_structure_is_seen_within_and_beside_one_of_a_higher_label(at):
    volume = of_size((3, 200, 200))
    labels = np.zeros(volume.shape, np.uint8)
    labels[1, 20:180, 20:180] = 2
    labels[(1, *at)] = 1
    picture = thumbnail(volume, labels, {1: RED, 2: BLUE}, longest=20)
    assert np.argwhere(coloured(picture, RED)).tolist() == [[at[0] // 10, at[1] // 10]]


def test_a_smaller_picture_shows_the_means_of_its_blocks():
    values = np.random.default_rng(1).normal(size=(12, 20)).astype(np.float32)
    grid = PixelGrid.of((12, 20), (1.0, 1.0), 10)
    np.testing.assert_allclose(grid.means(values), values.reshape(6, 2, 10, 2).mean(axis=(1, 3)), rtol=1e-5, atol=1e-6)


def test_a_larger_picture_repeats_pixels_and_changes_no_value():
    values = np.random.default_rng(1).normal(size=(3, 5)).astype(np.float32)
    grid = PixelGrid.of((3, 5), (1.0, 1.0), 20)
    np.testing.assert_array_equal(grid.means(values), values.repeat(4, axis=0).repeat(4, axis=1))


def test_an_image_of_one_value_is_grey():
    volume = Volume(np.full((3, 8, 8), 7.0, np.float32), CUBE_MM)
    assert (thumbnail(volume, np.zeros(volume.shape, np.uint8), {}) == 128).all()


@pytest.mark.parametrize("value", [7.3, 12345.678, -1000.1])
def test_an_image_of_one_value_is_grey_in_whatever_blocks_it_is_shown(value):
    volume = Volume(np.full((1, 512, 511), value, np.float32), CUBE_MM)
    assert (thumbnail(volume, np.zeros(volume.shape, np.uint8), {}) == 128).all()


def test_little_that_is_bright_in_a_slice_of_one_value_is_seen():
    volume = Volume(np.zeros((1, 160, 160), np.float32), CUBE_MM)
    volume.voxels[0, 50:55, 60:65] = 500.0
    picture = thumbnail(volume, np.zeros(volume.shape, np.uint8), {})
    np.testing.assert_array_equal(picture[..., 0], np.where(volume.voxels[0] > 0, 255, 0))


def test_the_largest_values_that_an_image_can_have_are_told_apart():
    volume = Volume(np.full((1, 320, 320), 3e38, np.float32), CUBE_MM)
    volume.voxels[0, :160] = -3e38
    picture = thumbnail(volume, np.zeros(volume.shape, np.uint8), {})
    assert (picture[:80] == 0).all()
    assert (picture[80:] == 255).all()


def test_one_bright_pixel_does_not_darken_the_others():
    volume = of_size((1, 40, 40))
    plain = thumbnail(volume, np.zeros(volume.shape, np.uint8), {}, longest=40).mean()
    volume.voxels[0, 5, 5] = 1e6
    assert thumbnail(volume, np.zeros(volume.shape, np.uint8), {}, longest=40).mean() == pytest.approx(plain, rel=0.1)
