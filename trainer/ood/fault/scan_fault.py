"""Faults of the scan as TorchIO simulates them (Perez-Garcia et al. 2021), with explicit parameters.

Each takes a `CanonicalImage`, a severity of 1, 2 or 3 and a generator, and returns float32 ``(Z, Y, X)`` in the same
units. What is drawn does not depend on the severity, so one seed gives one fault at three strengths.
"""

from __future__ import annotations

import importlib
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.errors import UsageError
from trainer.ood.fault.canonical_image import CanonicalImage

MOVEMENTS = 4
MOTION_DEGREES = (2.0, 5.0, 10.0)
MOTION_SHIFT = (0.01, 0.02, 0.04)
"""Largest translation as a share of the in-plane extent: a mouse does not move by centimetres."""
MOTION_REST = (0.3, 0.12, 0.04)
"""Share of k-space around its centre that is filled without a movement: it decides most about the damage."""
GHOST_STRENGTH = (0.5, 0.9, 1.5)
"""Attenuation of every n-th k-space plane; above 1 it also changes sign."""
SPIKES = 3
SPIKE_AMPLITUDE = (0.04, 0.1, 0.2)
"""Amplitude of each wave as a share of the robust range."""
BIAS_RATIO = (2.0, 3.5, 6.0)
"""Gain at the brightest over gain at the darkest place of the ellipsoid that fills the image."""
BIAS_ORDER = 2
NOISE_SIGMA = (0.05, 0.12, 0.25)
BLUR_SHARE = (0.004, 0.008, 0.014)
"""Standard deviation as a share of the longer in-plane extent, because fine pixels may be resampled away."""
BLUR_VOXELS = (0.7, 1.2, 2.0)
"""Smallest standard deviation in in-plane voxels."""
GAMMA = (1.6, 2.2, 3.0)


def moved(image: CanonicalImage, severity: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Motion: the patient moves four times while k-space is filled line by line (Shaw et al. 2019)."""
    directions = rng.uniform(-1, 1, (2, MOVEMENTS, 3))
    if image.is_stack:
        directions[0, :, 1:] = 0  # only turns about Z
        directions[1, :, 0] = 0  # and shifts in the plane
    rest = MOTION_REST[severity - 1] / 2
    early, late = rng.uniform(0.3, 0.7, 2)
    times = np.asarray([early * (0.5 - rest), 0.5 - rest, 0.5 + rest, 0.5 + rest + late * (0.5 - rest)])
    rows_encode = bool(rng.random() < 0.5)
    extent_mm = min(n * mm for n, mm in zip(image.values.shape[1:], image.spacing_zyx_mm[1:], strict=True))
    parameters = {
        "degrees": directions[0] * MOTION_DEGREES[severity - 1],
        "translation": directions[1] * MOTION_SHIFT[severity - 1] * extent_mm,
        "times": times,
        "image_interpolation": "linear",
    }
    # The simulation fills k-space along the last axis.
    return _simulate("Motion", image, swap=rows_encode, **parameters)


def ghosted(image: CanonicalImage, severity: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Ghosting: every n-th line of k-space along an in-plane axis is off, so copies appear at n-ths of the image."""
    count, axis = int(rng.integers(2, 5)), int(rng.integers(1, 3))
    return _simulate(
        "Ghosting", image, num_ghosts=count, axis=axis, intensity=GHOST_STRENGTH[severity - 1], restore=None
    )


def spiked(image: CanonicalImage, severity: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Spikes: three corrupt points of k-space, seen as plane waves over the whole image."""
    amplitude = SPIKE_AMPLITUDE[severity - 1]
    # Waves of fewer than 1 / 0.2 voxels would be resampled away in large images.
    offsets = rng.uniform(0.03, 0.2, (SPIKES, 3)) * rng.choice((-1, 1), (SPIKES, 3))
    for offset in offsets:
        # The simulation counts in maxima of the spectrum: the mean, or a wave that is there already (half of it lies
        # at the mirrored frequency). Divided out, the wave has a share of the range as amplitude.
        largest = max(float(np.abs(image.values.mean())), amplitude / 2)
        values = _simulate("Spike", image, spikes_positions=0.5 + offset[None], intensity=amplitude / largest)
        image = replace(image, values=values)
    return image.values


def shaded(image: CanonicalImage, severity: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Bias field: a smooth multiplicative gain (Van Leemput et al. 1999); the same in all slices of a stack."""
    field = _torchio().transforms.augmentation.intensity.random_bias_field.BiasField.generate_bias_field
    orders = [
        (z, y, x)
        for z in range(BIAS_ORDER + 1)
        for y in range(BIAS_ORDER + 1 - z)
        for x in range(BIAS_ORDER + 1 - z - y)
    ]
    # A gain of the whole image is no fault.
    used = np.asarray([sum(order) > 0 and not (image.is_stack and order[0] > 0) for order in orders])
    # The field is as smooth in millimetres along a short axis as along a long one.
    extents_mm = np.asarray(image.values.shape) * np.asarray(image.spacing_zyx_mm)
    coefficients = rng.uniform(-1, 1, len(orders)) * used
    coefficients *= ((extents_mm / extents_mm.max()) ** np.asarray(orders)).prod(axis=1)
    axes = [np.linspace(-1, 1, 33) if n > 1 else np.zeros(1) for n in image.values.shape]
    z2, y2, x2 = np.ix_(*(np.square(axis) for axis in axes))
    inside = z2 + y2 + x2 <= 1
    log_gain = np.log(field(np.empty((1, *inside.shape)), BIAS_ORDER, coefficients))[inside]
    coefficients *= np.log(BIAS_RATIO[severity - 1]) / max(float(np.ptp(log_gain)), 1e-6)
    return _simulate("BiasField", image, coefficients=coefficients.tolist(), order=BIAS_ORDER)


def noisy(image: CanonicalImage, severity: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Gaussian noise."""
    return _simulate("Noise", image, mean=0.0, std=NOISE_SIGMA[severity - 1], seed=int(rng.integers(2**31)))


def blurred(image: CanonicalImage, severity: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Gaussian blur, equally wide in millimetres along all axes."""
    del rng
    spacing = image.spacing_zyx_mm
    extent_mm = max(n * mm for n, mm in zip(image.values.shape[1:], spacing[1:], strict=True))
    sigma_mm = max(BLUR_SHARE[severity - 1] * extent_mm, BLUR_VOXELS[severity - 1] * max(spacing[1:]))
    return _simulate("Blur", image, std=(sigma_mm, sigma_mm, sigma_mm))


def brightened(image: CanonicalImage, severity: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Gamma: values to a power above 1 (darker) or below 1 (brighter)."""
    exponent = GAMMA[severity - 1] if rng.random() < 0.5 else 1 / GAMMA[severity - 1]
    return _simulate("Gamma", image, gamma=exponent)


def _simulate(name: str, image: CanonicalImage, swap: bool = False, **parameters: Any) -> NDArray[np.float32]:
    """Apply one of TorchIO's transforms; ``swap`` exchanges Y and X while it acts."""
    torchio = _torchio()
    transform = getattr(importlib.import_module("torchio.transforms"), name)(**parameters)
    order = (0, 2, 1) if swap else (0, 1, 2)
    values = np.ascontiguousarray(image.values.transpose(order))
    affine = np.diag([*(image.spacing_zyx_mm[axis] for axis in order), 1.0])
    # Turns are about the origin of the world: it is put into the centre of the image.
    affine[:3, 3] = -0.5 * affine.diagonal()[:3] * (np.asarray(values.shape) - 1)
    # Applying any transform draws from the global generator, whose state is none of our business.
    with torch.random.fork_rng(devices=[]):
        faulty = transform(torchio.ScalarImage(tensor=torch.from_numpy(values)[None], affine=affine))
    result: NDArray[np.float32] = faulty.data[0].numpy().astype(np.float32, copy=False).transpose(order)
    return result


def _torchio() -> Any:
    """The library, loaded when the first fault needs it: it takes seconds."""
    try:
        return importlib.import_module("torchio")
    except ImportError as error:
        remedy = "Install it with 'pip install \".[benchmark]\"' in a checkout"
        raise UsageError("artefacts need torchio", remedy=remedy) from error
