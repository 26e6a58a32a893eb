"""An image as an nnU-Net network sees it: turned, cropped to what is not 0, normalised, resampled, in this order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch.nn import functional

from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.runtime.nnunet.preparation_plan import (
    CT,
    NONE,
    RESCALE,
    RGB,
    TORCH,
    Normalisation,
    PreparationPlan,
    Resampling,
)
from MultiTaskSegLib.runtime.nnunet.resampling_grid import resampled, resampled_shape, slice_axis

SMALLEST_DEVIATION = 1e-8
Channels = Sequence[NDArray[np.float32]] | NDArray[np.float32]


@dataclass(frozen=True)
class PreparedImage:
    """An image on the network's grid, and the way back.

    Attributes:
        voxels: float32 ``(C, Z, Y, X)``, axes in the network's order.
        box: of the cropped part in the turned image, along each axis.
        turned_shape: of the whole image with the axes in the network's order.
        spacing_mm: of the image, in that order.
        network_spacing_mm: of ``voxels``; in 2-D slices keep their distance.
    """

    voxels: NDArray[np.float32]
    box: tuple[slice, slice, slice]
    turned_shape: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    network_spacing_mm: tuple[float, ...]

    @property
    def cropped_shape(self) -> tuple[int, ...]:
        """Voxels of the image in the box, along each axis."""
        return tuple(part.stop - part.start for part in self.box)


def prepared_image(
    channels: Sequence[NDArray[np.float32]] | NDArray[np.float32],
    spacing_zyx_mm: Sequence[float],
    plan: PreparationPlan,
    whole: Sequence[NDArray[np.float32]] | None = None,
) -> PreparedImage:
    """Prepare an image as nnU-Net's ``DefaultPreprocessor`` does (nnunetv2 2.0 to 2.8).

    Args:
        channels: ``(Z, Y, X)`` each, axes in the order in which the file stores them.
        spacing_zyx_mm: of them.
        plan: what to do.
        whole: channels of the image that this is a part of, whose intensities are measured instead.

    Raises:
        InputError: there is nothing but zeros, a value is not finite, or no voxel is left at the network's spacing.
    """
    if not all(np.isfinite(channel).all() for channel in channels):
        # One such value makes the mean, and with it every voxel, not a number.
        raise InputError("the image has values that are not finite", remedy="Export it again, or replace them")
    order = plan.transpose
    turned = [channel.transpose(order) for channel in channels]
    spacing_mm = tuple(float(spacing_zyx_mm[axis]) for axis in order)
    box, inside = _content(turned)
    measured = [None] * len(turned) if whole is None else _measured(whole, plan)
    wanted_mm = plan.spacing_mm if len(plan.spacing_mm) == 3 else (spacing_mm[0], *plan.spacing_mm)
    shape = resampled_shape(inside.shape, spacing_mm, wanted_mm)
    if 0 in shape:
        size_mm = " x ".join(f"{count * edge:g}" for count, edge in zip(inside.shape, spacing_mm, strict=True))
        wanted = " x ".join(f"{edge:g}" for edge in wanted_mm)
        raise InputError(
            f"what is not 0 in the image measures {size_mm} mm, less than a voxel of the model ({wanted} mm)",
            remedy="Check the spacing of the image",
        )
    axis = slice_axis(plan.images, spacing_mm, wanted_mm)
    parts = []
    for channel, rule, values in zip(turned, plan.normalisations, measured, strict=True):
        normal = normalised(np.array(channel[box], np.float32, order="C"), inside, rule, values)
        parts.append(_on_grid(normal, shape, plan.images, axis))
    voxels = np.stack(parts) if len(parts) > 1 else parts[0][None]
    return PreparedImage(voxels, box, tuple(turned[0].shape), spacing_mm, wanted_mm)


def _content(turned: Sequence[NDArray[np.float32]]) -> tuple[tuple[slice, slice, slice], NDArray[np.bool_]]:
    """The box of what is not 0 in any channel, and where in it that is, holes filled."""
    mask = ndimage.binary_fill_holes(np.logical_or.reduce([channel != 0 for channel in turned]))
    if not mask.any():
        raise InputError("the image has no voxel that is not 0", remedy="Check that it is the right image")
    box = ndimage.find_objects(mask.astype(np.int8))[0]
    return box, mask[box]


def _measured(whole: Sequence[NDArray[np.float32]], plan: PreparationPlan) -> list[NDArray[np.float32] | None]:
    """By channel, the values that each scheme measures."""
    turned = [channel.transpose(plan.transpose) for channel in whole]
    box, inside = _content(turned)
    rules = zip(turned, plan.normalisations, strict=True)
    return [channel[box][inside] if rule.within_mask else channel[box] for channel, rule in rules]


def normalised(
    image: NDArray[np.float32],
    inside: NDArray[np.bool_],
    rule: Normalisation,
    measured: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Intensities of one channel as the network expects them; ``image`` is overwritten.

    Args:
        image: ``(Z, Y, X)``, cropped.
        inside: where any channel is not 0, holes filled.
        rule: which of nnU-Net's schemes.
        measured: values whose extent, mean and deviation count; those of the image itself by default.

    Raises:
        InputError: values of a picture are outside 0 to 255.
    """
    if rule.scheme == NONE:
        return image
    low, divisor = np.float32(0), np.float32(1)
    if measured is None:
        measured = image[inside] if rule.within_mask else image
    if rule.scheme == CT:
        np.clip(image, rule.low, rule.high, out=image)
        low, divisor = np.float32(rule.mean), np.float32(max(rule.deviation, SMALLEST_DEVIATION))
    elif rule.scheme == RGB:
        if image.min() < 0 or image.max() > 255:
            raise InputError("the model expects a picture of 0 to 255", remedy="Check that it is the right image")
        divisor = np.float32(255)
    elif rule.scheme == RESCALE:
        low = measured.min()
        divisor = max(measured.max() - low, np.float32(SMALLEST_DEVIATION))
    else:
        low, divisor = measured.mean(), max(measured.std(), np.float32(SMALLEST_DEVIATION))
    where = inside if rule.within_mask else ...
    image[where] = (image[where] - low) / divisor
    return image


def _on_grid(
    image: NDArray[np.float32], shape: Sequence[int], rule: Resampling, axis: int | None
) -> NDArray[np.float32]:
    if rule.kind == NONE or image.shape == tuple(shape):
        return image
    if rule.kind != TORCH:
        return resampled(image, shape, rule, axis)
    values = torch.from_numpy(image)[None, None]
    if axis is None:
        return _linear(values, shape)[0, 0].numpy()
    in_plane = [size for number, size in enumerate(shape) if number != axis]
    slices = torch.from_numpy(np.ascontiguousarray(np.moveaxis(image, axis, 0)))[None]
    planes = _linear(slices, in_plane)[0].movedim(0, axis)[None, None]
    found: NDArray[np.float32] = functional.interpolate(planes, tuple(shape), mode="nearest-exact")[0, 0].numpy()
    return found


def _linear(values: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    mode = "trilinear" if len(shape) == 3 else "bilinear"
    return functional.interpolate(values, tuple(shape), mode=mode)
