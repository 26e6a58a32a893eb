"""Paint in layers: what is painted later covers what was there before."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trainer.phantom.shape import Mask


class Canvas:
    """Signal and label of a set of points.

    Args:
        points: number of points.
        background: signal where nothing is painted.
    """

    def __init__(self, points: int, background: float = 0.0) -> None:
        self.signal: NDArray[np.float32] = np.full(points, background, dtype=np.float32)
        self.labels: NDArray[np.uint8] = np.zeros(points, dtype=np.uint8)

    def fill(self, mask: Mask, signal: float | NDArray[np.float32], label: int | None = None) -> None:
        """Covers the masked points.

        Args:
            mask: bool ``(N,)``.
            signal: one value, or one per point of the whole canvas, float32 ``(N,)``.
            label: label value of the covered points; None leaves the labels as they are.
        """
        self.signal[mask] = signal if np.isscalar(signal) else np.asarray(signal)[mask]
        if label is not None:
            self.labels[mask] = label
