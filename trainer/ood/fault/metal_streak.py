"""An implant of metal with its streaks, as a picture: draw a record, then apply it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.ood.fault.canonical_image import CanonicalImage

RAYS = 14
ANGLES = 1440
METAL_VALUE = 2.0
"""Brightness of the implant in robust ranges above the image's 1st percentile."""


@dataclass(frozen=True)
class Metal:
    """What was drawn for one implant.

    Attributes:
        centre_zyx: voxel in canonical axes.
        radius_mm: of the implant, in the plane.
        strength: of the streaks at the implant, in robust ranges of the image.
        reach_mm: distance at which a streak has faded to 37 %.
        half_length_mm: across slices, how far the implant goes to both sides.
        angles_rad, widths_rad, signs: of the rays.
    """

    centre_zyx: tuple[int, int, int]
    radius_mm: float
    strength: float
    reach_mm: float
    half_length_mm: float
    angles_rad: tuple[float, ...]
    widths_rad: tuple[float, ...]
    signs: tuple[float, ...]


def draw_metal(
    rng: np.random.Generator, image: CanonicalImage, radius_mm: float, strength: float, reach_share: float = 0.3
) -> Metal:
    """Draw an implant inside the body; the streaks reach a share of the shorter in-plane extent."""
    place = image.draw_place(rng)
    in_plane_mm = [n * mm for n, mm in zip(image.values.shape[1:], image.spacing_zyx_mm[1:], strict=True)]
    return Metal(
        place,
        radius_mm,
        strength,
        reach_mm=reach_share * min(in_plane_mm),
        half_length_mm=0.2 * image.values.shape[0] * image.spacing_zyx_mm[0],
        angles_rad=tuple(rng.uniform(0, 2 * np.pi, RAYS).tolist()),
        widths_rad=tuple(np.radians(rng.uniform(1.5, 6.0, RAYS)).tolist()),
        signs=tuple((-1.0) ** np.arange(RAYS)),
    )


def apply_metal(metal: Metal, image: CanonicalImage) -> NDArray[np.float32]:
    """The image's canonical values with the implant and its streaks; float32 ``(Z, Y, X)``."""
    streaks, implant = metal_picture(metal, image.values.shape[1:], image.spacing_zyx_mm[1:])
    profile = slice_profile(metal, image.values.shape[0], image.spacing_zyx_mm[0])
    values = image.values + profile[:, None, None] * streaks
    inside = profile >= 1
    values[inside] = np.where(implant, np.float32(METAL_VALUE), values[inside])
    return values.astype(np.float32, copy=False)


def metal_picture(
    metal: Metal, shape_yx: tuple[int, ...], spacing_yx_mm: tuple[float, ...]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Streaks (float32, in robust ranges) and implant (bool) in a slice through the implant; both ``(Y, X)``."""
    y, x = (
        (np.arange(n) - centre) * mm
        for n, centre, mm in zip(shape_yx, metal.centre_zyx[1:], spacing_yx_mm, strict=True)
    )
    distance = np.hypot(y[:, None], x[None, :])
    angle = np.arctan2(y[:, None], x[None, :])
    grid = np.linspace(-np.pi, np.pi, ANGLES, endpoint=False)
    rays = np.zeros(ANGLES)
    for centre, width, sign in zip(metal.angles_rad, metal.widths_rad, metal.signs, strict=True):
        apart = np.angle(np.exp(1j * (grid - centre)))
        rays += sign * np.exp(-0.5 * (apart / width) ** 2)
    index = np.floor((angle + np.pi) / (2 * np.pi) * ANGLES).astype(np.int64) % ANGLES
    streaks = metal.strength * rays[index] * np.exp(-distance / metal.reach_mm)
    # At least the voxel at the centre is metal, however coarse the grid.
    implant = distance <= max(metal.radius_mm, 0.5 * min(spacing_yx_mm))
    return streaks.astype(np.float32), implant


def slice_profile(metal: Metal, n_slices: int, spacing_z_mm: float) -> NDArray[np.float32]:
    """Strength in each slice ``(Z,)``: 1 along the implant, fading over half its length beyond."""
    beyond = np.abs(np.arange(n_slices) - metal.centre_zyx[0]) * spacing_z_mm - metal.half_length_mm
    fade_mm = max(0.5 * metal.half_length_mm, 1e-6)
    return np.exp(-np.clip(beyond, 0, None) / fade_mm).astype(np.float32)
