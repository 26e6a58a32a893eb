"""Foreign parts inside known images, to measure whether the place of a shift is found. Drawn first, then applied."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from MultiTaskSegLib.runtime.image.volume import Volume
from trainer.ood.fault.canonical_image import CanonicalImage, canonical_image
from trainer.ood.fault.metal_streak import Metal, apply_metal, draw_metal

RADIUS_SHARE = (0.08, 0.16)
"""Radius or half side of a patch as a share of the shorter in-plane extent."""
SOFT_SHARE = 0.25
"""Width of the soft edge as a share of the radius."""
LEAST_RANGE = 0.2
"""A patch spans at least this share of the image's robust range, or it would vanish in air."""
STREAK_STRENGTH = 1.0
STREAK_RADIUS_SHARE = 0.03
STREAK_REACH_SHARE = 0.06
VISIBLE_CHANGE = 0.05
"""Smaller changes by a streak, as a share of the robust range, are left out."""


@dataclass(frozen=True)
class Patch:
    """A part of another volume and where it goes.

    Attributes:
        form: ``ball`` (a disc in 2-D) or ``box``.
        centre_zyx: voxel of the known image, in canonical axes.
        source_zyx: voxel of the foreign image, in canonical axes, that comes to lie there.
        radius_mm: radius or half side.
    """

    form: Literal["ball", "box"]
    centre_zyx: tuple[int, int, int]
    source_zyx: tuple[int, int, int]
    radius_mm: float


def draw_patch(rng: np.random.Generator, volume: Volume, foreign: Volume) -> Patch:
    """Draw form, size and both places, each inside the body of its image.

    Raises:
        InputError: one of the images is constant.
    """
    known, source = canonical_image(volume), canonical_image(foreign)
    radius_mm = float(rng.uniform(*RADIUS_SHARE)) * _in_plane_mm(known)
    form: Literal["ball", "box"] = "ball" if rng.random() < 0.5 else "box"
    return Patch(form, known.draw_place(rng), source.draw_place(rng), radius_mm)


def apply_patch(patch: Patch, volume: Volume, foreign: Volume) -> tuple[Volume, NDArray[np.bool_]]:
    """Paste a part of ``foreign``, with its values brought to the range of what it covers, with a soft edge.

    Its size in millimetres is kept; between 2-D images, whose spacing is not to be trusted, its share of the image.

    Returns:
        The volume, and bool ``(Z, Y, X)`` on its native grid: True where the patch has weight.

    Raises:
        InputError: one of the images is constant.
    """
    known, source = canonical_image(volume), canonical_image(foreign)
    weight = patch_weight(patch, known)
    covered = known.values[weight > 0]
    content = _foreign_values(patch, known, source, np.argwhere(weight > 0))
    low, high = np.percentile(covered, (5, 95))
    half = max(high - low, LEAST_RANGE) / 2
    middle = low + half
    content_low, content_high = np.percentile(content, (5, 95))
    unit = (content - (content_low + content_high) / 2) / max((content_high - content_low) / 2, 1e-6)
    values = known.values.copy()
    share = weight[weight > 0]
    values[weight > 0] = (1 - share) * covered + share * (middle + half * unit)
    return _changed_only(volume, known, values, weight > 0)


def draw_streak(rng: np.random.Generator, volume: Volume) -> Metal:
    """Draw a small implant with short streaks, inside the body.

    Raises:
        InputError: the image is constant.
    """
    image = canonical_image(volume)
    return draw_metal(rng, image, STREAK_RADIUS_SHARE * _in_plane_mm(image), STREAK_STRENGTH, STREAK_REACH_SHARE)


def apply_streak(metal: Metal, volume: Volume) -> tuple[Volume, NDArray[np.bool_]]:
    """Put an implant with its streaks into a volume.

    Returns:
        The volume, and bool ``(Z, Y, X)`` on its native grid: True where it was changed visibly; the rest was not.

    Raises:
        InputError: the image is constant.
    """
    image = canonical_image(volume)
    values = apply_metal(metal, image)
    return _changed_only(volume, image, values, np.abs(values - image.values) >= VISIBLE_CHANGE)


def patch_weight(patch: Patch, image: CanonicalImage) -> NDArray[np.float32]:
    """Weight of the patch in each canonical voxel ``(Z, Y, X)``: 1 inside, falling to 0 at its radius."""
    z, y, x = np.ix_(
        *(
            np.abs(np.arange(n) - centre) * mm
            for n, centre, mm in zip(image.values.shape, patch.centre_zyx, image.spacing_zyx_mm, strict=True)
        )
    )
    distance = np.sqrt(z**2 + y**2 + x**2) if patch.form == "ball" else np.maximum(np.maximum(z, y), x)
    weight: NDArray[np.float32] = np.clip((patch.radius_mm - distance) / (SOFT_SHARE * patch.radius_mm), 0, 1)
    return weight.astype(np.float32, copy=False)


def _foreign_values(
    patch: Patch, known: CanonicalImage, source: CanonicalImage, places: NDArray[np.integer]
) -> NDArray[np.float32]:
    """Foreign values ``(N,)`` for voxels ``(N, 3)`` of the known image; mirrored where the foreign image ends."""
    if known.values.shape[0] == 1 or source.values.shape[0] == 1:
        scale = np.asarray(source.values.shape) / np.asarray(known.values.shape)
    else:
        scale = np.asarray(known.spacing_zyx_mm) / np.asarray(source.spacing_zyx_mm)
    coordinates = (places - np.asarray(patch.centre_zyx)) * scale + np.asarray(patch.source_zyx)
    result: NDArray[np.float32] = ndimage.map_coordinates(source.values, coordinates.T, order=1, mode="mirror")
    return result


def _changed_only(
    volume: Volume, image: CanonicalImage, values: NDArray[np.float32], changed: NDArray[np.bool_]
) -> tuple[Volume, NDArray[np.bool_]]:
    """The volume with new values in the mask and its very own ones elsewhere, and the mask on its grid."""
    mask = np.ascontiguousarray(image.reorientation.invert(changed), dtype=np.bool_)
    voxels = np.where(mask, image.restore(values, volume).voxels, volume.voxels)
    return replace(volume, voxels=voxels), mask


def _in_plane_mm(image: CanonicalImage) -> float:
    return float(min(n * mm for n, mm in zip(image.values.shape[1:], image.spacing_zyx_mm[1:], strict=True)))
