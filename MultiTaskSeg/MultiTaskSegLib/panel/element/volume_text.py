"""Volumes in millilitres as texts that can be read one below the other."""

from __future__ import annotations

from collections.abc import Sequence

DECIMALS, MORE_DECIMALS = 2, 4
SMALL_ML = 0.1  # where all are smaller, as in the brain of a mouse, there are more decimals


def volume_texts(volumes_ml: Sequence[float | None]) -> list[str]:
    """All with the same number of decimals; what would be rounded to nothing is told as a bound, None as nothing.

    >>> volume_texts([152.04, 0.745, 0.0006, 0.0, None])
    ['152.04', '0.74', '< 0.01', '0.00', '']
    >>> volume_texts([0.0206, 0.0006])
    ['0.0206', '0.0006']
    """
    largest = max((volume for volume in volumes_ml if volume is not None), default=0.0)
    decimals = MORE_DECIMALS if 0.0 < largest < SMALL_ML else DECIMALS
    return [_text(volume, decimals) for volume in volumes_ml]


def _text(volume_ml: float | None, decimals: int) -> str:
    if volume_ml is None:
        return ""
    smallest = 10.0**-decimals
    return f"< {smallest:.{decimals}f}" if 0.0 < volume_ml < smallest / 2.0 else f"{volume_ml:.{decimals}f}"
