"""How far signatures are apart within one task: between the spread of all tasks and the task's own.

One measure for all tasks is too loose for a task whose images are much alike in some direction, such as the contrast of
an MR sequence; one from the task's few images alone is too rough. Regularised discriminant analysis lies between the
two (Friedman, "Regularized discriminant analysis", JASA 84, 1989, equations 16 to 18).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray

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
        self.projection, self.known = projection, vectors
        if projection is not None:
            with _one_thread():
                self.projection, self.known = _projected(vectors, projection, shrinkage)

    def project(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """Vectors ``(..., C)`` in the space where the task's distances are Euclidean."""
        return vectors if self.projection is None else np.asarray(vectors @ self.projection)

    def distances(self, vector: NDArray[np.float64]) -> NDArray[np.float64]:
        """Distances ``(M,)`` of a vector ``(C,)`` to the training images."""
        return np.asarray(np.linalg.norm(self.known - self.project(vector), axis=1))


@contextmanager
def _one_thread() -> Iterator[None]:
    """Threads that share small matrices wait for one another: on a busy machine a hundred times as long as one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _projected(
    vectors: NDArray[np.float64], projection: NDArray[np.float64], shrinkage: float | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The task's projection, and the vectors after it.

    It is ``projection`` followed by the root of the inverse of (1 - a) I + a S, where S is the shrunk covariance of the
    projected vectors.
    """
    rows, matrix = torch.from_numpy(vectors), torch.from_numpy(projection)
    if shrinkage is None:
        return projection, (rows @ matrix).numpy()
    white = rows @ matrix
    centred = white - white.mean(dim=0)
    covariance = centred.T @ centred / len(white)
    identity = torch.eye(len(matrix), dtype=torch.float64)
    own = (1 - shrinkage) * covariance + shrinkage * covariance.diagonal().mean() * identity
    try:
        root = torch.linalg.cholesky((1 - OWN_SHARE) * identity + OWN_SHARE * own)
    except RuntimeError as error:  # torch.linalg.LinAlgError, which stub files do not know
        raise ModelError("the signatures of a task have no covariance", remedy="Fit the reference again") from error
    # |x L^-T|^2 = x (L L^T)^-1 x^T
    own_projection = torch.linalg.solve_triangular(root, matrix.T, upper=False).T
    return own_projection.numpy(), (rows @ own_projection).numpy()
