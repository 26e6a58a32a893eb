"""Distances within a task against the matrices they stand for, inverted by another way."""

from __future__ import annotations

import numpy as np
import pytest

from MultiTaskSegLib.runtime.errors import ModelError
from MultiTaskSegLib.runtime.ood.task_metric import OWN_SHARE, TaskMetric

RNG = np.random.default_rng(0)
VECTORS = RNG.normal(size=(30, 4)) @ RNG.normal(size=(4, 4)) + 5.0
PROJECTION = RNG.normal(size=(4, 4))
NEW = RNG.normal(size=4)


@pytest.mark.parametrize("shrinkage", [0.0, 0.3, 1.0])
def test_the_distance_is_that_of_mahalanobis_with_the_mixed_covariance(shrinkage: float) -> None:
    own = np.cov((VECTORS @ PROJECTION).T, bias=True)
    shrunk = (1 - shrinkage) * own + shrinkage * np.trace(own) / 4 * np.eye(4)
    inverse = np.linalg.inv((1 - OWN_SHARE) * np.eye(4) + OWN_SHARE * shrunk)
    differences = (VECTORS - NEW) @ PROJECTION
    expected = np.sqrt(np.einsum("mi,ij,mj->m", differences, inverse, differences))
    np.testing.assert_allclose(TaskMetric(VECTORS, PROJECTION, shrinkage).distances(NEW), expected, rtol=1e-9)


def test_without_a_covariance_of_its_own_the_projection_alone_counts() -> None:
    expected = np.linalg.norm((VECTORS - NEW) @ PROJECTION, axis=1)
    np.testing.assert_allclose(TaskMetric(VECTORS, PROJECTION, None).distances(NEW), expected)


def test_without_a_projection_vectors_are_compared_as_they_are() -> None:
    for shrinkage in (None, 0.5):
        metric = TaskMetric(VECTORS, None, shrinkage)
        np.testing.assert_allclose(metric.distances(NEW), np.linalg.norm(VECTORS - NEW, axis=1))


def test_a_step_in_a_direction_in_which_the_task_hardly_varies_is_long() -> None:
    narrow = np.random.default_rng(1).normal(size=(200, 2)) * [0.05, 1.0]
    metric = TaskMetric(narrow, np.eye(2), 0.0)
    along, across = (np.linalg.norm(metric.project(np.eye(2)[axis])) for axis in (1, 0))
    assert along == pytest.approx(1.0, rel=0.1)
    assert across == pytest.approx(1 / np.sqrt(1 - OWN_SHARE), rel=0.02)


def test_signatures_without_a_covariance_are_refused() -> None:
    """Beside numbers like these, which a damaged file may hold, the part of all tasks is lost to rounding."""
    with pytest.raises(ModelError, match="no covariance"):
        TaskMetric(1e30 * RNG.normal(size=(3, 8)), np.eye(8), 0.0)
