"""Which part of an image a network sees for a region, and where its results go."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest

from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.runtime.image.preparation import prepare
from MultiTaskSegLib.runtime.image.profile import Intensity, Profile
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.selection.image_part import ImagePart
from MultiTaskSegLib.runtime.selection.region import Region


def image(shape: tuple[int, int, int], spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> Volume:
    voxels = np.random.default_rng(4).normal(100, 20, shape).astype(np.float32)
    return Volume(voxels, np.diag([*spacing_mm, 1.0]), "image")


def box(volume: Volume, start_zyx: tuple[int, int, int], stop_zyx: tuple[int, int, int]) -> Region:
    """The region of these voxels."""
    ends = [volume.ijk_to_ras @ (*(np.array(end[::-1]) - 0.5), 1) for end in (start_zyx, stop_zyx)]
    return Region.between([end[axis] for axis in range(3) for end in ends])


def test_the_part_is_the_image_there_with_its_place_in_the_world() -> None:
    volume = image((40, 50, 60), (0.5, 0.7, 2.0))
    part = ImagePart.of(volume, box(volume, (10, 20, 20), (20, 40, 45)))
    seen = part.volume
    np.testing.assert_array_equal(seen.voxels, volume.voxels[part.block])
    starts = [side.start for side in reversed(part.block)]
    np.testing.assert_allclose(seen.ijk_to_lps @ (0, 0, 0, 1), volume.ijk_to_lps @ (*starts, 1))
    assert seen.spacing_mm == volume.spacing_mm
    assert seen.whole is volume


def test_results_lie_in_the_region_and_nowhere_else() -> None:
    volume = image((12, 14, 16))
    part = ImagePart.of(volume, box(volume, (3, 4, 5), (6, 9, 11)))
    placed = part.in_whole(np.full(part.volume.shape, 7, np.uint8), 0)
    expected = np.zeros(volume.shape, np.uint8)
    expected[3:6, 4:9, 5:11] = 7
    np.testing.assert_array_equal(placed, expected)


def test_an_eighth_is_seen_with_less_than_a_quarter() -> None:
    for shape, spacing_mm in (((160, 200, 180), (1.0, 1.0, 1.0)), ((10, 256, 256), (1.25, 1.25, 8.0))):
        volume = image(shape, spacing_mm)
        quarter = tuple(count // 4 for count in shape)
        half = tuple(count // 4 + count // 2 for count in shape)
        part = ImagePart.of(volume, box(volume, quarter, half))
        assert prod(part.volume.shape) < 0.25 * prod(shape)
        assert all(side.start < first for side, first in zip(part.block[1:], quarter[1:], strict=True))


def test_a_small_region_gets_all_the_context_that_counts() -> None:
    volume = image((120, 120, 120))
    part = ImagePart.of(volume, box(volume, (58, 58, 58), (62, 62, 62)))
    assert all(side.start <= 34 and side.stop >= 86 for side in part.block)
    assert prod(part.volume.shape) <= 0.15 * prod(volume.shape)


def test_a_region_in_one_slice_of_a_volume_is_no_picture() -> None:
    volume = image((10, 12, 14))
    part = ImagePart.of(volume, box(volume, (0, 0, 0), (1, 12, 14)))
    assert not part.volume.is_planar
    assert part.inside.sum() == 12 * 14
    picture = image((1, 40, 40))
    assert ImagePart.of(picture, box(picture, (0, 5, 5), (1, 20, 20))).volume.is_planar


def test_a_region_beside_the_image_is_refused() -> None:
    volume = image((8, 8, 8))
    for region in (Region.between([50, 60, 50, 60, 50, 60]), Region.between([-0.4, -0.3, -0.4, -0.3, 0.2, 0.3])):
        with pytest.raises(InputError, match="holds no voxel"):
            ImagePart.of(volume, region)


def test_intensities_of_a_part_are_scaled_as_those_of_the_whole() -> None:
    profile = Profile("plain", "spacing", Intensity("percentile", 1.0, 99.0), spacing_zyx_mm=(1.0, 1.0, 1.0))
    volume = image((20, 20, 20))
    volume.voxels[:10] += 400
    part = ImagePart(volume, Region.between([0, 1, 0, 1, 0, 1]), (slice(12, 20), slice(0, 20), slice(4, 16)))
    whole = prepare(volume, profile)
    np.testing.assert_array_equal(prepare(part.volume, profile).voxels, whole.voxels[part.block])


def test_a_part_of_a_picture_has_pixels_of_the_size_that_they_have_in_the_whole() -> None:
    # Scaled to the network's own number of pixels, a part would be magnified.
    profile = Profile("picture", "fit", Intensity("percentile", 0.0, 100.0), matrix=48)
    volume = image((1, 64, 96))
    part = ImagePart(volume, Region.between([0, 1, 0, 1, 0, 1]), (slice(0, 1), slice(16, 48), slice(24, 64)))
    whole, seen = prepare(volume, profile), prepare(part.volume, profile)
    assert seen.frame.reached_spacing_zyx_mm == whole.frame.reached_spacing_zyx_mm == (1.0, 2.0, 2.0)
    np.testing.assert_allclose(seen.voxels[:, 1:-1, 1:-1], whole.voxels[:, 9:23, 13:31], atol=1e-6)


def test_of_a_part_that_shows_nothing_it_is_not_said_that_the_image_is_constant() -> None:
    profile = Profile("plain", "spacing", Intensity("percentile", 1.0, 99.0), spacing_zyx_mm=(1.0, 1.0, 1.0))
    volume = image((20, 20, 20))
    volume.voxels[:8] = 0
    part = ImagePart(volume, Region.between([0, 1, 0, 1, 0, 1]), (slice(0, 8), slice(0, 20), slice(4, 16)))
    with pytest.raises(InputError, match="what is seen of the image around the region is constant"):
        prepare(part.volume, profile)
