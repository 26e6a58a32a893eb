"""How far a task's images are from those of other patients, by a metric that was fitted without them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular
from scipy.spatial.distance import cdist

from MultiTaskSegLib.runtime.ood.reference import SMALLEST_DISTANCE
from MultiTaskSegLib.runtime.ood.task_metric import OWN_SHARE

# So many metrics are fitted at most, each without some of the groups.
MAX_PARTS = 20
# Of the largest distance: rounding errors of scalar products are smaller, distances between images larger.
SAME = 1e-6

Floats = NDArray[np.float64]


def typical_distance(vectors: Floats, groups: NDArray[np.str_], projection: Floats | None) -> float:
    """Median distance of a task's images to the nearest one of another group.

    With a projection, the metric is fitted without the image's group: it would make images near one another that it
    was fitted on, the more so the fewer they are, and every new image of a small task would seem far.

    Copies of images of other groups do not count.

    Args:
        vectors: ``(M, C)``.
        groups: ``(M,)``, two or more.
        projection: ``(C, C)``; None for vectors that are compared as they are.
    """
    # Where no metric is fitted, every group is a part of its own.
    parts = parts_of(groups.tolist(), len(set(groups.tolist())) if projection is None else MAX_PARTS)
    rows = vectors if projection is None else (vectors - vectors.mean(axis=0)) @ projection
    nearest = np.empty(len(rows))
    products = rows @ rows.T
    for part in np.unique(parts):
        inside = parts == part
        if projection is None:
            nearest[inside] = cdist(rows[inside], rows[~inside]).min(axis=1)
        else:
            nearest[inside] = np.sqrt(_squared(products, rows.shape[1], inside).min(axis=1))
    # Of a copy under another name the distance is 0, give or take a rounding error.
    apart = nearest[nearest > SAME * nearest.max()]
    return max(float(np.median(apart)), SMALLEST_DISTANCE) if apart.size else SMALLEST_DISTANCE


def parts_of(groups: list[str], count: int) -> NDArray[np.int64]:
    """Number of the part, below ``count``, that each image is left out with; groups stay whole, dealt in turn."""
    number = {group: n for n, group in enumerate(dict.fromkeys(groups))}
    return np.array([number[group] % count for group in groups], dtype=np.int64)


def _squared(products: Floats, components: int, inside: NDArray[np.bool_]) -> Floats:
    """Squared distances ``(inside, others)`` by the `TaskMetric` of the others, from scalar products alone.

    With b I + c X^T X as the metric's covariance, X the centred others, and d = x - y, Woodbury's identity gives
    d^T (b I + c X^T X)^-1 d = (d^T d - (X d)^T (b / c I + X X^T)^-1 (X d)) / b: as small as the images are few.

    Args:
        products: ``(M, M)`` of all projected images.
        components: of each.
        inside: ``(M,)``, the images that are left out.
    """
    others = ~inside
    across = products[others] - products[others].mean(axis=0)
    own = across[:, others] - across[:, others].mean(axis=1, keepdims=True)
    count = len(own)
    shrinkage = gram_shrinkage(own, components)
    level = (1 - OWN_SHARE) + OWN_SHARE * shrinkage * float(np.trace(own)) / (count * components)
    share = OWN_SHARE * (1 - shrinkage) / count
    lengths = np.diag(products)
    plain = lengths[inside][:, None] + lengths[others] - 2 * products[np.ix_(inside, others)]
    if share > 0:
        root = cholesky(level / share * np.eye(count) + own, lower=True)
        solved = solve_triangular(root, across, lower=True).T
        plain = plain - cdist(solved[inside], solved[others], "sqeuclidean")
    return np.asarray(np.maximum(plain, 0.0) / level)


def gram_shrinkage(products: Floats, components: int) -> float:
    """Ledoit & Wolf's shrinkage, in [0, 1], from the scalar products ``(M, M)`` of centred images.

    "A well-conditioned estimator for large-dimensional covariance matrices", 2004, section 3.3. A single image has no
    covariance that could be trusted at all.
    """
    count = len(products)
    if count < 2:
        return 1.0
    lengths = np.diag(products)
    mean = float(lengths.sum()) / (count * components)
    norm = float((products**2).sum()) / count**2
    spread = norm / components - mean**2
    noise = (float((lengths**2).sum()) / count - norm) / (components * count)
    return float(np.clip(noise / spread, 0.0, 1.0)) if spread > 0 and noise > 0 else 0.0
