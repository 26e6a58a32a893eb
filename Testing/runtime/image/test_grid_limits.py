"""Limits of reorientation, of the network's grid and of its intensities, as numbers: a value on either side of each."""

from __future__ import annotations

import numpy as np
import pytest

from MultiTaskSegLib.runtime.image.geometry import canonical_reorientation
from MultiTaskSegLib.runtime.image.preparation import scale_intensity
from MultiTaskSegLib.runtime.image.profile import Intensity, Profile
from MultiTaskSegLib.runtime.image.volume import Volume

ONE_MM = Profile("one", "spacing", Intensity("percentile", 1.0, 99.0), spacing_zyx_mm=(1.0, 1.0, 1.0))
# Coronal slices: k runs along y of the body, so that only thickness keeps k as Z.
CORONAL = np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])


def empty(shape: tuple[int, int, int], spacing_zyx_mm: tuple[float, float, float]) -> Volume:
    """A large image that takes no memory."""
    return Volume(np.broadcast_to(np.float32(0), shape), np.diag([*spacing_zyx_mm[::-1], 1.0]))


def shape_on(profile: Profile, volume: Volume) -> tuple[int, int, int]:
    return profile.grid_shape(volume.shape, volume.spacing_mm[::-1])


@pytest.mark.parametrize(
    ("spacing_ijk_mm", "is_thick"),
    [
        ((1.0, 1.0, 3.01), True),
        ((1.0, 1.0, 2.99), False),
        # Unequal pixels: it is the longer side that counts, wherever it lies.
        ((1.0, 1.3, 3.91), True),
        ((1.0, 1.3, 3.89), False),
        ((1.3, 1.0, 3.91), True),
        ((1.3, 1.0, 3.89), False),
    ],
)
def test_slices_are_thick_from_three_times_the_longer_side_of_a_pixel_on(
    spacing_ijk_mm: tuple[float, float, float], is_thick: bool
) -> None:
    voxels = np.zeros((3, 4, 5), np.float32)
    reorientation = canonical_reorientation(Volume(voxels, CORONAL @ np.diag([*spacing_ijk_mm, 1.0])))
    assert reorientation.axes[0] == (0 if is_thick else 1)


def test_of_two_single_rows_the_one_across_the_stored_slices_becomes_z() -> None:
    volume = Volume(np.zeros((1, 1, 5), np.float32), np.eye(4))
    assert canonical_reorientation(volume).axes[0] == 0


@pytest.mark.parametrize(("spacing_mm", "columns"), [(1.99, 1990), (2.0, 2000), (2.02, 2000), (2.9, 2000)])
def test_an_axis_is_made_at_most_twice_as_fine(spacing_mm: float, columns: int) -> None:
    assert shape_on(ONE_MM, empty((4, 4, 1000), (1.0, 1.0, spacing_mm))) == (4, 4, columns)


def test_percentiles_of_a_large_image_are_taken_from_all_of_it() -> None:
    # A ramp: any part of it, taken alone, has other percentiles.
    scaled = scale_intensity(np.linspace(0, 1, 4_500_000, dtype=np.float32), Intensity("percentile", 10.0, 90.0))
    assert (scaled == 0).mean() == pytest.approx(0.1, abs=1e-4)
    assert (scaled == 1).mean() == pytest.approx(0.1, abs=1e-4)


def test_percentiles_of_an_image_of_two_million_voxels_count_every_one_of_them() -> None:
    values = np.random.default_rng(2).normal(size=2_000_000).astype(np.float32)
    low, high = np.percentile(values, (1, 99))
    found = scale_intensity(values, ONE_MM.intensity)
    np.testing.assert_allclose(found[:1000], np.clip((values[:1000] - low) / (high - low), 0, 1), atol=1e-6)


def test_an_image_whose_lowest_value_is_the_end_of_an_absolute_scale_does_not_suit_it() -> None:
    profile = Profile("ct", "spacing", Intensity("range", -100.0, 300.0), spacing_zyx_mm=(1.0, 1.0, 1.0))
    for lowest, is_suited in ((-100.0, False), (-100.5, True)):
        voxels = np.zeros((3, 4, 5), np.float32)
        voxels[0, 0, 0] = lowest
        assert profile.suits(Volume(voxels, np.eye(4))) is is_suited
