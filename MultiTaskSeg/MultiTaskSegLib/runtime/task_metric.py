"""How far signatures are apart within one task: between the spread of all tasks and the task's own.

One measure for all tasks is too loose for a task whose images are much alike in some direction, such as the contrast of
an MR sequence; one from the task's few images alone is too rough. Regularised discriminant analysis lies between the
two (Friedman, "Regularized discriminant analysis", JASA 84, 1989, equations 16 to 18).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cholesky, solve_triangular

from MultiTaskSegLib.runtime.errors import ModelError

# From 0.3 to 0.9 spoilt images are told about equally well; what nearly resembles a task, the better the larger it is.
OWN_SHARE = 0.7


class TaskMetric:
    """Distances of one block of the signature within one task.

    Args:
        vectors: float64 ``(M, C)``, the training images of the task.
        projection: float64 ``(C, C)``, multiplied from the right: makes the spread within all tasks white; None where
            vectors are compared as they are.
        shrinkage: in [0, 1], how far the task's own covariance is drawn to a multiple of the identity (Ledoit & Wolf
            2004); None for no covariance of its own.

    Raises:
        ModelError: the vectors are so large that they have no covariance.

    Attributes:
        projection: float64 ``(C, C)`` that distances are measured after; None for none.
        known: float64 ``(M, C)``, the training images after the projection.
    """

    def __init__(
        self, vectors: NDArray[np.float64], projection: NDArray[np.float64] | None, shrinkage: float | None
    ) -> None:
        self.projection = projection
        if projection is not None and shrinkage is not None:
            self.projection = _own_projection(vectors @ projection, projection, shrinkage)
        self.known = self.project(vectors)

    def project(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """Vectors ``(..., C)`` in the space where the task's distances are Euclidean."""
        return vectors if self.projection is None else np.asarray(vectors @ self.projection)

    def distances(self, vector: NDArray[np.float64]) -> NDArray[np.float64]:
        """Distances ``(M,)`` of a vector ``(C,)`` to the training images."""
        return np.asarray(np.linalg.norm(self.known - self.project(vector), axis=1))


def _own_projection(
    white: NDArray[np.float64], projection: NDArray[np.float64], shrinkage: float
) -> NDArray[np.float64]:
    """``projection`` followed by the root of the inverse of (1 - a) I + a S, S the shrunk covariance of ``white``."""
    components = white.shape[1]
    centred = white - white.mean(axis=0)
    covariance = centred.T @ centred / len(white)
    mean_variance = float(np.trace(covariance)) / components
    own = (1 - shrinkage) * covariance + shrinkage * mean_variance * np.eye(components)
    try:
        root = cholesky((1 - OWN_SHARE) * np.eye(components) + OWN_SHARE * own, lower=True)
    except (LinAlgError, ValueError) as error:
        raise ModelError("the signatures of a task have no covariance", remedy="Fit the reference again") from error
    # |x L^-T|^2 = x (L L^T)^-1 x^T
    return np.asarray(solve_triangular(root, projection.T, lower=True).T)
