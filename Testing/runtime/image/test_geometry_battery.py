"""Images keep their place: 48 orientations x 3 obliquities x 3 spacings through every volume format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MultiTaskSegLib.runtime.image.image_file import read_image, read_label_map
from Testing.hostile.nifti_bytes import nifti_bytes
from Testing.runtime.orientation import OBLIQUE_DEG, SPACINGS_MM, axis_matrices, corners_mm, grid

SHAPE = (4, 5, 7)
VOXELS = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
# NIfTI stores single precision; NRRD and MetaImage are text with enough digits.
TOLERANCE_MM = {"nrrd": 1e-6, "mha": 1e-6, "nii.gz": 3e-5}


def write_with_itk(path: Path, ijk_to_lps: np.ndarray) -> None:
    spacing_mm = np.linalg.norm(ijk_to_lps[:3, :3], axis=0)
    image = sitk.GetImageFromArray(VOXELS)
    image.SetSpacing(spacing_mm.tolist())
    image.SetDirection((ijk_to_lps[:3, :3] / spacing_mm).ravel().tolist())
    image.SetOrigin(ijk_to_lps[:3, 3].tolist())
    sitk.WriteImage(image, str(path))


def displacement_mm(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(corners_mm(found, SHAPE) - corners_mm(expected, SHAPE)).max())


@pytest.mark.parametrize("ending", TOLERANCE_MM)
@pytest.mark.parametrize("spacing", SPACINGS_MM)
@pytest.mark.parametrize("oblique", OBLIQUE_DEG)
def test_every_voxel_keeps_value_and_world_position(tmp_path: Path, ending: str, spacing: str, oblique: str) -> None:
    for axes in axis_matrices():
        ijk_to_lps = grid(axes, OBLIQUE_DEG[oblique], SPACINGS_MM[spacing])
        path = tmp_path / f"image.{ending}"
        write_with_itk(path, ijk_to_lps)
        volume = read_image(path)
        assert displacement_mm(volume.ijk_to_lps, ijk_to_lps) <= TOLERANCE_MM[ending]
        np.testing.assert_array_equal(volume.voxels, VOXELS)


@pytest.mark.parametrize("oblique", OBLIQUE_DEG)
def test_the_sform_of_a_nifti_file_is_where_its_voxels_are(tmp_path: Path, oblique: str) -> None:
    # Written byte by byte: no library's idea of a NIfTI file enters on the writing side.
    for axes in axis_matrices():
        ijk_to_ras = grid(axes, OBLIQUE_DEG[oblique], SPACINGS_MM["odd"])
        path = tmp_path / "image.nii"
        path.write_bytes(nifti_bytes(VOXELS, ijk_to_ras))
        volume = read_image(path)
        assert displacement_mm(volume.ijk_to_ras, ijk_to_ras) <= 3e-5
        np.testing.assert_array_equal(volume.voxels, VOXELS)


def test_a_displaced_grid_would_be_noticed() -> None:
    moved = np.eye(4)
    moved[0, 3] = 1e-4
    assert displacement_mm(moved, np.eye(4)) > max(TOLERANCE_MM.values())


def test_the_battery_has_all_48_orientations() -> None:
    matrices = axis_matrices()
    assert len({matrix.tobytes() for matrix in matrices}) == 48
    assert sum(np.linalg.det(matrix) < 0 for matrix in matrices) == 24


def test_a_label_map_lies_where_its_image_lies(tmp_path: Path) -> None:
    ijk_to_lps = grid(axis_matrices()[37], OBLIQUE_DEG["oblique"], SPACINGS_MM["odd"])
    for ending in TOLERANCE_MM:
        write_with_itk(tmp_path / f"image.{ending}", ijk_to_lps)
        labels, affine = read_label_map(tmp_path / f"image.{ending}")
        np.testing.assert_array_equal(affine, read_image(tmp_path / f"image.{ending}").ijk_to_lps)
        np.testing.assert_array_equal(labels, VOXELS)
        assert labels.dtype == np.int32
