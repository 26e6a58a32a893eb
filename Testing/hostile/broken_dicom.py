"""DICOM folders that are not one good series."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from Testing.hostile.broken_image import BrokenImage, flipped, phantom, saved
from Testing.hostile.dicom_series import dicom_slice, write_series

GRID = np.diag([0.8, 0.9, 3.0, 1.0])


def series(folder: Path, **options: object) -> Path:
    """A good series of six slices unless `options` of `write_series` say otherwise."""
    return write_series(folder / "series", phantom(dtype="<u2"), GRID, **options)  # type: ignore[arg-type]


def _two_series(folder: Path) -> Path:
    series(folder, SeriesDescription="T1 axial")
    return series(folder, names=[f"B{k}" for k in range(6)], SeriesDescription="T2 axial")


def _with_extra(folder: Path, extra: Dataset) -> Path:
    first = series(folder)
    extra.SeriesInstanceUID = _uid(first)
    extra.save_as(first / "EXTRA", enforce_file_format=True)
    return first


def _uid(folder: Path) -> str:
    from pydicom import dcmread

    return str(dcmread(folder / "IM0000").SeriesInstanceUID)


def _doubled(folder: Path) -> Path:
    return _with_extra(folder, dicom_slice(phantom(dtype="<u2")[2], GRID, 2, "1.2"))


def _localizer(folder: Path) -> Path:
    sagittal = GRID[:, [1, 2, 0, 3]]
    return _with_extra(folder, dicom_slice(phantom(dtype="<u2")[2], sagittal, 9, "1.2"))


def _other_size(folder: Path) -> Path:
    return _with_extra(folder, dicom_slice(phantom((4, 4), "<u2"), GRID, 6, "1.2"))


def _tilted(folder: Path) -> Path:
    tilt = GRID.copy()
    tilt[1, 2] = 0.7
    return write_series(folder / "series", phantom(dtype="<u2"), tilt, ImageOrientationPatient=[1, 0, 0, 0, 1, 0])


def _truncated(folder: Path) -> Path:
    path = series(folder) / "IM0003"
    data = path.read_bytes()
    saved(path.parent, path.name, data[:-60])
    return path.parent


def _damaged_header(folder: Path) -> Path:
    path = series(folder) / "IM0003"
    data = path.read_bytes()
    saved(path.parent, path.name, data[:300] + bytes(40) + data[340:])
    return path.parent


def _only_text(folder: Path) -> Path:
    saved(folder, "notes.txt", b"no images here")
    return folder


def _colour(folder: Path) -> Path:
    pixels = np.repeat(phantom((1, 8, 10, 1), "<u2"), 3, axis=-1).astype(np.uint8)
    pixels[0, 2, 3, 1] ^= 1
    one = dicom_slice(pixels[0, ..., 0], GRID, 0, "1.2", SamplesPerPixel=3, PhotometricInterpretation="RGB")
    one.PlanarConfiguration, one.BitsAllocated, one.BitsStored, one.HighBit = 0, 8, 8, 7
    one.PixelData = pixels.tobytes()
    one.save_as(folder / "IM0", enforce_file_format=True)
    return folder


def _file_of_zeros(folder: Path) -> Path:
    return saved(folder, "image.dcm", flipped(bytes(400)))


def broken_dicom() -> list[BrokenImage]:
    """All kinds."""
    return [
        BrokenImage("dicom folder without images", _only_text, "no DICOM image"),
        BrokenImage("dicom empty folder", lambda folder: folder, "no DICOM image"),
        BrokenImage("dicom gap", lambda folder: series(folder, skip=(3,)), "missing or unevenly"),
        BrokenImage("dicom two series", _two_series, "2 series: 'T[12] axial'"),
        BrokenImage("dicom doubled slice", _doubled, "same position"),
        BrokenImage("dicom localizer inside", _localizer, "different (orientations|sizes)"),
        BrokenImage("dicom slices of different size", _other_size, "different sizes"),
        BrokenImage("dicom gantry tilt", _tilted, "gantry tilt"),
        BrokenImage("dicom truncated slice", _truncated, "damaged|cannot be read|truncated"),
        BrokenImage("dicom damaged header", _damaged_header, "damaged|cannot be read|missing"),
        BrokenImage("dicom colour", _colour, "colour"),
        BrokenImage("dicom file of zeros", _file_of_zeros, "cannot be read"),
    ]
