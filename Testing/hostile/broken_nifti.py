"""NIfTI files that no program should use, each different from a good file in one respect."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np

from Testing.hostile.broken_image import BrokenImage, flipped, phantom, saved
from Testing.hostile.nifti_bytes import nifti_bytes

SHEAR = np.array([[1, 0.4, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
NAN, INF = float("nan"), float("inf")


def with_fields(name: str, says: str, ending: str = ".nii", **fields: Any) -> BrokenImage:
    """A file whose header differs in `fields`."""

    def make(folder: Path) -> Path:
        data = nifti_bytes(phantom(), **fields)
        return saved(folder, f"image{ending}", gzip.compress(data) if ending.endswith("gz") else data)

    return BrokenImage(f"nifti {name}", make, says)


def with_bytes(name: str, says: str, file_name: str, data: bytes) -> BrokenImage:
    """A file with exactly these bytes."""
    return BrokenImage(f"nifti {name}", lambda folder: saved(folder, file_name, data), says)


def with_bad_voxels(name: str, value: float, share: float) -> BrokenImage:
    """A float image in which a share of the voxels has `value`."""
    voxels = phantom(dtype="<f4")
    voxels.reshape(-1)[: int(share * voxels.size)] = value
    return with_bytes(name, "NaN or infinite", "image.nii.gz", gzip.compress(nifti_bytes(voxels)))


def broken_nifti() -> list[BrokenImage]:
    """All kinds."""
    return [*_damaged_files(), *_wrong_kinds(), *_wrong_sizes(), *_wrong_geometry(), *_wrong_voxels()]


def _damaged_files() -> list[BrokenImage]:
    good = nifti_bytes(phantom())
    packed = gzip.compress(good)
    wrong_checksum = packed[:-8] + flipped(packed[-8:-4], 0.5) + packed[-4:]
    return [
        with_bytes("empty", "empty", "image.nii.gz", b""),
        with_bytes("text", "not a NIfTI", "image.nii.gz", b"This is a text file that somebody renamed.\n" * 40),
        with_bytes("two bytes", "not a NIfTI", "image.nii", b"hi"),
        with_bytes("short text", "not a NIfTI", "image.nii", b"hello"),
        with_bytes("zip archive", "not a NIfTI", "image.nii.gz", b"PK\x03\x04" + bytes(400)),
        with_bytes("compressed text", "not a NIfTI", "image.nii.gz", gzip.compress(b"text " * 200)),
        with_bytes("half a header", "not a NIfTI", "image.nii", good[:170]),
        with_bytes("header without voxels", "truncated", "image.nii", good[:352]),
        with_bytes("cut in half", "truncated", "image.nii", good[: len(good) // 2]),
        with_bytes("one byte short", "truncated", "image.nii", good[:-1]),
        with_bytes("compressed, cut in half", "truncated or damaged", "image.nii.gz", packed[: len(packed) // 2]),
        with_bytes("compressed, checksum cut off", "truncated or damaged", "image.nii.gz", packed[:-8]),
        with_bytes("compressed, only magic", "truncated or damaged", "image.nii.gz", packed[:2]),
        with_bytes("compressed, payload short", "truncated", "image.nii.gz", gzip.compress(good[:-40])),
        with_bytes("compressed, flipped byte", "truncated or damaged", "image.nii.gz", flipped(packed)),
        with_bytes("compressed, wrong checksum", "truncated or damaged", "image.nii.gz", wrong_checksum),
        with_bytes("more voxels than declared", "more voxels", "image.nii", good + bytes(5000)),
        with_bytes("compressed but named nii", "compressed but its name", "image.nii", packed),
    ]


def _wrong_kinds() -> list[BrokenImage]:
    return [
        with_bytes("4-D", "4-D with 5 frames", "image.nii", nifti_bytes(phantom((5, 6, 8, 10)))),
        with_bytes("5-D vectors", "3 values per voxel", "image.nii", nifti_bytes(phantom((3, 1, 6, 8, 10)))),
        with_fields("RGB", "RGB", datatype=128, bitpix=24),
        with_fields("RGBA", "RGBA", datatype=2304, bitpix=32),
        with_bytes("complex", "complex", "image.nii", nifti_bytes(phantom(dtype="<c8"))),
        with_fields("single bits", "single bits", datatype=1, bitpix=1),
        with_fields("long double", "128-bit", datatype=1536, bitpix=128),
        with_fields("unknown data type", "unknown data type 77", datatype=77),
        with_fields("bits that contradict the type", "does not take 32 bits", bitpix=32),
        with_fields("header of a pair", "pair", magic=b"ni1\0"),
        with_bytes("version 2", "NIfTI-2", "image.nii", nifti_bytes(phantom(), version=2)),
        with_fields("Analyze header", "not a NIfTI", magic=b"\0\0\0\0"),
    ]


def _wrong_sizes() -> list[BrokenImage]:
    huge = [3, 32767, 32767, 32767, 1, 1, 1, 1]
    return [
        with_fields("huge claim", "claims 32767 x 32767 x 32767", dim=huge),
        with_fields("huge claim, compressed", "claims 32767 x 32767 x 32767", ".nii.gz", dim=huge),
        with_fields("claim beyond any compression", "do not fit into", ".nii.gz", dim=[3, 900, 900, 900, 1, 1, 1, 1]),
        with_fields("negative size", "image size", dim=[3, 10, -8, 6, 1, 1, 1, 1]),
        with_fields("zero size", "image size", dim=[3, 10, 0, 6, 1, 1, 1, 1]),
        with_fields("no axes", "image size", dim=[0, 10, 8, 6, 1, 1, 1, 1]),
        with_fields("nine axes", "image size", dim=[9, 10, 8, 6, 1, 1, 1, 1]),
        with_fields("voxels before the header ends", "places the voxels", vox_offset=12),
        with_fields("voxels far behind the end", "places the voxels", vox_offset=1e30),
        with_fields("voxels at NaN", "places the voxels", vox_offset=NAN),
        with_fields("voxels at a negative offset", "places the voxels", vox_offset=-352),
    ]


def _wrong_geometry() -> list[BrokenImage]:
    return [
        with_fields("zero spacing", "spacing along y is 0", pixdim=[1, 1, 0, 1, 1, 1, 1, 1]),
        with_fields("negative spacing", "spacing along x is -1", pixdim=[1, -1, 1, 1, 1, 1, 1, 1]),
        with_fields("NaN spacing", "spacing along z is nan", pixdim=[1, 1, 1, NAN, 1, 1, 1, 1]),
        with_fields("infinite spacing", "spacing along z is inf", pixdim=[1, 1, 1, INF, 1, 1, 1, 1]),
        with_fields("NaN sform", "sform", srow=[NAN, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0]),
        with_fields("infinite sform offset", "sform", srow=[1, 0, 0, INF, 0, 1, 0, 0, 0, 0, 1, 0]),
        with_fields("empty sform", "singular", srow=[0] * 12),
        with_fields("flat sform", "singular", srow=[1, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0]),
        with_fields("sheared sform", "sheared", srow=list(SHEAR[:3].ravel())),
        with_fields("NaN qform", "qform", qform_code=1, quatern=[NAN, 0, 0]),
        with_fields("infinite intensity scale", "intensity scaling", scl_slope=INF),
    ]


def _wrong_voxels() -> list[BrokenImage]:
    return [
        with_bad_voxels("half NaN", NAN, 0.5),
        with_bad_voxels("all NaN", NAN, 1.0),
        with_bad_voxels("one percent NaN", NAN, 0.01),
        with_bad_voxels("half infinite", INF, 0.5),
        with_bad_voxels("half negative infinite", -INF, 0.5),
    ]
