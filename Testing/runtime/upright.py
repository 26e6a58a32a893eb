"""A prepared image that lies on the network's grid as it is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.image.content_window import Window
from MultiTaskSegLib.runtime.image.geometry import Reorientation
from MultiTaskSegLib.runtime.image.input_frame import InputFrame
from MultiTaskSegLib.runtime.image.preparation import Prepared

UPRIGHT = Reorientation((0, 1, 2), (False, False, False))


def upright(
    voxels: NDArray[np.float32],
    canonical_shape: tuple[int, int, int] | None = None,
    reorientation: Reorientation = UPRIGHT,
) -> Prepared:
    """Network input ``(Z, Y, X)`` of an image without air around it.

    Args:
        voxels: on the network's grid.
        canonical_shape: of the image; None: that of the grid.
        reorientation: from the stored to the canonical array.
    """
    z, y, x = voxels.shape
    shape = canonical_shape or (z, y, x)
    frame = InputFrame(reorientation, Window((0, 0, 0), shape, shape), (1.0,) * 3, (z, y, x), (1.0,) * 3, (1.0,) * 3)
    return Prepared(voxels, frame)
