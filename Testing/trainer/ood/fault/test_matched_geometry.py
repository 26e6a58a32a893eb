"""Matched geometry against ramps, whose values say where each voxel was taken from."""

from __future__ import annotations

import numpy as np
import pytest

from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.runtime.image.geometry import canonical_reorientation
from MultiTaskSegLib.runtime.image.volume import Volume
from trainer.ood.fault.matched_geometry import match_geometry

# A triangle widened to a coarser grid is centred to a tenth of a voxel only (see the tests of resampling).
TENTH = 0.1


def centred_mm(volume: Volume) -> np.ndarray:
    """``(3, Z, Y, X)``: distance of every voxel from the volume's centre along its axes, in mm (z, y, x)."""
    spacing = volume.spacing_mm[::-1]
    axes = [(np.arange(n) - (n - 1) / 2) * mm for n, mm in zip(volume.shape, spacing, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"))


def blank(shape: tuple[int, int, int], spacing_xyz_mm: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> Volume:
    return Volume(np.zeros(shape, np.float32), np.diag([*spacing_xyz_mm, 1.0]))


def ramp(
    shape: tuple[int, int, int], spacing_xyz_mm: tuple[float, float, float], weights_zyx: tuple[int, ...]
) -> Volume:
    volume = blank(shape, spacing_xyz_mm)
    values = np.tensordot(np.asarray(weights_zyx, dtype=np.float64), centred_mm(volume), 1)
    return Volume(values.astype(np.float32), volume.ijk_to_lps, "ramp")


def oblique(shape: tuple[int, int, int]) -> Volume:
    """Axes stored out of order, flipped and turned by 10 degrees, with noise as voxels."""
    c, s = np.cos(np.radians(10)), np.sin(np.radians(10))
    matrix = np.eye(4)
    matrix[:3, :3] = np.array([[0, 0, -1], [c, -s, 0], [s, c, 0]]) @ np.diag([0.8, 1.1, 1.3])
    matrix[:3, 3] = (3, -4, 5)
    return Volume(np.random.default_rng(1).random(shape).astype(np.float32), matrix, "oblique")


@pytest.mark.parametrize("shape", [(12, 15, 18), (1, 20, 30), (6, 9, 9)])
def test_a_volume_matched_to_itself_is_itself(shape: tuple[int, int, int]) -> None:
    volume = oblique(shape)
    matched = match_geometry(volume, volume)
    np.testing.assert_allclose(matched.voxels, volume.voxels, atol=1e-6)
    np.testing.assert_array_equal(matched.ijk_to_lps, volume.ijk_to_lps)
    assert matched.name == "oblique"


def test_a_larger_ramp_is_cut_in_millimetres_and_keeps_its_slope() -> None:
    foreign = ramp((60, 80, 70), (1.5, 1.2, 1.0), (1, 10, 100))
    like = blank((20, 25, 30), (1.0, 2.0, 1.5))
    matched = match_geometry(foreign, like)
    assert matched.shape == like.shape
    expected = np.tensordot(np.array([1.0, 10, 100]), centred_mm(like), 1)
    np.testing.assert_allclose(matched.voxels, expected, atol=TENTH * (1 * 1.5 + 10 * 1.2 + 100 * 1.0))
    slopes = np.linalg.lstsq(centred_mm(like).reshape(3, -1).T, matched.voxels.ravel(), rcond=None)[0]
    assert slopes == pytest.approx((1, 10, 100), rel=3e-3)


def test_a_smaller_ramp_is_enlarged_by_one_factor_until_it_fills_the_box() -> None:
    # 30, 20, 40 mm for a box of 40, 40, 40 mm: all that is seen is 20 mm wide, at twice the size
    foreign = ramp((30, 20, 40), (1.0, 1.0, 1.0), (1, 10, 100))
    like = blank((40, 40, 40))
    matched = match_geometry(foreign, like)
    inner = (slice(None), slice(2, -2), slice(None))  # half a voxel at the rim repeats the last value
    expected = np.tensordot(np.array([0.5, 5, 50]), centred_mm(like), 1)
    np.testing.assert_allclose(matched.voxels[inner], expected[inner], atol=1e-2)


def test_coarse_pixels_are_shrunk_so_that_they_are_magnified_twice_at_most() -> None:
    foreign = ramp((40, 40, 40), (4.0, 4.0, 4.0), (1, 10, 100))
    for spacing_mm, shrunk in ((2.5, 1.0), (1.0, 2.0), (0.5, 4.0)):
        like = blank((20, 20, 20), (spacing_mm,) * 3)
        expected = shrunk * np.tensordot(np.array([1.0, 10, 100]), centred_mm(like), 1)
        np.testing.assert_allclose(match_geometry(foreign, like).voxels, expected, rtol=1e-3, atol=0.05)
    # 12 voxels of 4 mm cannot fill 40 mm and be shrunk by more than 48 / 40.
    small = ramp((12, 12, 12), (4.0, 4.0, 4.0), (1, 10, 100))
    like = blank((40, 40, 40))
    expected = 1.2 * np.tensordot(np.array([1.0, 10, 100]), centred_mm(like), 1)
    inner = (slice(2, -2),) * 3
    np.testing.assert_allclose(match_geometry(small, like).voxels[inner], expected[inner], rtol=1e-3, atol=0.05)


def test_a_thin_slab_is_stretched_across_only() -> None:
    # 5 of 40 mm: one factor of 8 would show an eighth of the plane
    foreign = ramp((5, 50, 50), (1.0, 1.0, 1.0), (1, 10, 100))
    like = blank((40, 40, 40))
    matched = match_geometry(foreign, like)
    inner = (slice(5, -5), slice(None), slice(None))
    expected = np.tensordot(np.array([1 / 8, 10, 100]), centred_mm(like), 1)
    np.testing.assert_allclose(matched.voxels[inner], expected[inner], rtol=1e-4, atol=1e-2)


def test_the_result_has_the_stored_axes_of_the_known_case() -> None:
    foreign, like = ramp((40, 40, 40), (1.0, 1.0, 1.0), (1, 10, 100)), oblique((12, 15, 18))
    matched = match_geometry(foreign, like)
    assert matched.shape == like.shape
    np.testing.assert_array_equal(matched.ijk_to_lps, like.ijk_to_lps)
    canonical = canonical_reorientation(like).apply(matched.voxels)
    z, y, x = (float(np.diff(canonical, axis=a).mean()) for a in range(3))
    # Stored (i, j, k) spacings 0.8, 1.1, 1.3 lie along y, z, x.
    assert (z, y, x) == pytest.approx((1 * 1.1, 10 * 0.8, 100 * 1.3), rel=1e-2)


def test_a_planar_image_fills_the_matrix_by_pixels_whatever_its_spacing() -> None:
    foreign = ramp((1, 60, 100), (9.0, 9.0, 9.0), (0, 1, 10))
    like = blank((1, 40, 40), (0.1, 0.1, 1.0))
    matched = match_geometry(foreign, like)
    # The middle 60 x 60 pixels become 40 x 40: 1.5 pixels of 9 mm per pixel.
    y, x = (np.arange(40) - 19.5) * 1.5 * 9, (np.arange(40) - 19.5) * 1.5 * 9
    expected = y[:, None] + 10 * x[None, :]
    np.testing.assert_allclose(matched.voxels[0, 1:-1, 1:-1], expected[1:-1, 1:-1], atol=TENTH * 9 * (1 + 10))


def test_a_slice_of_a_foreign_volume_can_become_a_planar_image() -> None:
    foreign = ramp((7, 30, 30), (1.0, 1.0, 1.0), (1000, 1, 0))
    matched = match_geometry(foreign, blank((1, 15, 15)))
    assert matched.shape == (1, 15, 15)
    assert float(matched.voxels.mean()) == pytest.approx(0, abs=1e-2)


def test_nothing_is_padded() -> None:
    foreign = Volume(np.random.default_rng(0).uniform(5, 6, (9, 30, 14)).astype(np.float32), np.diag([2, 1, 3, 1.0]))
    for like in (blank((50, 40, 30)), blank((10, 10, 10)), blank((3, 80, 80), (1.0, 1.0, 9.0))):
        assert match_geometry(foreign, like).voxels.min() >= 5


def test_an_image_of_nothing_is_refused() -> None:
    corner = np.zeros((30, 30, 30), np.float32)
    corner[0, 0, 0] = 1
    for voxels in (np.full((5, 5, 5), 3, np.float32), corner):
        with pytest.raises(InputError, match="constant"):
            match_geometry(Volume(voxels, np.eye(4)), blank((10, 10, 10)))
