"""Preprocessing profiles: grids and intensities."""

from __future__ import annotations

import numpy as np
import pytest

from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.runtime.image.preparation import prepare, scale_intensity, spread_sample
from MultiTaskSegLib.runtime.image.profile import MAX_UPSAMPLING, Intensity, Profile
from MultiTaskSegLib.runtime.image.volume import Volume

PERCENTILE, HOUNSFIELD = Intensity("percentile", 1.0, 99.0), Intensity("range", -100.0, 300.0)
ONE_MM = Profile("one", "spacing", PERCENTILE, spacing_zyx_mm=(1.0, 1.0, 1.0))


def image(shape: tuple[int, int, int], spacing_zyx_mm: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> Volume:
    voxels = np.random.default_rng(1).random(shape, dtype=np.float32)
    return Volume(voxels, np.diag([*spacing_zyx_mm[::-1], 1.0]), "image")


def empty(shape: tuple[int, int, int], spacing_zyx_mm: tuple[float, float, float]) -> Volume:
    """A large image that takes no memory."""
    return Volume(np.broadcast_to(np.float32(0), shape), np.diag([*spacing_zyx_mm[::-1], 1.0]))


def shape_on(profile: Profile, volume: Volume) -> tuple[int, int, int]:
    return profile.grid_shape(volume.shape, volume.spacing_mm[::-1])


def test_the_grid_covers_the_same_extent_with_the_profile_s_voxels() -> None:
    profile = Profile("p", "spacing", PERCENTILE, spacing_zyx_mm=(2.0, 1.0, 0.5))
    assert shape_on(profile, image((10, 12, 14), (2.0, 1.0, 0.5))) == (10, 12, 14)
    assert shape_on(profile, image((10, 12, 14), (1.0, 1.5, 1.0))) == (5, 18, 28)


def test_an_image_smaller_than_a_voxel_of_the_profile_keeps_one_voxel() -> None:
    profile = Profile("p", "spacing", PERCENTILE, spacing_zyx_mm=(50.0, 50.0, 50.0))
    assert shape_on(profile, image((4, 4, 4))) == (1, 1, 1)


def test_no_axis_is_made_finer_than_the_limit() -> None:
    found = shape_on(ONE_MM, image((10, 10, 10), (1.9, 2.0, 5.5)))
    assert found == (19, round(10 * min(2.0, MAX_UPSAMPLING)), round(10 * MAX_UPSAMPLING))


def test_a_large_coarse_image_reaches_the_profile_s_spacing_like_a_small_one() -> None:
    for side in (50, 200, 400):
        assert shape_on(ONE_MM, empty((side, side, side), (1.9, 1.9, 1.9))) == (round(1.9 * side),) * 3
        assert shape_on(ONE_MM, empty((side, side, side), (0.5, 0.5, 0.5))) == (side // 2,) * 3


@pytest.mark.parametrize("shape, expected", [((1, 200, 100), (1, 64, 32)), ((1, 16, 32), (1, 32, 64))])
def test_a_2_d_image_fits_its_longer_side(shape: tuple[int, int, int], expected: tuple[int, int, int]) -> None:
    assert shape_on(Profile("fit", "fit", PERCENTILE, matrix=64), image(shape)) == expected


@pytest.mark.parametrize("aspect", [1, 2, 3, 4])
def test_a_2_d_image_has_square_pixels_on_the_network_s_grid_whatever_their_shape_in_the_file(aspect: int) -> None:
    fit = Profile("fit", "fit", PERCENTILE, matrix=64)
    assert shape_on(fit, image((1, 60, 120 // aspect), (1.0, 0.5, 0.5 * aspect))) == (1, 32, 64)
    assert shape_on(fit, image((1, 120 // aspect, 60), (1.0, 0.5 * aspect, 0.5))) == (1, 64, 32)


def test_a_line_of_pixels_keeps_one_pixel_across() -> None:
    assert shape_on(Profile("fit", "fit", PERCENTILE, matrix=64), image((1, 2, 1000))) == (1, 1, 64)


def test_the_distance_to_a_profile_is_zero_for_its_own_spacing_and_the_log_ratio_otherwise() -> None:
    assert ONE_MM.distance(image((3, 4, 5))) == pytest.approx(0.0)
    assert ONE_MM.distance(image((3, 4, 5), (1.0, 2.0, 0.5))) == pytest.approx(np.sqrt(2) * np.log(2))
    assert Profile("fit", "fit", PERCENTILE, matrix=64).distance(image((1, 4, 5))) == 0.0


@pytest.mark.parametrize(
    "arguments",
    [
        {"grid": "spacing"},
        {"grid": "fit"},
        {"grid": "fit", "spacing_zyx_mm": (1.0, 1.0, 1.0)},
        {"grid": "spacing", "matrix": 64},
        {"grid": "spacing", "spacing_zyx_mm": (1.0, 1.0, 1.0), "matrix": 64},
    ],
)
def test_a_profile_that_contradicts_itself_is_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(InputError):
        Profile("p", intensity=PERCENTILE, **arguments)  # type: ignore[arg-type]


def test_a_range_maps_its_ends_to_0_and_1_and_clips() -> None:
    values = np.array([-1000.0, -100.0, 0.0, 100.0, 300.0, 3000.0], dtype=np.float32)
    np.testing.assert_allclose(scale_intensity(values, HOUNSFIELD), [0, 0, 0.25, 0.5, 1, 1], atol=1e-6)


def test_percentiles_are_those_of_the_image() -> None:
    values = np.random.default_rng(2).gamma(2.0, 50.0, size=(9, 10, 11)).astype(np.float32)
    low, high = np.percentile(values, (1, 99))
    expected = np.clip((values - low) / (high - low), 0, 1)
    found = scale_intensity(values, PERCENTILE)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_percentile_scaling_does_not_depend_on_the_unit() -> None:
    values = np.random.default_rng(2).gamma(2.0, 50.0, size=(9, 10, 11)).astype(np.float32)
    np.testing.assert_allclose(
        scale_intensity(7 * values - 300, PERCENTILE), scale_intensity(values, PERCENTILE), atol=1e-4
    )


def test_an_image_with_a_single_bright_voxel_still_shows_it() -> None:
    values = np.zeros((20, 20, 20), dtype=np.float32)
    values[3, 4, 5] = 8.0
    assert scale_intensity(values, PERCENTILE)[3, 4, 5] == 1.0


@pytest.mark.parametrize("value", [0.0, -1000.0, 70000.0])
def test_a_constant_image_is_refused(value: float) -> None:
    with pytest.raises(InputError, match="constant"):
        prepare(Volume(np.full((4, 5, 6), value, dtype=np.float32), np.eye(4)), ONE_MM)


@pytest.mark.parametrize("value", [-1000.0, 40.0, 3000.0])
def test_a_constant_image_is_refused_on_a_calibrated_scale_too(value: float) -> None:
    profile = Profile("ct", "spacing", HOUNSFIELD, spacing_zyx_mm=(1.0, 1.0, 1.0))
    with pytest.raises(InputError, match="constant"):
        prepare(Volume(np.full((4, 5, 6), value, dtype=np.float32), np.eye(4)), profile)


def test_an_absolute_scale_suits_only_images_with_values_below_it() -> None:
    profile = Profile("ct", "spacing", HOUNSFIELD, spacing_zyx_mm=(1.0, 1.0, 1.0))
    picture = image((3, 4, 5))
    assert not profile.suits(picture)
    assert profile.suits(Volume(picture.voxels * 1000 - 1000, np.eye(4)))
    assert ONE_MM.suits(picture)


def test_results_come_back_in_the_stored_order() -> None:
    flipped = np.diag([-1.0, 1.0, -1.0, 1.0])[[0, 2, 1, 3]]
    volume = Volume(image((3, 4, 5)).voxels, flipped)
    prepared = prepare(volume, ONE_MM)
    assert prepared.canonical_shape == prepared.voxels.shape == (4, 3, 5)
    canonical = prepared.canonical(volume.voxels)
    np.testing.assert_array_equal(prepared.restore(canonical), volume.voxels)
    assert prepared.restore(canonical).flags.c_contiguous


def test_an_image_on_the_profile_s_grid_is_only_scaled() -> None:
    volume = image((3, 4, 5))
    np.testing.assert_array_equal(prepare(volume, ONE_MM).voxels, scale_intensity(volume.voxels, PERCENTILE))


@pytest.mark.parametrize("shape", [(100, 100, 100), (50, 40, 100), (20, 50, 200), (7, 33, 64), (1, 200, 96)])
@pytest.mark.parametrize("limit", [10, 500, 1000, 2000, 4000, 10**9])
def test_a_sample_of_an_image_comes_to_columns_all_over_a_row_whatever_the_sizes(
    shape: tuple[int, int, int], limit: int
) -> None:
    columns = np.broadcast_to(np.arange(shape[-1], dtype=np.float32), shape)
    found = spread_sample(columns, limit)
    wanted = min(limit, columns.size)
    assert 0.8 * wanted <= len(found) <= 2 * wanted
    if limit >= 500:
        met = np.unique(found)
        assert np.diff(met, prepend=-1, append=shape[-1]).max() <= shape[-1] / 4


def test_an_image_whose_sample_would_be_its_margin_alone_is_scaled_by_all_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As in a cube of 2000 voxels, of which each 4000th lies in the first column.
    voxels = image((50, 50, 200)).voxels
    voxels[..., 0] = 7.0
    monkeypatch.setattr(spread_sample, "__defaults__", (2_500,))
    scaled = scale_intensity(voxels, PERCENTILE)
    assert scaled[..., 1].mean() == pytest.approx(0.5, abs=0.05)
