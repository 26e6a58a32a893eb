"""Broken NRRD, MetaImage, PNG and JPEG files, and paths that lead to no file."""

from __future__ import annotations

import gzip
import os
import zlib
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from Testing.hostile.broken_image import BrokenImage, flipped, phantom, saved

MHA = (
    "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\nCompressedData = False\n"
    "TransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 0 0 0\nElementSpacing = 1 2 3\nDimSize = 10 8 6\n"
    "ElementType = MET_SHORT\nElementDataFile = LOCAL\n"
)
NRRD = (
    "NRRD0004\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: 10 8 6\n"
    "space directions: (1,0,0) (0,2,0) (0,0,3)\nkinds: domain domain domain\nendian: little\nencoding: raw\n"
    "space origin: (0,0,0)\n\n"
)
NRRD_4D = (
    "NRRD0004\ntype: short\ndimension: 4\nsizes: 10 8 6 3\nspacings: 1 1 1 1\n"
    "kinds: domain domain domain domain\nendian: little\nencoding: raw\n\n"
)


def edited(kind: str, name: str, says: str, old: str, new: str, voxels: np.ndarray | None = None) -> BrokenImage:
    """An MHA or NRRD file with one part of its header replaced."""
    header = {"mha": MHA, "nrrd": NRRD}[kind]
    if old not in header:
        raise ValueError(f"the header of the good file does not contain {old!r}")
    data = header.replace(old, new).encode() + (phantom() if voxels is None else voxels).tobytes()
    return BrokenImage(f"{kind} {name}", lambda folder: saved(folder, f"image.{kind}", data), says)


def with_bytes(name: str, says: str, file_name: str, data: bytes) -> BrokenImage:
    """A file with exactly these bytes."""
    return BrokenImage(name, lambda folder: saved(folder, file_name, data), says)


def picture(folder: Path, name: str, pixels: np.ndarray) -> Path:
    """Write ``(Y, X)`` or ``(Y, X, C)`` pixels as PNG or JPEG."""
    path = folder / name
    sitk.WriteImage(sitk.GetImageFromArray(pixels.astype(np.uint8), isVector=pixels.ndim == 3), str(path))
    return path


def damaged_picture(name: str, file_name: str, cut: bool) -> BrokenImage:
    """A grey picture that is cut in half or has one flipped byte."""

    def make(folder: Path) -> Path:
        path = picture(folder, file_name, phantom((64, 80), "f4") % 256)
        data = path.read_bytes()
        return saved(folder, file_name, data[: len(data) // 2] if cut else flipped(data))

    return BrokenImage(name, make, "damaged|cannot be read")


def broken_raster() -> list[BrokenImage]:
    """All kinds."""
    return [*_metaimages(), *_nrrds(), *_pictures(), *_paths()]


def _metaimages() -> list[BrokenImage]:
    packed = zlib.compress(phantom().tobytes())
    head = MHA.replace("CompressedData = False", f"CompressedData = True\nCompressedDataSize = {len(packed)}").encode()
    nan_half = phantom(dtype="<f4")
    nan_half[:3] = np.nan
    return [
        with_bytes("mha text", "cannot be read", "image.mha", b"only text\n" * 30),
        with_bytes("mha truncated", "truncated: it holds 300", "image.mha", MHA.encode() + phantom().tobytes()[:300]),
        with_bytes("mha compressed, truncated", "truncated: it holds", "image.mha", head + packed[: len(packed) // 2]),
        with_bytes("mha compressed, flipped byte", "damaged|cannot", "image.mha", head + flipped(packed)),
        with_bytes("mhd whose data file is missing", "cannot be read", "image.mhd",
                   MHA.replace("LOCAL", "absent.raw").encode()),
        edited("mha", "zero spacing", "spacing along y is 0", "1 2 3", "1 0 3"),
        edited("mha", "negative spacing", "spacing along y is -2", "1 2 3", "1 -2 3"),
        edited("mha", "NaN spacing", "spacing along y", "1 2 3", "1 nan 3"),
        edited("mha", "huge claim", "claims 32767 x 32767 x 32767", "10 8 6", "32767 32767 32767"),
        edited("mha", "claim beyond any compression", "do not fit", "10 8 6", "900 900 900"),
        edited("mha", "zero size", "no pixels", "10 8 6", "0 8 6"),
        edited("mha", "negative size", "claims", "10 8 6", "-10 8 6"),
        edited("mha", "sheared", "sheared", "1 0 0 0 1 0 0 0 1", "1 0 0 0.4 0.9 0 0 0 1"),
        edited("mha", "singular", "sheared|cannot", "1 0 0 0 1 0 0 0 1", "1 0 0 1 0 0 0 0 1"),
        edited("mha", "vectors", "3 values per voxel", "MET_SHORT", "MET_SHORT\nElementNumberOfChannels = 3",
               phantom((6, 8, 10, 3))),
        edited("mha", "half NaN", "NaN or infinite", "MET_SHORT", "MET_FLOAT", nan_half),
    ]  # fmt: skip


def _nrrds() -> list[BrokenImage]:
    packed = gzip.compress(phantom().tobytes())
    half = packed[: len(packed) // 2]
    head = NRRD.replace("raw", "gzip").encode()
    inf_half = phantom(dtype="<f4")
    inf_half[:3] = np.inf
    axes = "(1,0,0) (0,2,0) (0,0,3)"
    return [
        with_bytes("nrrd text", "not an NRRD", "image.nrrd", b"only text\n" * 30),
        with_bytes("nrrd serialized Python object", "not an NRRD", "image.nrrd", b"\x80\x04\x95" + bytes(300)),
        with_bytes("nrrd truncated", "cannot be read", "image.nrrd", NRRD.encode() + phantom().tobytes()[:300]),
        with_bytes("nrrd compressed, truncated", "truncated or damaged", "image.nrrd", head + half),
        with_bytes("nrrd compressed, flipped byte", "truncated or damaged", "image.nrrd", head + flipped(packed)),
        with_bytes("nhdr whose data file is missing", "cannot be read", "image.nhdr",
                   NRRD.replace("encoding: raw\n", "encoding: raw\ndata file: absent.raw\n").encode()),
        edited("nrrd", "zero spacing", "spacing along y is 0|cannot", axes, "(1,0,0) (0,0,0) (0,0,3)"),
        edited("nrrd", "NaN spacing", "no direction", axes, "(1,0,0) (0,nan,0) (0,0,3)"),
        edited("nrrd", "all-NaN axis", "no direction", axes, "(1,0,0) (nan,nan,nan) (0,0,3)"),
        edited("nrrd", "axis without direction", "no direction", axes, "none (0,2,0) (0,0,3)"),
        edited("nrrd", "sheared", "sheared", axes, "(1,0,0) (1,2,0) (0,0,3)"),
        edited("nrrd", "singular", "sheared|cannot", axes, "(1,0,0) (2,0,0) (0,0,3)"),
        edited("nrrd", "huge claim", "claims 32767 x 32767 x 32767", "10 8 6", "32767 32767 32767"),
        with_bytes("nrrd header without end", "has no end", "image.nrrd", NRRD.rstrip().encode() + b"\n"),
        with_bytes("nrrd 4-D", "4-D with 3 frames", "image.nrrd", NRRD_4D.encode() + phantom((3, 6, 8, 10)).tobytes()),
        edited("nrrd", "half infinite", "NaN or infinite", "type: short", "type: float", inf_half),
        edited("nrrd", "vectors", "values per voxel|frames", f"dimension: 3\nspace: left-posterior-superior\n"
               f"sizes: 10 8 6\nspace directions: {axes}\nkinds: domain", f"dimension: 4\n"
               f"space: left-posterior-superior\nsizes: 3 10 8 6\nspace directions: none {axes}\n"
               f"kinds: vector domain", phantom((6, 8, 10, 3))),
    ]  # fmt: skip


def _pictures() -> list[BrokenImage]:
    colour = phantom((40, 48, 3), "f4") % 256
    transparent = np.repeat(colour[..., :1], 4, axis=-1)
    transparent[:9, :9, 3] = 0
    return [
        with_bytes("png text", "no pixels|cannot be read", "image.png", b"only text\n" * 30),
        with_bytes("jpeg text", "cannot be read", "image.jpg", b"only text\n" * 30),
        damaged_picture("png truncated", "image.png", cut=True),
        damaged_picture("png flipped byte", "image.png", cut=False),
        damaged_picture("jpeg truncated", "image.jpg", cut=True),
        BrokenImage("png colour", lambda folder: picture(folder, "image.png", colour), "colour"),
        BrokenImage("jpeg colour", lambda folder: picture(folder, "image.jpg", colour), "colour"),
        BrokenImage("png partly transparent", lambda folder: picture(folder, "image.png", transparent), "transparent"),
    ]


def _paths() -> list[BrokenImage]:
    def made_folder(folder: Path) -> Path:
        (folder / "image.nii.gz").mkdir()
        return folder / "image.nii.gz"

    def link(target: str) -> BrokenImage:
        def make(folder: Path) -> Path:
            (folder / "link.nii").symlink_to(folder / target)
            return folder / "link.nii"

        return BrokenImage(f"path link to {target}", make, "no such file|cannot be read")

    def pipe(folder: Path) -> Path:
        os.mkfifo(folder / "pipe.nii")
        return folder / "pipe.nii"

    return [
        BrokenImage("path missing", lambda folder: folder / "absent.nii.gz", "no such file"),
        BrokenImage("path folder named like an image", made_folder, "no DICOM image"),
        BrokenImage("path with a line break", lambda folder: folder / "a\nb.nii", "no such file"),
        BrokenImage("path too long", lambda folder: folder / ("x" * 5000 + ".nii"), "no such file|be read|too long"),
        link("absent.nii"),
        link("link.nii"),
        *([BrokenImage("path named pipe", pipe, "neither a file nor a folder")] if hasattr(os, "mkfifo") else []),
        with_bytes("path of an unknown format", "format is unknown", "image.tiff", b"II*\0" + bytes(99)),
        with_bytes("path without an ending", "format is unknown", "image", bytes(99)),
    ]
