"""The band near the surface and its softening worked out the plain way, for whole images in memory."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from MultiTaskSegLib.runtime.labels.surface_band import BAND_VOXELS, SurfaceSoftening


def surface_band(labels: NDArray[np.integer], width: float = BAND_VOXELS) -> NDArray[np.bool_]:
    """Voxels at most ``width`` voxels away from a voxel with another label; 1 keeps the two layers that touch."""
    edge = np.zeros(labels.shape, dtype=bool)
    for axis in range(labels.ndim):
        changes = np.moveaxis(np.diff(labels.astype(np.int64), axis=axis) != 0, axis, 0)
        along = np.moveaxis(edge, axis, 0)
        along[:-1] |= changes
        along[1:] |= changes
    if not edge.any():
        return edge
    band: NDArray[np.bool_] = distance_transform_edt(~edge) <= width - 1
    return band


def soften_near_surface(
    probabilities: NDArray[np.floating], temperature: float, surface_temperature: float
) -> NDArray[np.float16]:
    """`SurfaceSoftening` of ``(1 + labels, Z, Y, X)`` in one slab; what is given is not changed."""
    shares = torch.from_numpy(np.array(probabilities, dtype=np.float32))
    (softened,) = SurfaceSoftening(temperature / surface_temperature).push(shares, last=True)
    return softened.to(torch.float16).numpy()
