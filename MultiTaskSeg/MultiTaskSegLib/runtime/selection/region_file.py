"""A region as a user gives it: six numbers, or a file of Slicer's ROI (``.mrk.json``)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from MultiTaskSegLib.runtime.errors import InputError, UsageError
from MultiTaskSegLib.runtime.image.volume import LPS_TO_RAS
from MultiTaskSegLib.runtime.selection.region import Region

REMEDY = "Give six numbers (R R A A S S in mm) or a .mrk.json file of an ROI that 3D Slicer has saved"
COUNT = 6


def region_from(words: Sequence[str]) -> Region:
    """The region that the words of a command line mean.

    Raises:
        UsageError: they are neither six numbers nor one file.
        InputError: the file cannot be read, or holds no box.
    """
    if len(words) == 1:
        return region_in_file(Path(words[0]))
    try:
        numbers = [float(word) for word in words]
    except ValueError as error:
        raise UsageError(f"--region {' '.join(words)} is no region", remedy=REMEDY) from error
    if len(numbers) != COUNT:
        raise UsageError(f"--region has {len(numbers)} numbers", remedy=REMEDY)
    return Region.between(numbers)


def region_in_file(path: Path) -> Region:
    """The ROI of a markups file: centre, size, and a matrix of orientation by rows, with the edges as its columns.

    Raises:
        InputError: the file cannot be read, or does not hold one box.
    """
    try:
        markups = json.loads(path.read_text(encoding="utf-8"))["markups"]
        boxes = [entry for entry in markups if entry.get("type") == "ROI"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"this is no file of an ROI ({error})", file=path, remedy=REMEDY) from error
    if len(boxes) != 1:
        raise InputError(f"there are {len(boxes)} ROIs", file=path, remedy="Save one ROI")
    box = boxes[0]
    if box.get("insideOut"):
        raise InputError("the ROI means everything outside it", file=path, remedy="Turn 'inside out' off")
    try:
        return _region(box)
    except (KeyError, TypeError, ValueError, UsageError) as error:
        what = f"the ROI has no usable centre, size or orientation ({error})"
        raise InputError(what, file=path, remedy=REMEDY) from error


def _region(box: dict[str, Any]) -> Region:
    system = box.get("coordinateSystem", "LPS")
    if system not in ("LPS", "RAS"):
        raise ValueError(f"unknown coordinate system {system!r}")
    to_ras = LPS_TO_RAS[:3, :3] if system == "LPS" else np.eye(3)
    edges = np.asarray(box.get("orientation", to_ras), dtype=float).reshape(3, 3)
    centre = to_ras @ np.asarray(box["center"], dtype=float)
    plain = {"centre_ras_mm": centre, "size_mm": box["size"], "axes_ras": (to_ras @ edges).T}
    return Region.from_dict(plain)
