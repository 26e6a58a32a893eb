"""Faults that TorchIO does not have and that leave every voxel in its place.

Each takes a `CanonicalImage`, a severity of 1, 2 or 3 and a generator, and returns float32 ``(Z, Y, X)`` in the same
units. What is drawn does not depend on the severity, so one seed gives one fault at three strengths.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.image.resampling import resample_linear
from trainer.ood.fault.canonical_image import CanonicalImage
from trainer.ood.fault.metal_streak import apply_metal, draw_metal

REVERSED_FROM = (0.75, 0.5)
"""Values above this share of the robust range run backwards at severity 1 and 2; at 3 all do."""
COARSENING = (2.0, 4.0, 8.0)
FINE_PIXELS = 256
"""In the plane, resolution is counted from this many pixels: finer ones may be resampled away."""
CUT_SHARE = (0.15, 0.3, 0.5)
BODY_VALUE = 0.25
"""A line of the image belongs to the body where its brightest voxel exceeds this share of the robust range."""
ZIPPER_LINES = (1, 3, 6)
ZIPPER_WIDTH = (0.006, 0.009, 0.012)
"""Share of the image's extent across the line; at least one voxel."""
ZIPPER_AMPLITUDE = (0.5, 0.8, 1.2)
METAL_STRENGTH = (0.3, 0.8, 1.6)
METAL_RADIUS = (0.015, 0.025, 0.04)
"""Radius of the implant as a share of the shorter in-plane extent."""


def inverted(image: CanonicalImage, severity: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Inversion: bright becomes dark. Severity 3 twice is the identity; below, only the brighter values run backwards,
    as fat or blood that is nulled does."""
    del rng
    values = image.values
    if severity == 3:
        result: NDArray[np.float32] = np.float32(values.max() + values.min()) - values
    else:
        result = np.minimum(values, np.maximum(2 * np.float32(REVERSED_FROM[severity - 1]) - values, 0))
    return result


def coarsened(image: CanonicalImage, severity: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Anisotropy: resolution is lost along one axis: across slices, or in the plane where slices are thick already.

    The grid stays, so that image dimensions do not give it away. TorchIO only has this with nearest neighbours.
    """
    axis = int(rng.integers(1, 3)) if image.is_stack else 0
    coarse = list(image.values.shape)
    samples = min(coarse[axis], FINE_PIXELS) if image.is_stack else coarse[axis]
    coarse[axis] = max(2, round(samples / COARSENING[severity - 1]))
    return resample_linear(resample_linear(image.values, tuple(coarse)), image.values.shape)


def cut_off(image: CanonicalImage, severity: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Cut off: one side of the image is empty (signal lost, slab too small, transfer interrupted)."""
    axis, from_end = int(rng.integers(1 if image.is_stack else 0, 3)), bool(rng.random() < 0.5)
    values: NDArray[np.float32] = image.values.copy()
    along = np.moveaxis(np.flip(values, axis) if from_end else values, axis, 0)
    # Counted within the body, so that it is not only air that gets lost.
    body = np.flatnonzero(along.reshape(along.shape[0], -1).max(axis=1) > BODY_VALUE)
    lost = round(CUT_SHARE[severity - 1] * body.size)
    along[: body[0] + max(1, lost)] = values.min()
    return values


def zipped(image: CanonicalImage, severity: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Zipper: dashed lines of alternating sign along an in-plane axis, from radio-frequency interference."""
    axis = int(rng.integers(1, 3))
    values: NDArray[np.float32] = image.values.copy()
    across = np.moveaxis(values, axis, 1)  # (Z, across the lines, along the lines)
    n_slices, n_across, n_along = across.shape
    positions = rng.uniform(0.2, 0.8, max(ZIPPER_LINES))
    dash = max(1, n_along // 100)
    signs = rng.choice((-1.0, 1.0), (max(ZIPPER_LINES), n_slices, -(-n_along // dash)))
    width = max(1, round(ZIPPER_WIDTH[severity - 1] * n_across))
    for position, sign in list(zip(positions, signs, strict=True))[: ZIPPER_LINES[severity - 1]]:
        start = round(position * (n_across - width))
        line = ZIPPER_AMPLITUDE[severity - 1] * np.repeat(sign, dash, axis=1)[:, :n_along]
        across[:, start : start + width] += line[:, None].astype(np.float32)
    return values


def streaked(image: CanonicalImage, severity: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Metal-like streaks: a bright implant with bright and dark rays through the slices around it."""
    extent_mm = min(n * mm for n, mm in zip(image.values.shape[1:], image.spacing_zyx_mm[1:], strict=True))
    metal = draw_metal(rng, image, METAL_RADIUS[severity - 1] * extent_mm, METAL_STRENGTH[severity - 1])
    return apply_metal(metal, image)
