"""A synthetic scan: everything is drawn into a record first, which is then applied to a label map.

After Billot et al., "SynthSeg: Segmentation of brain MRI scans of any contrast and resolution without retraining",
Medical Image Analysis 86, 2023 (ranges of the deformation, bias field and resolution); contrasts from priors besides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trainer.synthesis.contrast import CT, draw_contrast

Vector = tuple[float, float, float]

ISOTROPIC = -1
LARGEST_TURN_DEG = 20.0
THICK_SHARE, SLAB_SHARE, STRIPPED_SHARE = 0.5, 0.25, 0.25
AXIS_SHARES = (0.5, 0.25, 0.25)
# A head with its neck; what of it a scan shows is drawn around it.
HEAD_MM = (215.0, 215.0, 165.0)
BRAIN_MM = (140.0, 175.0, 140.0)


@dataclass(frozen=True)
class Scan:
    """Everything that was drawn for one image; applying it twice gives the same image. Axes are ``(z, y, x)``: to the
    head, the back and the left.

    Attributes:
        contrast: name of the prior.
        means, spreads: of the intensity of each value of the map, on a scale of 0 to 1.
        matrix: ``(3, 3)``, from millimetres of the scan to millimetres of the map.
        mirrored: whether left and right of the map are exchanged, the names of the sides with them.
        centre_mm: middle of the field of view, from the middle of the brain.
        extent_mm: size of the field of view.
        spacing_mm: of the voxels; along ``slice_axis`` the thickness of the slices.
        slice_axis: across the slices; `ISOTROPIC`: none.
        elastic_mm: standard deviation of the control points of a smooth displacement, fine and coarse.
        shows: ``head``, ``brain`` (nothing outside the envelope) or ``fluid`` (nor outside the fluid around it).
        bias: standard deviation of the logarithm of a smooth field.
        blur_mm: standard deviation of the blur.
        gamma: exponent of the intensities.
        noise: standard deviation.
        is_rician: whether the noise is that of magnitude images; else it is Gaussian.
        seed: of the generator of displacement, texture, field and noise.
    """

    contrast: str
    means: tuple[float, ...]
    spreads: tuple[float, ...]
    matrix: tuple[Vector, Vector, Vector]
    mirrored: bool
    centre_mm: Vector
    extent_mm: Vector
    spacing_mm: Vector
    slice_axis: int
    elastic_mm: tuple[float, float]
    shows: str
    bias: float
    blur_mm: float
    gamma: float
    noise: float
    is_rician: bool
    seed: int


def draw_scan(rng: np.random.Generator, numbers: Sequence[int]) -> Scan:
    """Draw a record.

    Args:
        rng: the only source of chance.
        numbers: FreeSurfer's numbers of the map's values.
    """
    contrast, means, spreads = draw_contrast(rng, numbers)
    slice_axis, spacing = _draw_resolution(rng)
    matrix = _draw_matrix(rng)
    shows = str(rng.choice(["brain", "fluid"])) if rng.random() < STRIPPED_SHARE else "head"
    centre, extent = _draw_view(rng, shows, slice_axis, np.abs(np.diag(matrix)))
    is_ct = contrast == CT
    return Scan(
        contrast,
        tuple(means.tolist()),
        tuple(spreads.tolist()),
        _rows(matrix),
        mirrored=bool(rng.random() < 0.5),
        centre_mm=_vector(centre),
        extent_mm=_vector(extent),
        spacing_mm=_vector(spacing),
        slice_axis=slice_axis,
        elastic_mm=(float(rng.uniform(0.0, 3.0)), float(rng.uniform(0.0, 5.0))),
        shows=shows,
        bias=0.0 if is_ct else float(rng.uniform(0.0, 0.3)),
        blur_mm=float(rng.uniform(0.2, 1.0)) * min(spacing),
        gamma=float(np.exp(rng.normal(0.0, 0.25))),
        noise=float(rng.uniform(0.0, 0.08)) if rng.random() < 0.8 else 0.0,
        is_rician=not is_ct and bool(rng.random() < 0.7),
        seed=int(rng.integers(2**31)),
    )


def _draw_resolution(rng: np.random.Generator) -> tuple[int, np.ndarray]:
    """Axis across the slices and voxel size: isotropic, or slices along any axis."""
    if rng.random() >= THICK_SHARE:
        return ISOTROPIC, np.full(3, 4.0 if rng.random() < 0.1 else rng.uniform(0.8, 2.2))
    axis = int(rng.choice(3, p=AXIS_SHARES))
    spacing = np.full(3, rng.uniform(0.5, 1.5))
    spacing[axis] = rng.uniform(1.5, 7.0)
    return axis, spacing


def _draw_matrix(rng: np.random.Generator) -> np.ndarray:
    """Turned, scaled and sheared."""
    turns = np.radians(rng.uniform(-LARGEST_TURN_DEG, LARGEST_TURN_DEG, 3))
    scale = rng.uniform(0.88, 1.14) * rng.uniform(0.94, 1.06, 3)
    shear = np.eye(3) + np.triu(rng.uniform(-0.06, 0.06, (3, 3)), 1)
    result = np.diag(scale) @ shear
    for axis, angle in enumerate(turns):
        a, b = (i for i in range(3) if i != axis)
        turn = np.eye(3)
        turn[a, a] = turn[b, b] = np.cos(angle)
        turn[a, b], turn[b, a] = -np.sin(angle), np.sin(angle)
        result = result @ turn
    return result


def _draw_view(
    rng: np.random.Generator, shows: str, slice_axis: int, scale: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Middle and size of the field of view: the head, with its surroundings, cut off somewhere, or a slab of it."""
    whole = np.asarray(HEAD_MM if shows == "head" else BRAIN_MM) / scale
    # The head reaches further down and forwards than up and back, seen from the middle of the brain.
    middle = np.array([-25.0, -12.0, 0.0]) / scale if shows == "head" else np.zeros(3)
    low = middle - whole / 2 + rng.uniform(-15.0, 35.0, 3) * [-1, -1, -1]
    high = middle + whole / 2 + rng.uniform(-5.0, 35.0, 3)
    if shows == "head" and rng.random() < 0.5:
        # Without the neck, mostly.
        low[0] = -rng.uniform(60.0, 100.0) / scale[0]
    if rng.random() < SLAB_SHARE:
        axis = slice_axis if slice_axis != ISOTROPIC else int(rng.choice(3, p=AXIS_SHARES))
        thickness = rng.uniform(20.0, 110.0)
        place = rng.uniform(-0.5, 0.5) * (np.asarray(BRAIN_MM)[axis] - 0.5 * thickness) / scale[axis]
        low[axis], high[axis] = place - thickness / 2, place + thickness / 2
    return (low + high) / 2, high - low


def _vector(values: np.ndarray) -> Vector:
    z, y, x = (float(v) for v in values)
    return z, y, x


def _rows(matrix: np.ndarray) -> tuple[Vector, Vector, Vector]:
    first, second, third = (_vector(row) for row in matrix)
    return first, second, third
