"""What the tags of a DICOM image say about its pixels and GDCM passes over: their size, and which end is bright."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.runtime.header.dicom_element import read_elements
from MultiTaskSegLib.runtime.header.ultrasound_region import region_pixel_mm

SLICE_THICKNESS = "0018|0050"
PIXEL_SPACING, IMAGER_PIXEL_SPACING, NOMINAL_SCANNED_PIXEL_SPACING = "0028|0030", "0018|1164", "0018|2010"
PIXEL_ASPECT_RATIO = "0028|0034"
PHOTOMETRIC_INTERPRETATION, PRESENTATION_LUT_SHAPE, MODALITY = "0028|0004", "2050|0020", "0008|0060"

# The one of the body goes before that of the detector (PS3.3, Basic Pixel Spacing Calibration Macro).
_SIZES = (PIXEL_SPACING, IMAGER_PIXEL_SPACING, NOMINAL_SCANNED_PIXEL_SPACING)
TAGS = (
    SLICE_THICKNESS, *_SIZES, PIXEL_ASPECT_RATIO, PHOTOMETRIC_INTERPRETATION, PRESENTATION_LUT_SHAPE, MODALITY
)  # fmt: skip
"""Tags that have to be read for this."""

# Values are measurements on a fixed scale: turned around they are wrong, not just dark.
_MEASURED = ("CT", "PT", "RTDOSE")
# PixelSpacing inside a sequence, in explicit or implicit little endian: in functional groups of enhanced images.
_NESTED_SPACING = re.compile(rb"\x28\x00\x30\x00(?:DS..|..\x00\x00)([ 0-9.+eE-]+\\[ 0-9.+eE-]+)", re.DOTALL)
_HEAD_BYTES = 1 << 20


def sized_pixels(
    tags: Mapping[str, str], ijk_to_lps: NDArray[np.float64], path: Path
) -> tuple[NDArray[np.float64], bool]:
    """The voxel-to-world matrix with the size that the tags state, and whether they state one.

    GDCM knows one tag per kind of image, and gives pixels a size of 1 mm where another one states it.

    Args:
        tags: by name in `TAGS`.
        ijk_to_lps: ``(4, 4)`` from GDCM.
        path: the file, whose functional groups and ultrasound regions are looked at.
    """
    given_mm = np.linalg.norm(ijk_to_lps[:3, 1::-1], axis=0)
    if not (given_mm > 0).all():
        return ijk_to_lps, False
    stated = [size for size in (_pair(tags.get(tag, "")) for tag in _SIZES) if size is not None]
    if any(np.allclose(given_mm, size_mm, rtol=1e-3) for size_mm in stated):
        return ijk_to_lps, True
    if stated:
        return _with_pixels(ijk_to_lps, stated[0]), True
    if not np.allclose(given_mm, 1.0) or _has_nested_spacing(path):
        return ijk_to_lps, True
    if (region_mm := _region_size(tags, path)) is not None:
        return _with_pixels(ijk_to_lps, region_mm), True
    aspect = _pair(tags.get(PIXEL_ASPECT_RATIO, ""))
    return (ijk_to_lps, False) if aspect is None else (_with_pixels(ijk_to_lps, (aspect[0] / aspect[1], 1.0)), False)


def thickness_mm(tags: Mapping[str, str]) -> float | None:
    """The slice thickness that is stated; None where it is not."""
    values = _numbers(tags.get(SLICE_THICKNESS, ""))
    return values[0] if len(values) == 1 and values[0] > 0 else None


def shading_notes(tags: Mapping[str, str], path: Path) -> tuple[str, ...]:
    """What there is to know about which end of the scale is bright.

    GDCM turns MONOCHROME1 around, stored value v to 2**bits - 1 - v, before it applies the rescale slope, and does not
    look at the presentation LUT. Afterwards high values are bright.

    Raises:
        InputError: the values are measurements, such as Hounsfield units, and would be turned around, too.
    """
    is_turned = tags.get(PHOTOMETRIC_INTERPRETATION) == "MONOCHROME1"
    if is_turned and tags.get(MODALITY) in _MEASURED:
        raise InputError(
            f"the {tags[MODALITY]} image is stored inverted (MONOCHROME1), which turns its measured values around",
            file=path,
            remedy="Export the series as MONOCHROME2",
        )
    if is_turned:
        return (
            "the DICOM image is stored with high values dark (MONOCHROME1) and was inverted: high values are bright",
        )
    if tags.get(PRESENTATION_LUT_SHAPE) == "INVERSE":
        return (
            "the DICOM image is meant to be displayed inverted (presentation LUT shape INVERSE) and is used as stored: "
            "high values are dark",
        )
    return ()


def _pair(text: str) -> tuple[float, float] | None:
    """Two positive numbers, of rows (y) and of columns (x)."""
    values = _numbers(text)
    return (values[0], values[1]) if len(values) == 2 and min(values) > 0 else None


def _numbers(text: str) -> list[float]:
    try:
        values = [float(word) for word in text.split("\\")]
    except ValueError:
        return []
    return values if all(map(math.isfinite, values)) else []


def _with_pixels(ijk_to_lps: NDArray[np.float64], size_mm: tuple[float, float]) -> NDArray[np.float64]:
    matrix: NDArray[np.float64] = ijk_to_lps.copy()
    matrix[:3, :2] *= np.array(size_mm[::-1]) / np.linalg.norm(matrix[:3, :2], axis=0)
    return matrix


def _region_size(tags: Mapping[str, str], path: Path) -> tuple[float, float] | None:
    """Of an ultrasound picture; None where it has none, or cannot be read on."""
    if tags.get(MODALITY) not in ("US", "IVUS"):
        return None
    try:
        return region_pixel_mm(read_elements(path))
    except ValueError:
        return None


def _has_nested_spacing(path: Path) -> bool:
    with path.open("rb") as file:
        return any(_pair(text.decode("ascii")) for text in _NESTED_SPACING.findall(file.read(_HEAD_BYTES)))
