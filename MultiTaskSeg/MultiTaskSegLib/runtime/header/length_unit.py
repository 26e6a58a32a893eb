"""Units of length in image headers. Inside the program every length is in millimetres."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from MultiTaskSegLib.runtime.errors import InputError

MILLIMETRES = {
    "nm": 1e-6, "nanometer": 1e-6, "nanometers": 1e-6,
    "um": 1e-3, "µm": 1e-3, "μm": 1e-3, "micron": 1e-3, "microns": 1e-3, "micrometer": 1e-3, "micrometers": 1e-3,
    "mm": 1.0, "millimeter": 1.0, "millimeters": 1.0,
    "cm": 10.0, "centimeter": 10.0, "centimeters": 10.0,
    "m": 1e3, "meter": 1e3, "meters": 1e3,
}  # fmt: skip
"""By name, how many millimetres a unit has. The micro sign has two code points."""

_NOT_STATED = ("", "?", "???", "none", "unknown")


def millimetres_per(units: Sequence[str], path: Path) -> float:
    """How many millimetres the unit of an image's axes has; where none is stated, lengths are in millimetres.

    Args:
        units: as the header names them, one per axis.
        path: the file, for the message.

    Raises:
        InputError: a unit is unknown, or the axes have different ones.
    """
    names = [unit.strip().lower().replace("metre", "meter") for unit in units]
    for name in names:
        if name not in MILLIMETRES and name not in _NOT_STATED:
            raise InputError(
                f"the header gives lengths in the unknown unit '{name}'",
                file=path,
                remedy="Save the image with lengths in millimetres",
            )
    factors = {MILLIMETRES.get(name, 1.0) for name in names}
    if len(factors) > 1:
        raise InputError(
            f"the axes have different units of length ({', '.join(names)})",
            file=path,
            remedy="Save the image with lengths in millimetres",
        )
    return factors.pop() if factors else 1.0
