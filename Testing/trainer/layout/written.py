"""Small files for tests of folder layouts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk


def write_scan(path: Path, array: np.ndarray, spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> Path:
    """Write ``(Z, Y, X)`` voxels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing_mm)
    sitk.WriteImage(image, str(path))
    return path


def write_picture(path: Path, array: np.ndarray) -> Path:
    """Write ``(Y, X)`` or ``(Y, X, 3)`` pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(sitk.GetImageFromArray(array.astype(np.uint8), isVector=array.ndim == 3), str(path))
    return path


def noise(seed: int, shape: tuple[int, ...], high: int = 255) -> np.ndarray:
    """uint8 values, the same for the same seed."""
    return np.random.default_rng(seed).integers(0, high, shape).astype(np.uint8)
