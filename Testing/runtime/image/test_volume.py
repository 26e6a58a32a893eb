"""A volume and its geometry."""

from __future__ import annotations

import numpy as np
import pytest

from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.runtime.image.volume import Volume
from Testing.runtime.orientation import OBLIQUE_DEG, SPACINGS_MM, axis_matrices, grid

VOXELS = np.zeros((3, 4, 5), dtype=np.float32)


@pytest.mark.parametrize("spacing", SPACINGS_MM)
@pytest.mark.parametrize("oblique", OBLIQUE_DEG)
def test_spacing_and_voxel_volume_do_not_depend_on_orientation(oblique: str, spacing: str) -> None:
    mm = SPACINGS_MM[spacing]
    for axes in axis_matrices():
        volume = Volume(VOXELS, grid(axes, OBLIQUE_DEG[oblique], mm))
        np.testing.assert_allclose(volume.spacing_mm, mm)
        assert volume.voxel_volume_mm3 == pytest.approx(np.prod(mm))


def test_ras_is_lps_with_the_first_two_axes_reversed() -> None:
    volume = Volume(VOXELS, grid(axis_matrices()[7], OBLIQUE_DEG["oblique"], SPACINGS_MM["odd"]))
    lps, ras = (matrix @ [1, 2, 3, 1] for matrix in (volume.ijk_to_lps, volume.ijk_to_ras))
    np.testing.assert_allclose(ras, lps * [-1, -1, 1, 1])


@pytest.mark.parametrize("shape, planar", [((1, 4, 5), True), ((4, 1, 5), True), ((4, 5, 1), True), ((2, 4, 5), False)])
def test_one_slice_along_any_axis_is_a_2_d_image(shape: tuple[int, int, int], planar: bool) -> None:
    assert Volume(np.zeros(shape, dtype=np.float32), np.eye(4)).is_planar is planar


@pytest.mark.parametrize("shape", [(4, 5), (2, 3, 4, 5), (0, 4, 5), ()])
def test_an_array_that_is_no_volume_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="three non-empty axes"):
        Volume(np.zeros(shape, dtype=np.float32), np.eye(4))


@pytest.mark.parametrize(
    "matrix", [np.eye(3), np.zeros((4, 4)), np.diag([1.0, 1.0, 0.0, 1.0]), np.diag([1.0, np.nan, 1.0, 1.0])]
)
def test_a_matrix_that_places_no_voxels_is_refused(matrix: np.ndarray) -> None:
    with pytest.raises(InputError, match="invertible"):
        Volume(VOXELS, matrix)


@pytest.mark.parametrize("size_mm", [1e-9, 1e-5, 1.0, 1e5])
def test_voxels_of_every_size_are_placed_and_axes_in_one_plane_at_no_size(size_mm: float) -> None:
    turned = np.eye(4)
    turned[:2, :2] = [[0.8, -0.6], [0.6, 0.8]]
    sizes = np.diag([size_mm, size_mm, size_mm, 1.0])
    assert Volume(VOXELS, turned @ sizes).spacing_mm == pytest.approx((size_mm,) * 3)
    flat = np.eye(4)
    flat[:3, 1] = flat[:3, 0]
    with pytest.raises(InputError, match="invertible"):
        Volume(VOXELS, flat @ sizes)
