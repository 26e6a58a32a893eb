"""A Gaussian around known feature vectors that stays defined with fewer images than features."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import StandardScaler

RIDGE = 0.01


class RidgeGaussian:
    """Mahalanobis distance to standardised vectors whose covariance has 0.01 added to its diagonal.

    This is the estimate of Gonzalez et al. and FRODO as re-implemented by Lambert et al. 2023. The covariance is kept
    as singular vectors of the data, which is exact and needs no features x features matrix. Components without any
    spread are centred but not scaled.

    Args:
        rows: ``(M, F)``, one vector per known image.
    """

    def __init__(self, rows: NDArray[np.floating]) -> None:
        self._scaler = StandardScaler().fit(np.asarray(rows, dtype=np.float64))
        standardised = self._scaler.transform(np.asarray(rows, dtype=np.float64))
        _, values, self._directions = np.linalg.svd(standardised, full_matrices=False)
        self._variances = values**2 / len(rows) + RIDGE

    def distance(self, vector: NDArray[np.floating]) -> float:
        """Mahalanobis distance (not squared) of ``(F,)`` to the mean."""
        offset = self._scaler.transform(np.asarray(vector, dtype=np.float64)[None])[0]
        components = self._directions @ offset
        outside = max(float(offset @ offset - components @ components), 0.0)
        return float(np.sqrt((components**2 / self._variances).sum() + outside / RIDGE))
