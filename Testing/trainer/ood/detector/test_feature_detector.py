"""Gaussians, residuals and the classifier against their formulas."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from Testing.trainer.ood.synthetic_sample import LAYERS, known, moments, outputs, sample
from trainer.ood.detector.feature_detector import DatasetClassifier, Frodo, PooledMahalanobis, Vim
from trainer.ood.detector.gaussian import RIDGE, RidgeGaussian
from trainer.ood.detector.sample import Sample
from trainer.ood.detector.spectral_detector import FARTHEST

TRAINING = known()


def formula(rows: NDArray[np.float64], vector: NDArray[np.float64]) -> float:
    mean, deviation = rows.mean(axis=0), rows.std(axis=0)
    covariance = np.atleast_2d(np.cov(((rows - mean) / deviation).T, bias=True)) + RIDGE * np.eye(rows.shape[1])
    offset = (vector - mean) / deviation
    return float(np.sqrt(offset @ np.linalg.solve(covariance, offset)))


def means(images: list[Sample], layer: str) -> NDArray[np.float64]:
    return np.stack([image.attempts[0].layers[layer].means for image in images])


def with_means(vector: NDArray[np.float64], task: str = "a") -> Sample:
    image = sample(0, task)
    layers = {name: moments(vector[: len(layer.sums)][None]) for name, layer in image.attempts[0].layers.items()}
    return replace(image, attempts=(replace(image.attempts[0], layers=layers),))


@pytest.mark.parametrize("shape", [(50, 4), (5, 12), (7, 7), (2, 3), (40, 1)])
def test_the_distance_is_the_formula_with_fewer_and_with_more_images_than_features(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(3, 2, shape) @ rng.normal(size=(shape[1], shape[1]))
    for vector in rng.normal(0, 5, (4, shape[1])):
        assert RidgeGaussian(rows).distance(vector) == pytest.approx(formula(rows, vector), rel=1e-7)


def test_the_distance_of_a_standard_normal_is_nearly_euclidean() -> None:
    rng = np.random.default_rng(0)
    gaussian = RidgeGaussian(rng.normal(size=(100_000, 3)))
    assert gaussian.distance(np.array([3.0, 4.0, 0.0])) == pytest.approx(5 / np.sqrt(1 + RIDGE), rel=0.02)


def test_the_mean_has_no_distance_and_it_grows_along_every_axis() -> None:
    rows = np.random.default_rng(0).normal(size=(6, 9))
    gaussian = RidgeGaussian(rows)
    assert gaussian.distance(rows.mean(axis=0)) == pytest.approx(0, abs=1e-6)
    for axis in np.eye(9):
        scores = [gaussian.distance(rows.mean(axis=0) + step * axis) for step in (1, 2, 4)]
        np.testing.assert_allclose(scores, scores[0] * np.array([1, 2, 4]))


def test_a_component_without_spread_still_counts() -> None:
    rows = np.random.default_rng(0).normal(size=(10, 3)) * [1, 0, 1] + [0, 5, 0]
    gaussian = RidgeGaussian(rows)
    centre = rows.mean(axis=0)
    assert gaussian.distance(centre + np.array([0, 2, 0])) == pytest.approx(2 / np.sqrt(RIDGE))


def test_pooled_features_have_one_gaussian_over_all_images() -> None:
    detector = PooledMahalanobis()
    detector.fit(TRAINING, [])
    rows = np.stack([image.attempts[0].pooled for image in TRAINING]).astype(np.float64)
    image = sample(30)
    assert detector.score(image) == pytest.approx(formula(rows, image.attempts[0].pooled), rel=1e-5)


def test_frodo_is_the_mean_over_layers_of_the_distance_per_feature() -> None:
    detector = Frodo(LAYERS)
    detector.fit(TRAINING, [])
    image = sample(30)
    terms = []
    for layer in LAYERS:
        rows, own = means(TRAINING, layer), image.attempts[0].layers[layer].means
        terms.append(formula(rows, own) / rows.shape[1])
    assert detector.score(image) == pytest.approx(np.mean(terms), rel=1e-7)


def test_frodo_per_task_takes_the_nearest_task_of_the_profile() -> None:
    detector = Frodo(LAYERS, per_task=True)
    detector.fit(TRAINING, [])
    alone = {}
    for task in "abc":
        single = Frodo(LAYERS)
        single.fit([image for image in TRAINING if image.task == task], [])
        alone[task] = single
    image, other = sample(30, "b"), sample(30, "c")
    assert detector.score(image) == min(alone["a"].score(image), alone["b"].score(image))
    assert detector.score(other) == alone["c"].score(other)
    nameless = replace(image, attempts=(replace(image.attempts[0], outputs={}),))
    assert detector.score(nameless) == FARTHEST


def in_half_space(rng: np.random.Generator) -> list[Sample]:
    result = []
    for _ in range(20):
        pooled = np.concatenate([rng.normal(size=3), 0.01 * rng.normal(size=1), np.zeros(30)]).astype(np.float32)
        image = sample(0)
        result.append(replace(image, attempts=(replace(image.attempts[0], pooled=pooled),)))
    return result


def test_vim_adds_the_part_outside_the_principal_subspace_to_the_energy() -> None:
    images = in_half_space(np.random.default_rng(0))
    # Ten directions hold all that ever varied, so known images have only their energy.
    detector = Vim()
    detector.fit(images, [])
    energy = images[0].attempts[0].outputs["a"].energy / 1000
    assert detector.score(images[3]) == pytest.approx(energy, abs=25)
    outside = []
    for step in (0.0, 1.0, 2.0):
        attempt = images[3].attempts[0]
        moved = replace(attempt, pooled=attempt.pooled + np.float32(step) * np.eye(34, dtype=np.float32)[20])
        outside.append(detector.score(replace(images[3], attempts=(moved,))))
    assert outside[0] < outside[1] < outside[2]


def test_vim_scales_residuals_to_the_logits() -> None:
    detector = Vim()
    detector.fit(TRAINING, [])
    energies = [image.attempts[0].outputs[image.task].energy / 1000 for image in TRAINING]
    # On average over the training images both parts have the same size and opposite signs.
    assert np.mean([detector.score(image) for image in TRAINING]) == pytest.approx(0, abs=1e-6 * abs(np.mean(energies)))
    attempt = sample(30).attempts[0]
    hotter = replace(sample(30), attempts=(replace(attempt, outputs={"a": outputs(doubt=0.4)}),))
    difference = 20 * (0.4 - 0.05)
    assert detector.score(hotter) - detector.score(sample(30)) == pytest.approx(difference)


def test_the_classifier_doubts_what_lies_between_the_datasets_most() -> None:
    rng = np.random.default_rng(0)
    left, right = np.full(6, -3.0), np.full(6, 3.0)
    training = [with_means(left + rng.normal(0, 0.1, 6), "a") for _ in range(30)]
    training += [with_means(right + rng.normal(0, 0.1, 6), "b") for _ in range(30)]
    detector = DatasetClassifier(LAYERS)
    detector.fit(training, [])
    scores = [detector.score(with_means((1 - share) * left + share * right)) for share in (0, 0.25, 0.5, 0.75, 1)]
    assert scores[2] == pytest.approx(0.5, abs=0.05)
    assert scores[0] < scores[1] < scores[2] > scores[3] > scores[4]


def test_the_classifiers_doubt_does_not_round_to_nothing() -> None:
    images = [with_means(np.eye(6)[place] * 9, task) for place, task in enumerate("abc") for _ in range(5)]
    detector = DatasetClassifier(LAYERS)
    detector.fit(images, [])
    scores = [detector.score(with_means(np.eye(6)[0] * 9 * step)) for step in (1, 10, 50, 100)]
    assert scores == sorted(set(scores), reverse=True)
    assert 0 < scores[-1] < 1e-16


def test_with_one_dataset_there_is_nothing_to_classify() -> None:
    detector = DatasetClassifier(LAYERS)
    detector.fit(TRAINING[:12], [])
    assert detector.score(sample(30, "c", 1.0)) == 0
