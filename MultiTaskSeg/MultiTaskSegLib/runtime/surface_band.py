"""Calibration near the predicted surface, where networks are most overconfident (after Ding et al., ICCV 2021).

One temperature for all voxels is a compromise between the interior, where the network is right, and the surface, where
its errors are. The distance to the surface that the network itself predicts is known for every image, so the two can
have temperatures of their own without a look at the truth.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from MultiTaskSegLib.runtime.largest_class import largest_class

BAND_VOXELS = 2


def surface_band(labels: NDArray[np.integer], width: float = BAND_VOXELS) -> NDArray[np.bool_]:
    """Voxels at most ``width`` voxels away from a voxel with another label.

    Args:
        labels: ``(Z, Y, X)``; one slice makes an image in the plane.
        width: in voxels of the grid, whatever their size in millimetres; 1 keeps the two layers that touch.

    Returns:
        bool ``(Z, Y, X)``; False everywhere when there is only one label.
    """
    edge = np.zeros(labels.shape, dtype=bool)
    for axis in range(labels.ndim):
        below: list[slice] = [slice(None)] * labels.ndim
        above = list(below)
        below[axis], above[axis] = slice(None, -1), slice(1, None)
        changes = labels[tuple(below)] != labels[tuple(above)]
        edge[tuple(below)] |= changes
        edge[tuple(above)] |= changes
    if not edge.any():
        return edge
    # The layers that touch the surface are its first voxel on either side.
    band: NDArray[np.bool_] = distance_transform_edt(~edge) <= width - 1
    return band


def near_surface(labels: Tensor) -> Tensor:
    """`surface_band` of `BAND_VOXELS` for a uint8 tensor ``(Z, Y, X)``, without a distance transform."""
    edge = torch.zeros(labels.shape, dtype=torch.bool, device=labels.device)
    for axis in range(3):
        changes = labels.diff(dim=axis) != 0
        edge.narrow(axis, 0, changes.shape[axis]).logical_or_(changes)
        edge.narrow(axis, 1, changes.shape[axis]).logical_or_(changes)
    band = edge.clone()
    for axis in range(3):
        others = edge.shape[axis] - 1
        band.narrow(axis, 0, others).logical_or_(edge.narrow(axis, 1, others))
        band.narrow(axis, 1, others).logical_or_(edge.narrow(axis, 0, others))
    return band


class SurfaceSoftening:
    """Gives voxels near the predicted surface another temperature; the most probable label stays what it is.

    ``softmax(z / t)`` is ``p**(T / t)`` over its sum, with ``p = softmax(z / T)``: the logits are not needed. Slabs
    follow one another along z; results lag behind by the slices that the band looks ahead.

    Args:
        exponent: temperature of the probabilities over the one near the surface.
    """

    def __init__(self, exponent: float) -> None:
        self._exponent = exponent
        self._window: tuple[Tensor, Tensor] | None = None
        self._context = 0

    def push(self, shares: Tensor, last: bool) -> Tensor:
        """Take probabilities ``(classes, z, Y, X)``; return those of the slices whose surroundings are known."""
        labels = largest_class(shares)[1]
        if self._window is not None:
            shares = torch.cat((self._window[0], shares), dim=1)
            labels = torch.cat((self._window[1], labels))
        slices = labels.shape[0]
        done = slices if last else max(self._context, slices - BAND_VOXELS)
        near = near_surface(labels)[self._context : done]
        softened = self._soften(shares[:, self._context : done], near)
        keep = max(0, done - BAND_VOXELS)
        self._window, self._context = (shares[:, keep:], labels[keep:]), done - keep
        return softened

    def _soften(self, shares: Tensor, near: Tensor) -> Tensor:
        index = near.reshape(-1).nonzero()[:, 0]
        flat = shares.flatten(1)
        if flat.data_ptr() == shares.data_ptr():
            flat = flat.clone()
        chosen = flat.index_select(1, index).pow_(self._exponent)
        flat.index_copy_(1, index, chosen.div_(chosen.sum(dim=0)))
        return flat.reshape(shares.shape)


def soften_near_surface(
    probabilities: NDArray[np.floating], temperature: float, surface_temperature: float
) -> NDArray[np.float16]:
    """`SurfaceSoftening` of an image whose probabilities are in memory.

    Args:
        probabilities: ``(1 + labels, Z, Y, X)``, softmax of the logits over ``temperature``; not changed.
        temperature: that of ``probabilities``.
        surface_temperature: that of the voxels within `BAND_VOXELS` of the surface.
    """
    shares = torch.from_numpy(np.array(probabilities, dtype=np.float32))
    softened = SurfaceSoftening(temperature / surface_temperature).push(shares, last=True)
    return softened.to(torch.float16).numpy()
