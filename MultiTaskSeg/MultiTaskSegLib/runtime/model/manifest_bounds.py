"""How large each number of a manifest may be: looked at before anything is built from it.

A digest proves that a file is whole, not that its author meant well: a file of a few kilobytes may ask for a network
grid of terabytes. The bounds lie far beyond any sensible model. Memory and time for a picture of a few pixels are then
bounded, too: padding by `MAX_TOTAL_STRIDE`, the maps of a picture by `MAX_PICTURE_VALUES`.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

from MultiTaskSegLib.runtime.errors import ModelError
from MultiTaskSegLib.runtime.quality.quality_info import QUALITY_VERSION
from MultiTaskSegLib.runtime.quality.trait_names import TRAITS

MAX_TOTAL_STRIDE = 128
"""Largest step of the coarsest level along each axis, in voxels of the network's grid: images are padded to it."""

MAX_PICTURE_VALUES = 2**27
"""Largest feature map of a picture, half a gigabyte: 32 channels of 2048 x 2048 pixels. A picture has no slabs."""

MAX_DEPTH = 32
MAX_NOTE = 1e20
"""Largest number in ``training``, which is only shown: 64-bit seeds are smaller."""

_RATE, _CASES, _TEMPERATURE, _VALUE = (0.0, 1.0), (0, 10**9), (0.01, 100.0), (-1e9, 1e9)

BOUNDS: dict[str, tuple[float, float]] = {
    "format_version": (1, 2),
    "architecture.channels[]": (1, 4096),
    "architecture.strides[][]": (1, 8),
    "architecture.kernels[][]": (1, 15),
    "architecture.outputs": (1, 4096),
    "architecture.stems[]": (1, 32),
    "tasks[].labels[].value": (1, 255),
    "tasks[].labels[].colour[]": (0, 255),
    "tasks[].profile.intensity.low": _VALUE,
    "tasks[].profile.intensity.high": _VALUE,
    "tasks[].profile.further[].low": _VALUE,
    "tasks[].profile.further[].high": _VALUE,
    "tasks[].profile.spacing_zyx_mm[]": (1e-3, 1e3),
    "tasks[].profile.matrix": (8, 2048),
    "tasks[].channel_start": (0, 4095),
    "tasks[].temperature": _TEMPERATURE,
    "tasks[].surface_temperature": _TEMPERATURE,
    "tasks[].training_cases": _CASES,
    "tasks[].held_out_cases": _CASES,
    "tasks[].held_out_dice.*": _RATE,
    "tasks[].calibration.*": (0.0, 1e12),
    "tasks[].data.sizes.images": _CASES,
    "tasks[].data.sizes.voxels_zyx[][]": (1, 10**6),
    "tasks[].data.sizes.spacing_zyx_mm[][]": (1e-9, 1e6),
    "ood.floor": (0.0, 0.99),
    "ood.threshold": (1e-6, 1e9),
    "ood.false_alarm_rate": _RATE,
    "ood.false_alarm_rate_by_task.*": _RATE,
    "ood.false_alarm_interval[]": _RATE,
    "ood.false_alarm_intervals[][]": _RATE,
    "ood.tail_share": (1e-3, 0.5),
    # Of logarithms of scores: the limits of laws within these bounds are finite.
    "ood.score_laws[].location": (-10.0, 10.0),
    "ood.score_laws[].scale": (1e-3, 5.0),
    "ood.score_laws[].degrees": (3.0, 1e9),
    "ood.score_laws[].patients": (1, 10**9),
    "quality.version": (QUALITY_VERSION, QUALITY_VERSION),
    "quality.tasks[].patients": _CASES,
    "quality.tasks[].margin": _RATE,
    "quality.tasks[].medians[]": (-1e6, 1e6),
    "quality.tasks[].scales[]": (1e-6, 1e6),
    "quality.tasks[].weights[]": (-1.0, 1.0),
    "quality.tasks[].intercept": (-1.0, 1.0),
    "quality.tasks[].tolerance": (0.0, 10.0),
    "precision.version": (1, 1),
    "precision.measured[].dice.*": _RATE,
    "precision.measured[].dice_float32.*": _RATE,
    "precision.measured[].images": (1, 10**9),
    "precision.measured[].differing_verdicts": _CASES,
    "precision.measured[].auroc": _RATE,
    "precision.measured[].auroc_float32": _RATE,
}
"""Smallest and largest value by key; ``[]`` stands for every entry of a list, ``*`` for every key of an object."""

COUNTS = {
    "architecture.channels": 10,
    "architecture.strides": 9,
    "architecture.kernels": 10,
    "architecture.stems": 128,
    "tasks": 128,
    "tasks[].labels": 255,
    "tasks[].inputs": 32,
    "tasks[].profile.further": 31,
    "ood.layers": 19,
    "ood.image_statistics": 16,
    "ood.score_laws": 128,
    "ood.false_alarm_intervals": 128,
    "quality.tasks": 128,
    "quality.tasks[].traits": len(TRAITS),
    "quality.tasks[].medians": len(TRAITS),
    "quality.tasks[].scales": len(TRAITS),
    "quality.tasks[].weights": len(TRAITS),
    "precision.measured": 8,
}
"""Most entries by key."""

_OPEN_KEYS = ("held_out_dice", "calibration", "false_alarm_rate_by_task", "measured[].dice_float32", "measured[].dice")
_NOTES = "training"
_REMEDY = "Get the model file again"


def check_bounds(
    plain: Any, bounds: Mapping[str, tuple[float, float]] = BOUNDS, counts: Mapping[str, int] = COUNTS
) -> None:
    """Check every number and text of a manifest as plain JSON values; what has a wrong type is left to others.

    Args:
        plain: the manifest.
        bounds, counts: as `BOUNDS` and `COUNTS`, for manifests of another kind.

    Raises:
        ModelError: a number is not finite or out of bounds, a list too long, a text holds control characters, values
            are nested too deep, or the strides add up to too much.
    """
    for place, value in _leaves(plain):
        if isinstance(value, str):
            _check_text(place, value)
        elif isinstance(value, list):
            most = counts.get(_key(place))
            _require(most is None or len(value) <= most, f"{place} has {len(value)} entries, more than {most}")
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            _check_number(place, value, bounds)
    _check_total_stride(plain)


def _leaves(plain: Any) -> Iterator[tuple[str, Any]]:
    """Lists, and whatever is no list or object, with its place, such as ``tasks[0].temperature``; keys as texts."""
    waiting: list[tuple[str, int, Any]] = [("", 0, plain)]
    while waiting:
        place, depth, value = waiting.pop()
        _require(depth <= MAX_DEPTH, f"{place[:40]}... is nested deeper than {MAX_DEPTH} levels")
        if isinstance(value, dict):
            for key, item in value.items():
                yield f"a key of {place or 'the manifest'}", key
                waiting.append((f"{place}.{key}" if place else str(key), depth + 1, item))
            continue
        yield place, value
        if isinstance(value, list):
            waiting += [(f"{place}[{number}]", depth + 1, item) for number, item in enumerate(value)]


def _key(place: str) -> str:
    """The key in `BOUNDS` of a place."""
    key = re.sub(r"\[\d+\]", "[]", place)
    return next((f"{key.split(name)[0]}{name}.*" for name in _OPEN_KEYS if f".{name}." in key), key)


def _check_number(place: str, value: float, bounds: Mapping[str, tuple[float, float]]) -> None:
    if place == _NOTES or place.startswith((f"{_NOTES}.", f"{_NOTES}[")):
        low, high = -MAX_NOTE, MAX_NOTE
    else:
        low, high = bounds.get(_key(place), (-math.inf, math.inf))
    # NaN fails every comparison.
    _require(low <= value <= high, f"{place} is {_shown(value)}, not from {low:g} to {high:g}")
    _require(isinstance(value, int) or math.isfinite(value), f"{place} is not finite")


def _shown(value: float) -> str:
    """A number on a line, whatever its size."""
    return f"{value:g}" if isinstance(value, float) else f"{value}" if abs(value) < 10**15 else f"{str(value)[:12]}..."


def _check_text(place: str, text: str) -> None:
    odd = next((c for c in text if unicodedata.category(c) in ("Cc", "Cs") and c not in "\t\n\r"), None)
    _require(odd is None, f"{place[:80]} holds the character U+{ord(odd or ' '):04X}, which is no text")


def _check_total_stride(plain: Any) -> None:
    architecture = plain.get("architecture") if isinstance(plain, dict) else None
    strides = architecture.get("strides") if isinstance(architecture, dict) else None
    steps = [step for step in strides if isinstance(step, list)] if isinstance(strides, list) else []
    for number, axis in enumerate("zyx"):
        total = math.prod(step[number] for step in steps if len(step) > number and isinstance(step[number], int))
        _require(
            total <= MAX_TOTAL_STRIDE,
            f"architecture.strides multiply to {total} along {axis}, more than {MAX_TOTAL_STRIDE}",
        )


def _require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise ModelError(otherwise, remedy=_REMEDY)
