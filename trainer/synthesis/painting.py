"""From the codes of a label map to an image as a scanner would give it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from trainer.synthesis.anatomy import CSF_AROUND
from trainer.synthesis.label_map import LabelMap
from trainer.synthesis.sampling import places_mm, sampled_codes, smooth_field
from trainer.synthesis.scan import ISOTROPIC, Scan, Vector

BIAS_MM = 90.0
# Slices are thick from this multiple of the pixel size on: see `MultiTaskSegLib.runtime.image.geometry`.
KEPT_RATIO = 3.01
# Slices too thin for that would take voxels without number: they are drawn as all others.
FINEST_PIXEL_MM = 1.25
THIN_SLICES = 3
Triple = tuple[int, int, int]


def grid_of(scan: Scan, finest_mm: float) -> tuple[Triple, Vector, int]:
    """The grid of the image.

    Args:
        scan: the record.
        finest_mm: smaller voxels are drawn as large as this; what has thick slices keeps thick slices.

    Returns:
        ``(Z, Y, X)``, the voxel size, and how many thin slices are averaged into each thick one.
    """
    spacing = np.maximum(scan.spacing_mm, finest_mm)
    thin = 1
    if scan.slice_axis != ISOTROPIC:
        thickness = scan.spacing_mm[scan.slice_axis]
        kept = thickness / KEPT_RATIO
        finest_pixel_mm = min(finest_mm, kept) if kept >= FINEST_PIXEL_MM else finest_mm
        pixel = max(scan.spacing_mm[scan.slice_axis - 1], finest_pixel_mm)
        spacing = np.full(3, pixel)
        spacing[scan.slice_axis] = max(thickness, pixel)
        thin = THIN_SLICES if thickness >= 2 * pixel else 1
    z, y, x = (max(8 if mm < 3 else 2, round(extent / mm)) for extent, mm in zip(scan.extent_mm, spacing, strict=True))
    return (z, y, x), (float(spacing[0]), float(spacing[1]), float(spacing[2])), thin


def painted(
    scan: Scan, head: LabelMap, numbers: tuple[int, ...], finest_mm: float
) -> tuple[NDArray[np.float32], NDArray[np.uint8], Vector]:
    """Draw the image of a record.

    Args:
        scan: the record.
        head: the map.
        numbers: FreeSurfer's numbers of its values.
        finest_mm: as of `grid_of`.

    Returns:
        float32 image and uint8 codes ``(Z, Y, X)``, to the head, the back and the left, and the voxel size. The code of
        a thick slice is the one in its middle.
    """
    shape, spacing, thin = grid_of(scan, finest_mm)
    rng = np.random.default_rng(scan.seed)
    fine_shape, fine_spacing = list(shape), list(spacing)
    if thin > 1:
        fine_shape[scan.slice_axis] *= thin
        fine_spacing[scan.slice_axis] /= thin
    places = places_mm(scan, _triple(fine_shape), _vector(fine_spacing))
    codes = sampled_codes(scan, head, places, rng)
    image = _tissue(scan, codes, numbers, rng)
    image = _blurred(image, scan.blur_mm, fine_spacing)
    if thin > 1:
        axis = scan.slice_axis
        split = (*shape[:axis], shape[axis], thin, *shape[axis + 1 :])
        image = image.reshape(split).mean(axis=axis + 1)
        codes = np.take(codes.reshape(split), thin // 2, axis=axis + 1)
    places = places_mm(scan, shape, spacing)
    if scan.bias:
        image = image * np.exp(np.float32(scan.bias) * smooth_field(rng, places, BIAS_MM, 1)[0])
    return _measured(scan, image, rng), np.ascontiguousarray(codes), spacing


def _tissue(
    scan: Scan, codes: NDArray[np.uint8], numbers: tuple[int, ...], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Every voxel drawn from the normal distribution of its value; what is not shown is 0."""
    shown = np.ones(2 * len(numbers), dtype=np.float32)
    if scan.shows != "head":
        keeps = {"brain": (), "fluid": (CSF_AROUND,)}[scan.shows]
        shown[::2] = [number in keeps for number in numbers]
    means, spreads = (
        np.repeat(np.asarray(values, dtype=np.float32), 2) * shown for values in (scan.means, scan.spreads)
    )
    image = np.take(means, codes)
    if any(scan.spreads):
        image += np.take(spreads, codes) * rng.standard_normal(codes.shape, dtype=np.float32)
    return image


def _blurred(image: NDArray[np.float32], sigma_mm: float, spacing_mm: list[float]) -> NDArray[np.float32]:
    sigmas = [sigma_mm / mm if sigma_mm / mm > 0.2 else 0.0 for mm in spacing_mm]
    if not any(sigmas):
        return image
    blurred: NDArray[np.float32] = gaussian_filter(image, sigmas, mode="nearest", truncate=3.0)
    return blurred


def _measured(scan: Scan, image: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """With noise, then on the scale that somebody chose."""
    sigma = np.float32(scan.noise)
    if sigma:
        noisy = image + sigma * rng.standard_normal(image.shape, dtype=np.float32)
        if scan.is_rician:
            other = sigma * rng.standard_normal(image.shape, dtype=np.float32)
            noisy = np.sqrt(noisy**2 + other**2)
        # Stripped images are 0 outside, whatever the noise was.
        image = noisy if scan.shows == "head" else np.where(image == 0, np.float32(0), noisy)
    low, high = float(image.min()), float(image.max())
    if scan.gamma != 1 and high > low:
        image = ((image - low) / np.float32(high - low)) ** np.float32(scan.gamma)
    return np.ascontiguousarray(image, dtype=np.float32)


def _triple(values: list[int]) -> Triple:
    z, y, x = values
    return z, y, x


def _vector(values: list[float]) -> Vector:
    z, y, x = values
    return z, y, x
