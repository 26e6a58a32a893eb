"""Every type of voxels that a format has is read as it is, and a file that lacks one byte of it is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.runtime.image.image_file import read_image
from MultiTaskSegLib.runtime.image.meta_integrity import check_meta
from MultiTaskSegLib.runtime.image.nifti_integrity import check_nifti
from Testing.hostile.nifti_bytes import nifti_bytes

SHAPE = (4, 5, 6)
VALUES = np.arange(120).reshape(SHAPE)
# https://itk.org/Wiki/ITK/MetaIO/Documentation; MET_LONG has 4 bytes on every machine.
META_TYPES = {
    "MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4", "MET_UINT": "u4",
    "MET_LONG": "i4", "MET_ULONG": "u4", "MET_LONG_LONG": "i8", "MET_ULONG_LONG": "u8", "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}  # fmt: skip
# nifti1.h, https://nifti.nimh.nih.gov.
NIFTI_TYPES = {
    2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8",
}  # fmt: skip
REFUSED_TYPES = {
    1: "single bits", 32: "complex numbers", 128: "RGB colours", 1536: "128-bit floats", 1792: "complex numbers",
    2048: "complex numbers", 2304: "RGBA colours", 0: "unknown data type 0", 3: "unknown data type 3",
}  # fmt: skip


def meta(folder: Path, kind: str, data: bytes, sizes: str = "6 5 4", more: str = "") -> Path:
    path = folder / "a.mha"
    head = f"ObjectType = Image\nNDims = 3\nBinaryData = True\nElementSpacing = 1 2 3\nDimSize = {sizes}\n{more}"
    path.write_bytes(f"{head}ElementType = {kind}\nElementDataFile = LOCAL\n".encode() + data)
    return path


@pytest.mark.parametrize("kind", META_TYPES)
def test_a_metaimage_of_any_type_is_read_and_one_byte_less_is_noticed(tmp_path: Path, kind: str) -> None:
    data = VALUES.astype(f"<{META_TYPES[kind]}").tobytes()
    check_meta(meta(tmp_path, kind, data))
    # ITK takes a MET_LONG as its machine does.
    if "LONG" not in kind:
        np.testing.assert_array_equal(read_image(tmp_path / "a.mha").voxels, VALUES)
    with pytest.raises(InputError, match=f"truncated: it holds {len(data) - 1} of {len(data)} bytes"):
        check_meta(meta(tmp_path, kind, data[:-1]))


def test_channels_of_a_metaimage_count_and_an_unknown_type_is_left_to_the_reader(tmp_path: Path) -> None:
    check_meta(meta(tmp_path, "MET_UCHAR", bytes(360), more="ElementNumberOfChannels = 3\n"))
    with pytest.raises(InputError, match="holds 359 of 360"):
        check_meta(meta(tmp_path, "MET_UCHAR", bytes(359), more="ElementNumberOfChannels = 3\n"))
    check_meta(meta(tmp_path, "MET_STRING", bytes(7)))


@pytest.mark.parametrize("code", NIFTI_TYPES)
@pytest.mark.parametrize("order", "<>")
def test_a_nifti_file_of_any_type_and_byte_order_is_read_and_one_byte_less_is_noticed(
    tmp_path: Path, code: int, order: str
) -> None:
    path, voxels = tmp_path / "a.nii", VALUES.astype(order + NIFTI_TYPES[code])
    data = nifti_bytes(voxels)
    path.write_bytes(data)
    header = check_nifti(path).header
    assert (header.datatype, header.bitpix) == (code, 8 * voxels.itemsize)
    np.testing.assert_array_equal(read_image(path).voxels, VALUES)
    path.write_bytes(data[:-1])
    with pytest.raises(InputError, match=f"{voxels.nbytes - 1} of {voxels.nbytes} bytes|do not fit"):
        check_nifti(path)


@pytest.mark.parametrize("code", REFUSED_TYPES)
def test_a_nifti_type_that_is_no_real_number_is_called_what_it_is(tmp_path: Path, code: int) -> None:
    path = tmp_path / "a.nii"
    path.write_bytes(nifti_bytes(VALUES.astype("<i2"), datatype=code))
    with pytest.raises(InputError, match=REFUSED_TYPES[code]):
        check_nifti(path)
