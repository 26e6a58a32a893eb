"""From one number of voxels to another as nnU-Net does it: which size, and whether slices are resampled one by one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from MultiTaskSegLib.runtime.nnunet.preparation_plan import Resampling

Shape = tuple[int, ...]


def resampled_shape(shape: Sequence[int], spacing_mm: Sequence[float], wanted_mm: Sequence[float]) -> Shape:
    """Voxels of a grid of another spacing over the same field of view.

    >>> resampled_shape((10, 20, 20), (3.0, 1.0, 1.0), (1.0, 2.0, 1.0))
    (30, 10, 20)
    """
    return tuple(round(old / new * count) for old, new, count in zip(spacing_mm, wanted_mm, shape, strict=True))


def slice_axis(rule: Resampling, spacing_mm: Sequence[float], wanted_mm: Sequence[float]) -> int | None:
    """The axis whose slices are resampled one by one; None where the volume is resampled at once.

    Either spacing decides, the present one first: one axis must be coarser than the others by the rule's threshold.
    """
    if rule.separate is False:
        return None
    for spacing in (spacing_mm,) if rule.separate else (spacing_mm, wanted_mm):
        if rule.separate or max(spacing) / min(spacing) > rule.threshold:
            coarsest = [axis for axis, edge in enumerate(spacing) if max(spacing) / edge == 1]
            return coarsest[0] if len(coarsest) == 1 else None
    return None


def resized(values: NDArray[np.float64], shape: Sequence[int], order: int) -> NDArray[np.float64]:
    """Spline interpolation onto another number of voxels, which share the outer edges of the first and the last one.

    Beyond the outermost centres the outermost values go on; no value leaves the range of ``values``
    (scikit-image's ``resize`` with mode ``edge`` and without anti-aliasing).

    Args:
        values: ``([Z,] Y, X)``.
        shape: wanted.
        order: of the spline.
    """
    if tuple(values.shape) == tuple(shape):
        return values
    zoom = [new / old for new, old in zip(shape, values.shape, strict=True)]
    found: NDArray[np.float64] = ndimage.zoom(values, zoom, order=order, mode="nearest", grid_mode=True)
    return found if order == 0 else np.clip(found, values.min(), values.max())


def nearest_slices(count: int, wanted: int) -> NDArray[np.int64]:
    """For each wanted slice the number of the nearest of ``count`` slices over the same length.

    >>> nearest_slices(2, 4).tolist()
    [0, 0, 1, 1]
    """
    places = count / wanted * (np.arange(wanted) + 0.5) - 0.5
    nearest: NDArray[np.int64] = np.clip(np.floor(places + 0.5), 0, count - 1).astype(np.int64)
    return nearest


def resampled(
    values: NDArray[np.float32], shape: Sequence[int], rule: Resampling, axis: int | None
) -> NDArray[np.float32]:
    """A volume on another number of voxels.

    Args:
        values: ``(Z, Y, X)``.
        shape: wanted.
        rule: a spline.
        axis: of `slice_axis`.
    """
    if tuple(values.shape) == tuple(shape):
        return values
    exact = values.astype(np.float64)
    if axis is None:
        return resized(exact, shape, rule.order).astype(np.float32)
    in_plane = [size for number, size in enumerate(shape) if number != axis]
    slices = np.stack([resized(part, in_plane, rule.order) for part in np.moveaxis(exact, axis, 0)], axis)
    if slices.shape[axis] == shape[axis]:
        return slices.astype(np.float32)
    if rule.order_across == 0:
        return np.take(slices, nearest_slices(slices.shape[axis], shape[axis]), axis).astype(np.float32)
    zoom = [new / old for new, old in zip(shape, slices.shape, strict=True)]
    across: NDArray[np.float64] = ndimage.zoom(slices, zoom, order=rule.order_across, mode="nearest", grid_mode=True)
    return across.astype(np.float32)
