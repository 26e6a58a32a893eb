"""Calibration near the predicted surface, where networks are most overconfident (after Ding et al., ICCV 2021).

One temperature for all voxels is a compromise between the interior, where the network is right, and the surface, where
its errors are. The distance to the surface that the network itself predicts is known for every image, so the two can
have temperatures of their own without a look at the truth.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

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


def soften_near_surface(
    probabilities: NDArray[np.float16], temperature: float, surface_temperature: float
) -> NDArray[np.float16]:
    """Give voxels near the predicted surface another temperature; the most probable label stays what it is.

    ``softmax(z / t)`` is ``p**(T / t)`` over its sum, with ``p = softmax(z / T)``: the logits are not needed.

    Args:
        probabilities: ``(1 + labels, Z, Y, X)``, softmax of the logits over ``temperature``; not changed.
        temperature: that of ``probabilities``.
        surface_temperature: that of the voxels within `BAND_VOXELS` of the surface.
    """
    band = surface_band(probabilities.argmax(axis=0))
    chosen = probabilities[:, band].astype(np.float32) ** np.float32(temperature / surface_temperature)
    result: NDArray[np.float16] = probabilities.copy()
    result[:, band] = (chosen / chosen.sum(axis=0)).astype(np.float16)
    return result
