"""Nearest neighbours and histogram distances against their formulas."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from Testing.trainer.ood.synthetic_sample import known, sample
from trainer.ood.detector.nearest_detector import (
    DimensionsControl,
    HistogramMahalanobis,
    HistogramNearest,
    PooledNeighbours,
)
from trainer.ood.detector.sample import Sample

TRAINING = known()


def having(**changes: object) -> Sample:
    image = sample(0)
    return replace(image, attempts=(replace(image.attempts[0], **changes),))


def in_a_plane(rng: np.random.Generator, count: int) -> tuple[list[Sample], NDArray[np.float64]]:
    rows = rng.normal(size=(count, 3)) @ rng.normal(size=(3, 150)) + rng.normal(size=150)
    return [having(histogram=row) for row in rows], rows


@pytest.mark.parametrize("detector", [HistogramNearest(), DimensionsControl()])
def test_training_images_are_their_own_nearest_neighbours(detector: HistogramNearest | DimensionsControl) -> None:
    detector.fit(TRAINING, [])
    np.testing.assert_allclose([detector.score(image) for image in TRAINING], 0, atol=1e-7)


def test_histograms_within_the_training_plane_keep_their_distances() -> None:
    samples, rows = in_a_plane(np.random.default_rng(0), 20)
    detector = HistogramNearest()
    detector.fit(samples[:12], [])
    for image, row in zip(samples[12:], rows[12:], strict=True):
        expected = np.linalg.norm(rows[:12] - row, axis=1).min()
        assert detector.score(image) == pytest.approx(expected, rel=1e-9)


def test_histogram_mahalanobis_is_the_formula_with_the_pseudo_inverse() -> None:
    samples, rows = in_a_plane(np.random.default_rng(1), 30)
    detector = HistogramMahalanobis()
    detector.fit(samples[:20], [])
    precision = np.linalg.pinv(np.cov(rows[:20].T, bias=True), rcond=1e-10)
    for image, row in zip(samples[20:], rows[20:], strict=True):
        offset = row - rows[:20].mean(axis=0)
        assert detector.score(image) == pytest.approx(np.sqrt(offset @ precision @ offset), rel=1e-6)


@pytest.mark.parametrize("detector", [HistogramNearest(), HistogramMahalanobis()])
def test_histograms_are_the_farther_the_more_they_differ(detector: HistogramNearest | HistogramMahalanobis) -> None:
    detector.fit(TRAINING, [])
    start, end = TRAINING[0].attempts[0].histogram, sample(0, "a", 1.0).attempts[0].histogram
    scores = [detector.score(having(histogram=start + share * (end - start))) for share in (0.5, 1, 2, 4)]
    assert scores == sorted(scores)
    assert scores[0] < scores[-1]


def test_the_fifth_neighbour_counts() -> None:
    directions = np.eye(8, dtype=np.float32)
    detector = PooledNeighbours()
    detector.fit([having(pooled=directions[0])] * 4 + [having(pooled=direction) for direction in directions[1:]], [])
    assert detector.score(having(pooled=directions[0])) == pytest.approx(np.sqrt(2))
    detector.fit([having(pooled=directions[0])] * 5 + [having(pooled=direction) for direction in directions[1:]], [])
    assert detector.score(having(pooled=directions[0])) == pytest.approx(0, abs=1e-7)


def test_the_neighbour_with_fewer_training_images_is_the_last() -> None:
    detector = PooledNeighbours()
    detector.fit([having(pooled=row) for row in np.eye(3, dtype=np.float32)], [])
    assert detector.score(having(pooled=-np.eye(3, dtype=np.float32)[0])) == pytest.approx(2)


def test_the_length_of_pooled_features_does_not_count() -> None:
    detector = PooledNeighbours()
    detector.fit(TRAINING, [])
    pooled = sample(30).attempts[0].pooled
    assert detector.score(having(pooled=3 * pooled)) == pytest.approx(detector.score(having(pooled=pooled)), rel=1e-5)


def test_dimensions_are_measured_in_units_of_their_spread() -> None:
    rows = np.zeros((4, 6))
    rows[:, 0] = [0, 2, 0, 2]
    rows[:, 1] = [0, 0, 20, 20]
    detector = DimensionsControl()
    detector.fit([replace(sample(0), dimensions=row) for row in rows], [])
    assert detector.score(replace(sample(0), dimensions=rows[0] - [3, 0, 0, 0, 0, 0])) == pytest.approx(3)
    assert detector.score(replace(sample(0), dimensions=rows[0] - [0, 30, 0, 0, 0, 0])) == pytest.approx(3)
