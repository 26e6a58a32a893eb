"""Intervals that say 95 % hold the truth about as often, measured on worlds whose truth is known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from scipy.stats import norm

from trainer.metrics.interval import PatientDraws, drawn_interval, mean_interval, share_interval
from trainer.metrics.weighted_figure import mean_of_defined, weighted_mean
from trainer.ood.separation import mean_auroc, mean_auroc_interval, mean_auroc_rounds


def assert_nominal(covered: Sequence[bool]) -> None:
    share = float(np.mean(covered))
    assert 0.93 <= share <= 0.97


def holds(interval: tuple[float, float] | None, truth: float) -> bool:
    assert interval is not None
    return interval[0] <= truth <= interval[1]


def spoilt_patients(seed: int) -> bool:
    """Eighteen patients, each spoilt in six ways: a patient's own level is in all his spoilt images."""
    rng = np.random.default_rng([7, seed])
    level = rng.normal(size=18)
    known = {f"known{n}": [float(v)] for n, v in enumerate(rng.normal(size=40))}
    kinds = [{f"p{n}": (0.8 + level[n] + 0.3 * rng.normal(size=3)).tolist() for n in range(18)} for _ in range(6)]
    draws = PatientDraws([*known, *kinds[0]], rng, 300)
    rounds, value = mean_auroc_rounds(known, kinds, draws), mean_auroc(known, kinds)
    return holds(mean_auroc_interval(rounds, value, known, kinds), float(norm.cdf(0.8 / np.sqrt(1 + 1 + 0.09))))


def test_the_auroc_over_kinds_of_artefacts_of_the_same_patients() -> None:
    # Kinds drawn apart cover 63 %.
    assert_nominal([spoilt_patients(seed) for seed in range(300)])


@pytest.mark.parametrize("sizes", [[16] * 9, [14, 10, 13, 17, 8, 5, 1, 4, 3]])
def test_a_mean_over_tasks(sizes: list[int]) -> None:
    names = [[f"{task}-{n}" for n in range(size)] for task, size in enumerate(sizes)]
    level = np.linspace(-1, 1, len(sizes))

    def covered(seed: int) -> bool:
        rng = np.random.default_rng([3, seed])
        draws = PatientDraws([name for own in names for name in own], rng, 400)
        rounds = [
            weighted_mean(draws.weights(own), at + rng.normal(size=len(own)))
            for at, own in zip(level, names, strict=True)
        ]
        return holds(drawn_interval(mean_of_defined(np.stack(rounds)), sum(sizes)), 0.0)

    assert_nominal([covered(seed) for seed in range(500)])


@pytest.mark.parametrize("share, images, alike", [(0.8, 4, 0.2), (0.6, 42, 0.3), (0.9, 2, 0.3)])
def test_a_share_of_images_of_which_each_patient_has_several(share: float, images: int, alike: float) -> None:
    rng = np.random.default_rng(5)
    patients = np.repeat([str(n) for n in range(40)], images).tolist()

    def covered() -> bool:
        chance = rng.beta(share * (1 / alike - 1), (1 - share) * (1 / alike - 1), size=40)
        return holds(share_interval((rng.random(40 * images) < np.repeat(chance, images)).tolist(), patients), share)

    assert_nominal([covered() for _ in range(600)])


@pytest.mark.parametrize("count", [3, 5, 12])
def test_a_mean_over_seeds(count: int) -> None:
    rng = np.random.default_rng(3)
    found = [mean_interval(rng.normal(1.0, 2.0, count).tolist()) for _ in range(1000)]
    assert_nominal([f.low is not None and f.high is not None and f.low <= 1.0 <= f.high for f in found])
