"""Reorientation: lossless, and the same canonical image however it is stored."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from MultiTaskSegLib.runtime.image.geometry import ANISOTROPY_THRESHOLD, canonical_reorientation
from MultiTaskSegLib.runtime.image.volume import Volume
from Testing.runtime.orientation import OBLIQUE_DEG, SPACINGS_MM, axis_matrices, grid

SHAPE = (3, 4, 5)


def numbered(ijk_to_lps: np.ndarray, shape: tuple[int, ...] = SHAPE) -> Volume:
    return Volume(np.arange(np.prod(shape), dtype=np.float32).reshape(shape), ijk_to_lps)


def stored_otherwise(volume: Volume, axes: np.ndarray) -> Volume:
    """The same voxels at the same places, looked up one by one: new index ``axes @ ijk``, shifted to start at 0."""
    counts = np.array(volume.shape[::-1])
    far = axes @ (counts - 1)
    step = np.eye(4)
    step[:3, :3] = axes
    step[:3, 3] = np.where(far < 0, -far, 0)
    voxels = np.empty(np.abs(axes @ counts).astype(int)[::-1], dtype=np.float32)
    for k, j, i in np.ndindex(volume.shape):
        new = (step @ [i, j, k, 1])[:3].astype(int)
        voxels[tuple(new[::-1])] = volume.voxels[k, j, i]
    return Volume(voxels, volume.ijk_to_lps @ np.linalg.inv(step))


@pytest.mark.parametrize("spacing", SPACINGS_MM)
@pytest.mark.parametrize("oblique", OBLIQUE_DEG)
def test_all_48_storages_of_an_image_give_the_same_canonical_array(oblique: str, spacing: str) -> None:
    volume = numbered(grid(np.eye(3), OBLIQUE_DEG[oblique], SPACINGS_MM[spacing]))
    expected = canonical_reorientation(volume).apply(volume.voxels)
    for axes in axis_matrices():
        copy = stored_otherwise(volume, axes)
        found = canonical_reorientation(copy)
        np.testing.assert_array_equal(found.apply(copy.voxels), expected)
        np.testing.assert_allclose(
            found.spacing_zyx_mm(copy), canonical_reorientation(volume).spacing_zyx_mm(volume), rtol=1e-12
        )


@pytest.mark.parametrize("spacing", SPACINGS_MM)
def test_reorientation_is_undone_exactly(spacing: str) -> None:
    for axes in axis_matrices():
        volume = numbered(grid(axes, OBLIQUE_DEG["oblique"], SPACINGS_MM[spacing]))
        reorientation = canonical_reorientation(volume)
        np.testing.assert_array_equal(reorientation.invert(reorientation.apply(volume.voxels)), volume.voxels)


def test_an_upright_lps_image_stays_as_it_is() -> None:
    volume = numbered(np.eye(4))
    reorientation = canonical_reorientation(volume)
    assert (reorientation.axes, reorientation.flips) == ((0, 1, 2), (False, False, False))


def test_canonical_axes_run_to_the_left_the_back_and_up() -> None:
    for axes in axis_matrices():
        volume = numbered(grid(axes, OBLIQUE_DEG["tilted"], (1.0, 1.0, 1.0)))
        canonical = canonical_reorientation(volume).apply(volume.voxels)
        where = {v: volume.ijk_to_lps @ [i, j, k, 1] for (k, j, i), v in np.ndenumerate(volume.voxels)}
        for array_axis, world_axis in ((0, 2), (1, 1), (2, 0)):
            first, last = np.take(canonical, [0, -1], axis=array_axis).swapaxes(0, array_axis)[:2].reshape(2, -1)
            assert where[last[0]][world_axis] > where[first[0]][world_axis]


PLANES = {
    # Body axes of canonical X, Y and Z, in LPS: pictures as they are shown, rows from the top.
    "axial": np.eye(3),
    "coronal": np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]),
    "sagittal": np.array([[0, 0, -1.0], [1, 0, 0], [0, -1, 0]]),
}


@pytest.mark.parametrize("is_planar", [False, True])
@pytest.mark.parametrize("tilt_deg", [-44.0, -0.5, 0.0, 0.5, 44.0])
@pytest.mark.parametrize("plane", PLANES)
def test_stacks_and_slices_of_every_plane_are_the_picture_however_they_are_stored_and_tilted(
    plane: str, tilt_deg: float, is_planar: bool
) -> None:
    shape, thickness = ((1, 4, 5), 1.0) if is_planar else (SHAPE, 5.0)
    for turned in range(3):
        angles = tuple(tilt_deg if axis == turned else 0.0 for axis in range(3))
        picture = numbered(grid(PLANES[plane], angles, (1.0, 1.0, thickness)), shape)
        for axes in axis_matrices():
            copy = stored_otherwise(picture, axes)
            found = canonical_reorientation(copy)
            np.testing.assert_array_equal(found.apply(copy.voxels), picture.voxels)


def test_nothing_is_ever_mirrored() -> None:
    for plane, thickness in product(PLANES, (1.0, 5.0)):
        for axes in axis_matrices():
            volume = numbered(grid(PLANES[plane] @ axes, (3.0, 2.0, 1.0), (1.0, 1.0, 1.0) if thickness == 1 else
                                   tuple(np.abs(axes.T @ [1.0, 1.0, thickness]))))  # fmt: skip
            found = canonical_reorientation(volume)
            # Directions of canonical X, Y, Z in the body: a right-handed frame has a positive determinant.
            columns = [volume.ijk_to_lps[:3, 2 - axis] * (-1 if flip else 1)
                       for axis, flip in zip(found.axes[::-1], found.flips[::-1], strict=True)]  # fmt: skip
            assert np.linalg.det(np.stack(columns, axis=1)) > 0


@pytest.mark.parametrize("ratio, expected", [(ANISOTROPY_THRESHOLD, 0), (ANISOTROPY_THRESHOLD - 0.01, 1)])
def test_the_axis_across_thick_slices_becomes_z(ratio: float, expected: int) -> None:
    # Coronal slices: k runs along y of the body. Only the thickness decides whether k stays Z.
    coronal = np.array([[1.0, 0, 0], [0, 0, 1], [0, 1, 0]])
    volume = numbered(grid(coronal, (0.0, 0.0, 0.0), (1.0, 1.0, ratio)))
    reorientation = canonical_reorientation(volume)
    assert reorientation.axes.index(0) == expected
    assert reorientation.spacing_zyx_mm(volume)[expected] == pytest.approx(ratio)


def test_a_2_d_image_keeps_its_plane() -> None:
    for axes in axis_matrices():
        volume = numbered(grid(axes, OBLIQUE_DEG["oblique"], (1.0, 1.0, 1.0)), (1, 4, 5))
        assert canonical_reorientation(volume).apply(volume.voxels).shape[0] == 1


def test_a_singleton_along_another_stored_axis_becomes_z() -> None:
    volume = numbered(np.eye(4), (4, 1, 5))
    assert canonical_reorientation(volume).apply(volume.voxels).shape[0] == 1


@pytest.mark.parametrize("oblique", OBLIQUE_DEG)
@pytest.mark.parametrize("shape", [(1, 1, 5), (1, 5, 1), (5, 1, 1)])
def test_a_single_line_of_pixels_lies_in_the_same_plane_however_it_is_stored(
    shape: tuple[int, int, int], oblique: str
) -> None:
    for plane in PLANES:
        volume = numbered(grid(PLANES[plane], OBLIQUE_DEG[oblique], (0.7, 1.1, 3.0)), shape)
        expected = canonical_reorientation(volume)
        for axes in axis_matrices():
            copy = stored_otherwise(volume, axes)
            found = canonical_reorientation(copy)
            np.testing.assert_array_equal(found.apply(copy.voxels), expected.apply(volume.voxels))
            assert found.orientation == expected.orientation
            assert found.spacing_zyx_mm(copy) == pytest.approx(expected.spacing_zyx_mm(volume))
            assert copy.pixel_area_mm2 == pytest.approx(volume.pixel_area_mm2)


def test_a_line_along_x_or_y_is_part_of_an_axial_picture_and_one_along_z_of_a_coronal_one() -> None:
    across = {(1, 1, 5): 2, (1, 5, 1): 2, (5, 1, 1): 1}
    assert {shape: numbered(np.eye(4), shape).across_slice for shape in across} == across
    with pytest.raises(ValueError, match="3-D"):
        numbered(np.eye(4)).across_slice  # noqa: B018
