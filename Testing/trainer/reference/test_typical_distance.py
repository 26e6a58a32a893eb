"""Distances from scalar products are those of the metric that ships, and of the library's shrinkage."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.covariance import ledoit_wolf_shrinkage

from MultiTaskSegLib.runtime.ood.task_metric import TaskMetric
from trainer.reference.typical_distance import MAX_PARTS, gram_shrinkage, parts_of, typical_distance


@pytest.mark.parametrize("images, components", [(2, 4), (3, 8), (12, 40), (60, 30), (50, 5)])
def test_the_shrinkage_is_that_of_ledoit_and_wolf(images: int, components: int) -> None:
    rows = np.random.default_rng(images).normal(3.0, 2.0, (images, components)) * np.arange(1, components + 1)
    centred = rows - rows.mean(axis=0)
    assert gram_shrinkage(centred @ centred.T, components) == pytest.approx(ledoit_wolf_shrinkage(rows), abs=1e-12)


def test_a_single_image_or_equal_ones_tell_no_covariance() -> None:
    assert gram_shrinkage(np.zeros((1, 1)), 5) == 1.0
    assert gram_shrinkage(np.zeros((3, 3)), 5) == 0.0


@pytest.mark.parametrize("images, components", [(3, 8), (12, 40), (60, 30)])
def test_the_typical_distance_is_the_median_of_metrics_fitted_without_the_image(images: int, components: int) -> None:
    rng = np.random.default_rng(images)
    vectors = rng.normal(5.0, 1.0, (images, components)) * rng.uniform(0.1, 3.0, components)
    projection = rng.normal(size=(components, components)) / components**0.5
    groups = np.array([f"g{n}" for n in range(images)])
    parts = parts_of(groups.tolist(), MAX_PARTS)
    expected = np.empty(images)
    for n in range(images):
        others = vectors[parts != parts[n]]
        shrinkage = float(np.clip(ledoit_wolf_shrinkage(others @ projection), 0, 1))
        expected[n] = TaskMetric(others, projection, shrinkage).distances(vectors[n]).min()
    assert typical_distance(vectors, groups, projection) == pytest.approx(np.median(expected), rel=1e-9)


def test_patients_stay_whole_and_are_dealt_in_turn() -> None:
    assert parts_of(["a", "b", "a", "c", "d", "b"], 3).tolist() == [0, 1, 0, 2, 0, 1]
