"""Resampled label maps: areas by brute force, and what must not depend on how the map lies."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from trainer.data.label_resampling import resample_labels

SHAPES = [
    ((8, 8), (4, 4)), ((512, 6), (256, 3)), ((7, 9), (3, 4)), ((9, 10), (9, 4)), ((5, 6), (3, 11)), ((3, 4), (9, 12)),
    ((4, 7), (7, 11)), ((1, 5), (4, 1)),
]  # fmt: skip


def blobs(shape: tuple[int, ...], labels: int = 3, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, labels + 1, size=shape).astype(np.uint8)


def by_brute_force(labels: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Every old voxel becomes as many small ones as it has to, so that each new voxel holds whole ones."""
    fine = labels
    for axis, count in enumerate(shape):
        fine = np.repeat(fine, count, axis=axis)
    result = np.zeros(shape, dtype=np.uint8)
    for place in product(*(range(n) for n in shape)):
        cell = fine[tuple(slice(i * n, (i + 1) * n) for i, n in zip(place, labels.shape, strict=True))]
        counts = np.bincount(cell.ravel(), minlength=256)
        tied = np.flatnonzero(counts == counts.max())
        result[place] = tied[-1]
    return result


@pytest.mark.parametrize(
    "shape_in, shape_out", [((8, 8), (4, 4)), ((7, 9), (3, 4)), ((9, 10), (8, 4)), ((6, 5), (1, 3))]
)
@pytest.mark.parametrize("labels", [1, 3])
def test_a_coarser_voxel_has_the_label_that_covers_most_of_it_and_of_equals_the_larger(
    shape_in: tuple[int, int], shape_out: tuple[int, int], labels: int
) -> None:
    for seed in range(5):
        image = blobs(shape_in, labels, seed)
        np.testing.assert_array_equal(resample_labels(image, shape_out), by_brute_force(image, shape_out))


@pytest.mark.parametrize("shape_in, shape_out", SHAPES)
def test_the_mirrored_map_gives_the_mirrored_result(shape_in: tuple[int, int], shape_out: tuple[int, int]) -> None:
    image = blobs(shape_in)
    for mirror in ((slice(None, None, -1), slice(None)), (slice(None), slice(None, None, -1))):
        np.testing.assert_array_equal(
            resample_labels(image[mirror], shape_out), resample_labels(image, shape_out)[mirror]
        )


@pytest.mark.parametrize("shape_in, shape_out", SHAPES)
def test_axes_may_be_exchanged_before_or_after(shape_in: tuple[int, int], shape_out: tuple[int, int]) -> None:
    image = blobs(shape_in)
    np.testing.assert_array_equal(resample_labels(image.T, shape_out[::-1]), resample_labels(image, shape_out).T)


@pytest.mark.parametrize("factors", [(1, 2, 2), (2, 2, 2), (3, 1, 4)])
def test_an_image_of_blocks_is_shrunk_to_one_voxel_per_block_and_grown_back(factors: tuple[int, int, int]) -> None:
    small = blobs((3, 5, 4), 30)
    large = small
    for axis, factor in enumerate(factors):
        large = np.repeat(large, factor, axis=axis)
    np.testing.assert_array_equal(resample_labels(large, small.shape), small)
    np.testing.assert_array_equal(resample_labels(small, large.shape), large)


def test_a_finer_voxel_has_the_label_in_which_its_centre_lies_and_on_a_face_the_larger() -> None:
    # Centres of five voxels on a line of three, in voxels of the line: .3, .9, 1.5, 2.1, 2.7.
    np.testing.assert_array_equal(resample_labels(np.array([1, 2, 3], dtype=np.uint8), (5,)), [1, 1, 2, 3, 3])
    # The middle one of three on a line of two lies on the face between them.
    np.testing.assert_array_equal(resample_labels(np.array([0, 4], dtype=np.uint8), (3,)), [0, 4, 4])
    np.testing.assert_array_equal(resample_labels(np.array([4, 0], dtype=np.uint8), (3,)), [4, 4, 0])


def test_a_disc_stays_where_it_is() -> None:
    """Its centre of mass in millimetres, at an even ratio; the nearest voxel moved it by half a pixel."""
    y, x = np.indices((512, 512)) + 0.5
    disc = ((y - 200.3) ** 2 + (x - 301.8) ** 2 < 40.0**2).astype(np.uint8)
    found = np.argwhere(resample_labels(disc, (256, 256))) + 0.5
    np.testing.assert_allclose(2 * found.mean(axis=0), (np.argwhere(disc) + 0.5).mean(axis=0), atol=0.1)
    assert 4 * len(found) == pytest.approx(int(disc.sum()), rel=0.02)


def test_the_same_grid_gives_the_same_map_and_kind_of_number() -> None:
    image = blobs((3, 4, 5), 255)
    assert resample_labels(image, image.shape) is image
    assert resample_labels(image.astype(np.int32), (2, 2, 2)).dtype == np.int32
