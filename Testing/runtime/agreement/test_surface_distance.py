"""Distances between surfaces, against closed forms and a search over all pairs."""

from __future__ import annotations

import numpy as np
import pytest

from MultiTaskSegLib.runtime.agreement.mask_overlap import mask_overlap
from MultiTaskSegLib.runtime.agreement.surface_distance import surface_distances

SPACING = (3.0, 1.0, 0.5)


def cube(start: tuple[int, int, int], edge: int, shape: tuple[int, int, int] = (14, 16, 18)) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[tuple(slice(first, first + edge) for first in start)] = True
    return mask


def open_faces(mask: np.ndarray) -> np.ndarray:
    """Indices of voxels with a neighbour outside, one by one."""
    padded = np.pad(mask, 1)
    found = []
    for index in np.argwhere(padded):
        steps = [sign * np.eye(3, dtype=int)[axis] for axis in range(3) for sign in (-1, 1)]
        if not all(padded[tuple(index + step)] for step in steps):
            found.append(index - 1)
    return np.array(found)


def test_distances_are_those_of_a_search_over_all_pairs() -> None:
    rng = np.random.default_rng(2)
    one, other = rng.random((5, 6, 7)) > 0.6, rng.random((5, 6, 7)) > 0.6
    a, b = (open_faces(mask) * SPACING for mask in (one, other))
    pairs = np.linalg.norm(a[:, None] - b[None], axis=2)
    found = surface_distances(one, other, SPACING)
    np.testing.assert_allclose(np.sort(found.from_marked_mm), np.sort(pairs.min(axis=1)))
    np.testing.assert_allclose(np.sort(found.from_truth_mm), np.sort(pairs.min(axis=0)))
    # Each surface voxel counts alike, whichever mask it belongs to.
    assert found.mean_mm == pytest.approx(np.concatenate([pairs.min(axis=1), pairs.min(axis=0)]).mean())


def test_a_mask_and_itself_are_nothing_apart() -> None:
    mask = cube((4, 5, 6), 5)
    found = surface_distances(mask, mask, SPACING)
    assert found.hausdorff95_mm == 0
    assert found.surface_dice(0.0) == 1


def test_a_shift_along_an_axis_is_as_far_as_the_voxels_are_long() -> None:
    # Of two planes of voxels everything is one step apart.
    one, other = np.zeros((9, 8, 8), bool), np.zeros((9, 8, 8), bool)
    one[3], other[5] = True, True
    found = surface_distances(one, other, SPACING)
    assert found.hausdorff95_mm == pytest.approx(2 * SPACING[0])
    assert found.mean_mm == pytest.approx(2 * SPACING[0])
    assert found.surface_dice(5.9) == 0
    assert found.surface_dice(6.0) == 1


def test_it_does_not_matter_which_is_the_reference_nor_how_much_air_lies_around() -> None:
    one, other = cube((2, 3, 4), 6), cube((4, 5, 5), 6)
    found, turned = surface_distances(one, other, SPACING), surface_distances(other, one, SPACING)
    padded = surface_distances(np.pad(one, 5), np.pad(other, 5), SPACING)
    for distances in (turned, padded):
        assert distances.hausdorff95_mm == found.hausdorff95_mm
        assert distances.surface_dice(1.0) == found.surface_dice(1.0)


def test_of_a_picture_only_the_outline_is_its_surface() -> None:
    one = cube((0, 2, 2), 9, (1, 16, 16))
    assert surface_distances(one, one, SPACING).from_marked_mm.size == 4 * 9 - 4


def test_an_empty_mask_is_told_apart_from_two() -> None:
    mask, nothing = cube((4, 5, 6), 5), np.zeros((14, 16, 18), bool)
    missed = surface_distances(nothing, mask, SPACING)
    assert missed.surface_dice(1e6) == 0
    assert np.isnan(missed.hausdorff95_mm)
    assert np.isnan(surface_distances(nothing, nothing, SPACING).surface_dice(1.0))
    assert np.isnan(mask_overlap(nothing, nothing).dice)
