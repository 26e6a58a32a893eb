"""A detached header opens ordinary files in its own folder, and nothing else."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import numpy as np
import pytest

from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.runtime.header.data_file import MAX_PARTS, data_files
from MultiTaskSegLib.runtime.image.image_file import read_image

VOXELS = np.random.default_rng(4).integers(0, 900, (4, 5, 6)).astype("<i2")
NRRD = "NRRD0005\ntype: short\ndimension: 3\nsizes: 6 5 4\nspacings: 1 2 3\nendian: little\nencoding: raw\n"
MHD = (
    "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\nDimSize = 6 5 4\n"
    "ElementSpacing = 1 2 3\nElementType = MET_SHORT\n"
)


def detached(folder: Path, ending: str, name: str) -> Path:
    """A header that says its data is in ``name``."""
    path = folder / f"image.{ending}"
    text = NRRD + f"data file: {name}\n" if ending in ("nhdr", "nrrd") else MHD + f"ElementDataFile = {name}\n"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with data in it, below it, and beside it."""
    inner = tmp_path / "inner"
    (inner / "below").mkdir(parents=True)
    for path in (inner, inner / "below", tmp_path):
        VOXELS.tofile(path / "v.raw")
    for number, plane in enumerate(VOXELS):
        plane.tofile(inner / f"s{number}.raw")
        plane.tofile(tmp_path / f"s{number}.raw")
    return inner


INSIDE = ["v.raw", "below/v.raw", "./v.raw", "s%d.raw 0 3 1", "LIST\ns0.raw\ns1.raw\ns2.raw\ns3.raw"]
OUTSIDE = ["../v.raw", "below/../../v.raw", "../s%d.raw 0 3 1", "LIST\ns0.raw\n../s1.raw\ns2.raw\ns3.raw"]


@pytest.mark.parametrize("ending", ["nhdr", "nrrd", "mhd", "mha"])
@pytest.mark.parametrize("name", INSIDE)
def test_data_in_or_below_the_header_s_folder_is_read(folder: Path, ending: str, name: str) -> None:
    np.testing.assert_array_equal(read_image(detached(folder, ending, name)).voxels, VOXELS)


@pytest.mark.parametrize("ending", ["nhdr", "nrrd", "mhd", "mha"])
@pytest.mark.parametrize("name", OUTSIDE)
def test_data_outside_the_header_s_folder_is_refused(folder: Path, ending: str, name: str) -> None:
    with pytest.raises(InputError, match="outside its own folder"):
        read_image(detached(folder, ending, name))


@pytest.mark.parametrize("ending", ["nhdr", "mhd"])
def test_an_absolute_path_is_refused_even_into_the_same_folder(folder: Path, ending: str) -> None:
    with pytest.raises(InputError, match="outside its own folder"):
        read_image(detached(folder, ending, str(folder / "v.raw")))


@pytest.mark.parametrize("name", ["C:\\v.raw", "C:v.raw", "\\\\host\\share\\v.raw", "..\\v.raw", "\\v.raw"])
def test_paths_of_other_systems_lead_outside_too(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="outside its own folder"):
        data_files(tmp_path / "a.mhd", name, [])


@pytest.mark.parametrize("key", ["Data File", "DATA FILE", "datafile"])
def test_a_field_is_found_however_its_name_is_written(folder: Path, key: str) -> None:
    path = folder / "image.nhdr"
    path.write_text(NRRD + f"{key}: ../v.raw\n")
    with pytest.raises(InputError, match="outside its own folder"):
        read_image(path)


def test_a_line_that_ends_like_on_old_macs_is_a_line(folder: Path) -> None:
    path = folder / "image.nhdr"
    path.write_bytes((NRRD + "content: x\rdata file: ../v.raw\r").encode())
    with pytest.raises(InputError, match="outside its own folder"):
        read_image(path)


@pytest.mark.parametrize("first", ["ElementDataFile = ../v.raw\n", "Comment = x ElementDataFile = v.raw\n"])
def test_a_metaimage_that_names_its_data_twice_is_refused(folder: Path, first: str) -> None:
    path = folder / "image.mhd"
    path.write_text(MHD + first + "ElementDataFile = v.raw\n")
    with pytest.raises(InputError):
        read_image(path)


def test_a_header_in_which_the_name_of_the_data_lies_too_far_behind_is_refused(folder: Path) -> None:
    path = folder / "image.mhd"
    path.write_text(MHD + "Comment = " + "x" * (1 << 20) + "\nElementDataFile = ../v.raw\n")
    with pytest.raises(InputError, match="does not say once where the data is"):
        read_image(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no named pipes")
@pytest.mark.parametrize("ending", ["nhdr", "mhd"])
@pytest.mark.parametrize("name", ["pipe", "LIST\ns0.raw\npipe\ns2.raw\ns3.raw"])
def test_a_pipe_as_data_file_is_refused_and_not_waited_for(folder: Path, ending: str, name: str) -> None:
    os.mkfifo(folder / "pipe")
    # Whoever opened it all the same would find it open for writing and empty at once, instead of waiting for ever.
    opened = os.open(folder / "pipe", os.O_RDWR)
    os.write(opened, bytes(1 << 15))
    try:
        with pytest.raises(InputError, match="no ordinary file"):
            read_image(detached(folder, ending, name))
    finally:
        os.close(opened)


@pytest.mark.parametrize("ending", ["nhdr", "mhd"])
@pytest.mark.parametrize("name", ["-", "below", "absent.raw"])
def test_what_is_no_ordinary_file_is_refused(folder: Path, ending: str, name: str) -> None:
    # Teem reads the standard input for "-".
    with pytest.raises(InputError, match="no ordinary file"):
        read_image(detached(folder, ending, name))


@pytest.mark.parametrize("pattern", ["s%s.raw 0 3 1", "s%d%d.raw 0 3 1", "s%d.raw 0 3 0", "s%d.raw", "s%*d.raw 0 3 1"])
def test_a_pattern_that_is_not_known_is_refused(folder: Path, pattern: str) -> None:
    with pytest.raises(InputError, match="no pattern that is known"):
        read_image(detached(folder, "nhdr", pattern))


def test_a_pattern_cannot_name_more_files_than_an_image_has(tmp_path: Path) -> None:
    for last, says in ((MAX_PARTS, "no ordinary file"), (MAX_PARTS + 1, f"names {MAX_PARTS + 1} data files")):
        with pytest.raises(InputError, match=says):
            data_files(tmp_path / "a.nhdr", f"s%d.raw 1 {last} 1", [])
    with pytest.raises(InputError, match="names 0 data files"):
        data_files(tmp_path / "a.nhdr", "LIST", ["", " "])


def test_a_header_in_letters_beyond_ascii_finds_its_data(folder: Path) -> None:
    (folder / "v.raw").rename(folder / "Lékař 脳.raw")
    np.testing.assert_array_equal(read_image(detached(folder, "nhdr", "Lékař 脳.raw")).voxels, VOXELS)


def packed(tmp_path: Path, content: bytes, more: str = "") -> Path:
    path = tmp_path / "packed.nrrd"
    path.write_bytes((NRRD.replace("raw", "gzip") + more + "\n").encode() + gzip.compress(content))
    return path


def test_bytes_are_skipped_inside_the_compressed_data(tmp_path: Path) -> None:
    path = packed(tmp_path, b"12345" + VOXELS.tobytes(), "byte skip: 5\n")
    np.testing.assert_array_equal(read_image(path).voxels, VOXELS)


def test_compressed_data_that_goes_on_and_on_is_not_read_to_its_end(tmp_path: Path) -> None:
    assert read_image(packed(tmp_path, VOXELS.tobytes() + bytes(1 << 12))).shape == VOXELS.shape
    with pytest.raises(InputError, match="more voxels than its header says"):
        read_image(packed(tmp_path, VOXELS.tobytes() + bytes(1 << 24)))


@pytest.mark.parametrize("spelling", ["GZIP", "gz", "Gzip"])
def test_damage_is_found_however_the_encoding_is_written(tmp_path: Path, spelling: str) -> None:
    path = packed(tmp_path, VOXELS.tobytes())
    data = bytearray(path.read_bytes().replace(b"encoding: gzip", f"Encoding: {spelling}".encode()))
    data[-6] ^= 1  # of the checksum
    path.write_bytes(data)
    with pytest.raises(InputError, match="truncated or damaged"):
        read_image(path)
