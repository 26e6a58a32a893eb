"""What one broken input is: how to make it and what its refusal must say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class BrokenImage:
    """One kind of broken input.

    Attributes:
        name: kind, usable as a test name.
        make: writes it below the given empty folder and returns its path.
        says: regular expression that the refusal must match.
    """

    name: str
    make: Callable[[Path], Path]
    says: str


def phantom(shape: tuple[int, ...] = (6, 8, 10), dtype: str = "<i2") -> np.ndarray:
    """Reproducible noise around 500, ``(Z, Y, X)``."""
    return np.random.default_rng(7).normal(500, 90, shape).astype(dtype)


def saved(folder: Path, name: str, data: bytes) -> Path:
    """Write bytes and return the path."""
    path = folder / name
    path.write_bytes(data)
    return path


def flipped(data: bytes, position: float = 0.6) -> bytes:
    """The same bytes with all bits of one byte inverted, at a share of the length."""
    damaged = bytearray(data)
    damaged[int(position * len(data))] ^= 0xFF
    return bytes(damaged)
