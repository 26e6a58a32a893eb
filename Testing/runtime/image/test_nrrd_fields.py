"""Fields of an NRRD header as the format has them: https://teem.sourceforge.net/nrrd/format.html."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.runtime.image.image_file import read_image
from MultiTaskSegLib.runtime.image.nrrd_integrity import check_nrrd

VOXELS = np.random.default_rng(2).integers(0, 900, (4, 5, 6)).astype("<i2")
HEAD = "NRRD0005\ntype: short\ndimension: 3\nsizes: 6 5 4\nendian: little\n"
GRID = "space: left-posterior-superior\nspace directions: (1,0,0) (0,2,0) (0,0,3)\nspace origin: (0,0,0)\n"


def nrrd(folder: Path, fields: str, data: bytes = VOXELS.tobytes(), encoding: str = "raw") -> Path:
    path = folder / "a.nrrd"
    path.write_bytes(f"{HEAD}{fields}encoding: {encoding}\n\n".encode() + data)
    return path


@pytest.mark.parametrize(
    "line",
    [
        "content: T1: 3 T: brain",
        "space units:=furlong furlong furlong",
        "spacings:=0 0 0",
        "# spacings: 0 0 0",
        "note:=a: b: c",
    ],
)
def test_colons_in_a_value_keys_of_others_and_comments_say_nothing_of_the_grid(tmp_path: Path, line: str) -> None:
    volume = read_image(nrrd(tmp_path, GRID + line + "\n"))
    np.testing.assert_array_equal(volume.voxels, VOXELS)
    assert volume.spacing_mm == pytest.approx((1, 2, 3))
    assert volume.warnings == ()


@pytest.mark.parametrize("space", ["right-anterior-superior", "LAS", "RAS-time", "LPS", "left-anterior-superior"])
def test_a_space_of_a_body_is_known_by_its_name_and_by_its_letters(tmp_path: Path, space: str) -> None:
    assert check_nrrd(nrrd(tmp_path, GRID.replace("left-posterior-superior", space))).notes == ()


@pytest.mark.parametrize("fields", [GRID.replace("left-posterior-superior", "scanner-xyz"), "spacings: 1 2 3\n", ""])
def test_any_other_space_is_told(tmp_path: Path, fields: str) -> None:
    assert len(check_nrrd(nrrd(tmp_path, fields)).notes) == 1


@pytest.mark.parametrize(("fields", "is_stated"), [(GRID, True), ("spacings: 1 2 3\n", True), ("", False)])
def test_pixels_have_a_size_where_the_header_states_one(tmp_path: Path, fields: str, is_stated: bool) -> None:
    assert check_nrrd(nrrd(tmp_path, fields)).has_size is is_stated


@pytest.mark.parametrize(("spacings", "what"), [("1 0 3", "is 0"), ("1 2 -3", "is -3"), ("? 2 3", "is not stated")])
def test_a_spacing_that_is_none_is_refused_as_it_is_written(tmp_path: Path, spacings: str, what: str) -> None:
    with pytest.raises(InputError, match=f"the spacing along an axis of the image {what}"):
        check_nrrd(nrrd(tmp_path, f"spacings: {spacings}\n"))


def packed(folder: Path, surplus: int, fields: str = "", skipped: int = 0) -> Path:
    return nrrd(folder, GRID + fields, gzip.compress(bytes(skipped) + VOXELS.tobytes() + bytes(surplus)), "gzip")


def test_compressed_data_may_be_as_long_as_the_largest_voxels_and_64_kilobytes_more(tmp_path: Path) -> None:
    # The reader knows how long a voxel is; the check knows that none takes more than 8 bytes.
    most = (8 - VOXELS.itemsize) * VOXELS.size + (1 << 16)
    check_nrrd(packed(tmp_path, most))
    with pytest.raises(InputError, match="more voxels than its header says"):
        check_nrrd(packed(tmp_path, most + 1))


def test_bytes_that_are_skipped_come_on_top(tmp_path: Path) -> None:
    most = (8 - VOXELS.itemsize) * VOXELS.size + (1 << 16)
    check_nrrd(packed(tmp_path, most, "byte skip: 1000\n", 1000))
    with pytest.raises(InputError, match="more voxels than its header says"):
        check_nrrd(packed(tmp_path, most + 1, "byte skip: 1000\n", 1000))


def test_a_header_without_end_and_another_kind_of_file_are_called_that(tmp_path: Path) -> None:
    path = tmp_path / "a.nrrd"
    path.write_bytes((HEAD + GRID + "encoding: raw\n").encode())
    with pytest.raises(InputError, match="no end"):
        check_nrrd(path)
    path.write_bytes(b"NRRE0005\n\n")
    with pytest.raises(InputError, match="not an NRRD file"):
        check_nrrd(path)


@pytest.mark.parametrize(("directions", "is_read"), [("none (1,0,0) (0,2,0) (0,0,3)", True), ("none (1,0,0)", False)])
def test_one_axis_beyond_three_needs_no_direction(tmp_path: Path, directions: str, is_read: bool) -> None:
    fields = GRID.replace("(1,0,0) (0,2,0) (0,0,3)", directions)
    path = nrrd(tmp_path, fields)
    if is_read:
        check_nrrd(path)
    else:
        with pytest.raises(InputError, match="no direction"):
            check_nrrd(path)


def test_units_are_those_of_the_first_three_axes_along_which_the_image_extends(tmp_path: Path) -> None:
    path = tmp_path / "a.nrrd"
    head = HEAD.replace("dimension: 3\nsizes: 6 5 4", "dimension: 4\nsizes: 1 6 5 4")
    fields = 'kinds: vector domain domain domain\nspacings: nan 1 2 3\nunits: "" "cm" "cm" "cm"\nencoding: raw\n\n'
    path.write_bytes((head + fields).encode() + VOXELS.tobytes())
    assert check_nrrd(path).mm_per_unit == 10.0
