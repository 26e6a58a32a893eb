"""NIfTI-1 and NIfTI-2 files byte by byte, so that any field can be wrong. Independent of every NIfTI library."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

DATATYPES = {
    "u1": 2,
    "i2": 4,
    "i4": 8,
    "f4": 16,
    "f8": 64,
    "i1": 256,
    "u2": 512,
    "u4": 768,
    "i8": 1024,
    "u8": 1280,
    "c8": 32,
}

# Field name -> (struct code, offset in NIfTI-1, offset in NIfTI-2 or None, code in NIfTI-2).
FIELDS: dict[str, tuple[str, int, int, str]] = {
    "sizeof_hdr": ("i", 0, 0, "i"),
    "dim": ("8h", 40, 16, "8q"),
    "datatype": ("h", 70, 12, "h"),
    "bitpix": ("h", 72, 14, "h"),
    "pixdim": ("8f", 76, 104, "8d"),
    "vox_offset": ("f", 108, 168, "q"),
    "scl_slope": ("f", 112, 176, "d"),
    "scl_inter": ("f", 116, 184, "d"),
    "xyzt_units": ("B", 123, 500, "i"),
    "qform_code": ("h", 252, 344, "i"),
    "sform_code": ("h", 254, 348, "i"),
    "quatern": ("3f", 256, 352, "3d"),
    "qoffset": ("3f", 268, 376, "3d"),
    "srow": ("12f", 280, 400, "12d"),
}


def nifti_bytes(
    voxels: np.ndarray, ijk_to_ras: np.ndarray | None = None, version: int = 1, byte_order: str = "<", **fields: Any
) -> bytes:
    """The bytes of an uncompressed single-file NIfTI image.

    Args:
        voxels: ``(..., Z, Y, X)``; written with x fastest.
        ijk_to_ras: ``(4, 4)``, default identity; written as sform.
        version: 1 or 2.
        byte_order: ``<`` or ``>``.
        fields: values that replace what a correct header would say, by name in `FIELDS`, or ``magic``.
    """
    affine = np.eye(4) if ijk_to_ras is None else np.asarray(ijk_to_ras, dtype=float)
    header_size, payload_at, magic = (348, 352, b"n+1\0") if version == 1 else (540, 544, b"n+2\0\r\n\x1a\n")
    shape = voxels.shape[::-1]
    code = voxels.dtype.str[1:]
    values: dict[str, Any] = {
        "sizeof_hdr": header_size,
        "dim": [len(shape), *shape, *[1] * (7 - len(shape))],
        "datatype": DATATYPES[code],
        "bitpix": 8 * voxels.dtype.itemsize,
        "pixdim": [1, *np.linalg.norm(affine[:3, :3], axis=0), 1, 1, 1, 1],
        "vox_offset": payload_at,
        "scl_slope": 1,
        "xyzt_units": 2,
        "sform_code": 1,
        "srow": list(affine[:3].ravel()),
    }
    data = bytearray(payload_at)
    place = 344 if version == 1 else 4
    data[place : place + len(magic)] = fields.pop("magic", magic)
    for name, value in {**values, **fields}.items():
        code_1, offset_1, offset_2, code_2 = FIELDS[name]
        form, offset = (code_1, offset_1) if version == 1 else (code_2, offset_2)
        struct.pack_into(byte_order + form, data, offset, *np.atleast_1d(value).tolist())
    return bytes(data) + voxels.astype(voxels.dtype.newbyteorder(byte_order)).tobytes()
