"""What a MetaImage holds is compared with what its header tells; MetaIO fills what is missing with whatever it has."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np
import pytest

from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.runtime.image.image_file import read_image

VOXELS = np.random.default_rng(0).integers(-300, 900, (5, 7, 6)).astype("<i2")
RAW = VOXELS.tobytes()
PACKED = zlib.compress(RAW)


def meta(folder: Path, data: bytes, data_name: str = "", line_end: str = "\n", **more: object) -> Path:
    """A MetaImage by its definition, with its voxels in it, or in a file of their own."""
    fields = {"ObjectType": "Image", "NDims": 3, "BinaryData": True, "TransformMatrix": "1 0 0 0 1 0 0 0 1"}
    fields |= {"ElementSpacing": "1 2 3", "DimSize": "6 7 5", "ElementType": "MET_SHORT", **more}
    fields |= {"ElementDataFile": data_name or "LOCAL"}
    head = "".join(f"{key} = {value}{line_end}" for key, value in fields.items()).encode()
    path = folder / ("image.mhd" if data_name else "image.mha")
    path.write_bytes(head + (b"" if data_name else data))
    if data_name:
        (folder / data_name).write_bytes(data)
    return path


def packed(folder: Path, data: bytes, data_name: str = "") -> Path:
    return meta(folder, data, data_name, CompressedData=True, CompressedDataSize=len(data))


@pytest.mark.parametrize("data_name", ["", "voxels.zraw"])
@pytest.mark.parametrize("pack", [zlib.compress, gzip.compress])
def test_whole_compressed_voxels_are_read(tmp_path: Path, data_name: str, pack: object) -> None:
    assert callable(pack)
    np.testing.assert_array_equal(read_image(packed(tmp_path, pack(RAW), data_name)).voxels, VOXELS)


@pytest.mark.parametrize("data_name", ["", "voxels.zraw"])
@pytest.mark.parametrize(
    ("data", "says"),
    [
        (PACKED[:-20], "truncated: it holds"),
        (PACKED[:-1], "truncated: it holds 420 of 420"),
        (PACKED[:200] + bytes([PACKED[200] ^ 255]) + PACKED[201:], "damaged"),
        (PACKED[:-4] + b"\0\0\0\0", "incorrect data check"),
        (zlib.compress(RAW[:-2]), "holds 418 bytes of voxels, the header tells of 420"),
        (zlib.compress(RAW + b"\0\0"), "holds more than 420 bytes of voxels, the header tells of 420"),
        (zlib.compress(bytes(1 << 24)), "holds more than 420"),
    ],
)
def test_compressed_voxels_that_are_not_whole_are_refused(
    tmp_path: Path, data: bytes, says: str, data_name: str
) -> None:
    with pytest.raises(InputError, match=says):
        read_image(packed(tmp_path, data, data_name))


@pytest.mark.parametrize(("skip", "is_read"), [(None, False), (16, True), (-1, True), (15, False), (0, False)])
def test_a_data_file_with_a_header_of_its_own_is_read_only_where_the_image_says_how_long_it_is(
    tmp_path: Path, skip: int | None, is_read: bool
) -> None:
    path = meta(tmp_path, b"x" * 16 + RAW, "voxels.raw", **({} if skip is None else {"HeaderSize": skip}))
    if is_read:
        np.testing.assert_array_equal(read_image(path).voxels, VOXELS)
    else:
        with pytest.raises(InputError, match="not known where the voxels begin"):
            read_image(path)


@pytest.mark.parametrize(("surplus", "is_read"), [(1024, True), (1025, False)])
def test_little_behind_the_voxels_of_a_single_file_is_no_fault(tmp_path: Path, surplus: int, is_read: bool) -> None:
    path = meta(tmp_path, RAW + b"x" * surplus)
    if is_read:
        np.testing.assert_array_equal(read_image(path).voxels, VOXELS)
    else:
        with pytest.raises(InputError, match="not known where"):
            read_image(path)


def test_line_ends_of_windows_and_voxels_in_text_are_read(tmp_path: Path) -> None:
    np.testing.assert_array_equal(read_image(meta(tmp_path, RAW, line_end="\r\n")).voxels, VOXELS)
    text = "".join(f"{value:6d}\n" for value in VOXELS.ravel()).encode()
    np.testing.assert_array_equal(read_image(meta(tmp_path, text, BinaryData=False)).voxels, VOXELS)
