"""Whatever unit a header gives lengths in, the program has millimetres, or a refusal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.runtime.header.length_unit import MILLIMETRES, millimetres_per
from MultiTaskSegLib.runtime.image.image_file import read_image
from Testing.hostile.nifti_bytes import nifti_bytes

VOXELS = np.random.default_rng(4).integers(0, 900, (4, 5, 6)).astype("<i2")
SPACE = "space: left-posterior-superior\nspace directions: (1,0,0) (0,2,0) (0,0,3)\nspace origin: (4,5,6)\n"
GRID = np.array([[1.0, 0, 0, 4], [0, 2, 0, 5], [0, 0, 3, 6], [0, 0, 0, 1]])


def nrrd(folder: Path, fields: str) -> Path:
    path = folder / "a.nrrd"
    head = "NRRD0005\ntype: short\ndimension: 3\nsizes: 6 5 4\nendian: little\nencoding: raw\n"
    path.write_bytes(f"{head}{fields}\n".encode() + VOXELS.tobytes())
    return path


def mha(folder: Path, fields: str) -> Path:
    path = folder / "a.mha"
    head = "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\nDimSize = 6 5 4\n"
    last = "ElementType = MET_SHORT\nElementDataFile = LOCAL\n"
    path.write_bytes(f"{head}Offset = 4 5 6\nElementSpacing = 1 2 3\n{fields}{last}".encode() + VOXELS.tobytes())
    return path


def scaled(mm_per_unit: float) -> np.ndarray:
    """The grid of the file, with its lengths times this."""
    return np.vstack([GRID[:3] * mm_per_unit, GRID[3]])


@pytest.mark.parametrize(("unit", "mm"), [("mm", 1.0), ("cm", 10.0), ("um", 1e-3), ("µm", 1e-3), ("m", 1e3), ("", 1.0)])
def test_an_nrrd_file_in_any_unit_gives_the_same_place_in_millimetres(tmp_path: Path, unit: str, mm: float) -> None:
    volume = read_image(nrrd(tmp_path, SPACE + "space units: " + " ".join([f'"{unit}"'] * 3) + "\n"))
    np.testing.assert_allclose(volume.ijk_to_lps, scaled(mm), rtol=1e-12)
    np.testing.assert_array_equal(volume.voxels, VOXELS)


def test_units_of_single_axes_count_where_there_is_no_space(tmp_path: Path) -> None:
    volume = read_image(nrrd(tmp_path, 'spacings: 1 2 3\nunits: "cm" "cm" "cm"\n'))
    assert volume.spacing_mm == pytest.approx((10, 20, 30))


@pytest.mark.parametrize(("unit", "mm"), [("mm", 1.0), ("cm", 10.0), ("um", 1e-3), ("?", 1.0)])
def test_a_metaimage_in_any_unit_gives_the_same_place_in_millimetres(tmp_path: Path, unit: str, mm: float) -> None:
    volume = read_image(mha(tmp_path, f"DistanceUnits = {unit}\n"))
    np.testing.assert_allclose(volume.ijk_to_lps, scaled(mm), rtol=1e-12)


@pytest.mark.parametrize(("code", "mm"), [(0, 1.0), (1, 1e3), (2, 1.0), (3, 1e-3), (2 | 8, 1.0), (3 | 16, 1e-3)])
def test_a_nifti_file_in_any_unit_gives_the_same_place_in_millimetres(tmp_path: Path, code: int, mm: float) -> None:
    path = tmp_path / "a.nii"
    path.write_bytes(nifti_bytes(VOXELS, GRID, xyzt_units=code))
    np.testing.assert_allclose(read_image(path).ijk_to_ras, scaled(mm), rtol=1e-6)


@pytest.mark.parametrize("code", [4, 5, 6, 7])
def test_a_unit_that_nifti_does_not_have_is_refused(tmp_path: Path, code: int) -> None:
    path = tmp_path / "a.nii"
    path.write_bytes(nifti_bytes(VOXELS, GRID, xyzt_units=code))
    with pytest.raises(InputError, match=f"unknown unit 'code {code}'"):
        read_image(path)


def test_an_unknown_unit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown unit 'inch'"):
        read_image(nrrd(tmp_path, SPACE + 'space units: "inch" "inch" "inch"\n'))
    with pytest.raises(InputError, match="unknown unit 'inch'"):
        read_image(mha(tmp_path, "DistanceUnits = inch\n"))


def test_axes_with_different_units_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="different units"):
        read_image(nrrd(tmp_path, SPACE + 'space units: "mm" "mm" "cm"\n'))


def test_every_unit_is_known_in_any_case_and_spelling() -> None:
    for name, mm in MILLIMETRES.items():
        assert millimetres_per([name.upper(), name], Path("a")) == mm
        assert millimetres_per([name.replace("meter", "metre")], Path("a")) == mm
