"""Slices with a place each as one grid, files of a series as well as frames: order, even steps, right angles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.runtime.image.itk_reader import MAX_SKEW

GAP_TOLERANCE = 0.02
"""How far the distance between two neighbouring slices may be from the median, as a share of it."""

ROUNDED_TO_MM = 0.1
"""Some scanners write positions with one decimal."""

_MAX_ROUNDED_SHARE = 0.25
"""Largest distance of a rounded position from an even one, as a share of the step: a missing slice is further away."""

_SAME_PLACE_MM = 1e-3
_MAX_SHIFT_MM = 1e-2


@dataclass(frozen=True)
class SliceStack:
    """How slices make a volume.

    Attributes:
        order: the slices along the normal of their plane, as places in what was given.
        ijk_to_lps: ``(4, 4)`` of the volume.
        notes: what there is to know about their positions.
    """

    order: tuple[int, ...]
    ijk_to_lps: NDArray[np.float64]
    notes: tuple[str, ...] = ()


def stacked(
    origins_mm: NDArray[np.float64], in_plane: NDArray[np.float64], names: Sequence[str], file: Path
) -> SliceStack:
    """Order at least two slices along their normal, and check that they make a grid.

    Args:
        origins_mm: ``(n, 3)``, first pixel of each slice in LPS.
        in_plane: ``(3, 2)``, steps to the next column and row in LPS millimetres.
        names: what to call each slice in a message.
        file: the folder or file, for messages.

    Raises:
        InputError: slices are doubled, missing, unevenly spaced or shifted against each other.
    """
    normal = np.cross(in_plane[:, 0], in_plane[:, 1])
    normal /= np.linalg.norm(normal)
    order = np.argsort(origins_mm @ normal, kind="stable")
    sorted_mm, called = origins_mm[order], [names[place] for place in order]
    along_mm = np.diff(sorted_mm @ normal)
    _require_distinct(along_mm, called, file)
    matrix = np.eye(4)
    matrix[:3, :2] = in_plane
    step_mm = _rounded_step(sorted_mm, normal)
    if step_mm is not None:
        matrix[:3, 2] = step_mm * normal
        # The mean of all positions is rounded least.
        matrix[:3, 3] = sorted_mm.mean(axis=0) - (len(sorted_mm) - 1) / 2 * matrix[:3, 2]
        note = (
            f"the positions of the slices are rounded to {ROUNDED_TO_MM:g} mm; they are taken as {step_mm:.4g} mm apart"
        )
        return SliceStack(tuple(order.tolist()), matrix, (note,))
    _require_even_steps(np.diff(sorted_mm, axis=0), along_mm, normal, called, file)
    matrix[:3, 2] = (sorted_mm[-1] - sorted_mm[0]) / (len(sorted_mm) - 1)
    matrix[:3, 3] = sorted_mm[0]
    return SliceStack(tuple(order.tolist()), matrix)


def _rounded_step(sorted_mm: NDArray[np.float64], normal: NDArray[np.float64]) -> float | None:
    """The even step from which positions differ by rounding alone; None where they are not rounded, or are even."""
    tenths = sorted_mm / ROUNDED_TO_MM
    if np.abs(tenths - np.round(tenths)).max() > 1e-3:
        return None
    number = np.arange(len(sorted_mm)) - (len(sorted_mm) - 1) / 2
    along_mm = sorted_mm @ normal
    step_mm = float(number @ along_mm / (number @ number))
    steps_mm = np.diff(sorted_mm, axis=0)
    if np.abs(steps_mm - step_mm * normal).max() < min(GAP_TOLERANCE * step_mm, _MAX_SHIFT_MM):
        return None
    # Half a tenth along each axis, seen along the normal and in the plane; the fit itself is off by a part of it.
    error_mm = sorted_mm - sorted_mm.mean(axis=0) - step_mm * number[:, None] * normal
    largest_mm = 1.1 * ROUNDED_TO_MM / 2
    is_rounding = np.abs(error_mm).max() <= largest_mm + 1e-9
    is_small = np.abs(error_mm @ normal).max() <= _MAX_ROUNDED_SHARE * step_mm
    return step_mm if is_rounding and is_small else None


def _require_distinct(along_mm: NDArray[np.float64], names: Sequence[str], file: Path) -> None:
    if (along_mm < _SAME_PLACE_MM).any():
        doubled = int(np.argmax(along_mm < _SAME_PLACE_MM))
        raise InputError(
            f"two slices lie at the same position ({names[doubled]} and {names[doubled + 1]})",
            file=file,
            remedy="Keep one time point or echo",
        )


def _require_even_steps(
    steps_mm: NDArray[np.float64],
    along_mm: NDArray[np.float64],
    normal: NDArray[np.float64],
    names: Sequence[str],
    file: Path,
) -> None:
    typical_mm = float(np.median(along_mm))
    off_mm = np.abs(along_mm - typical_mm)
    if (off_mm > GAP_TOLERANCE * typical_mm).any():
        gap = int(np.argmax(off_mm))
        raise InputError(
            f"slices are missing or unevenly spaced: {along_mm[gap]:.3g} mm between {names[gap]} and {names[gap + 1]}, "
            f"{typical_mm:.3g} mm elsewhere",
            file=file,
            remedy="Add the missing slices or resample the series",
        )
    shift_mm = np.linalg.norm(steps_mm - along_mm[:, None] * normal, axis=1)
    if (shift_mm > max(MAX_SKEW * typical_mm, _MAX_SHIFT_MM)).any():
        raise InputError(
            "the slices are shifted against each other (gantry tilt)",
            file=file,
            remedy="Resample the series to a grid with right angles",
        )
