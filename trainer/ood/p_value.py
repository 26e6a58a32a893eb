"""Does the p-value of the check mean what it says: do known patients of every task have any p-value equally often?

Ranks of images among one another are uniform whatever the scores are, so nothing can be learnt from those of all tasks
together. What can go wrong is that a task's images lie farther out than those that the p-value was calibrated on: then
its patients, who are no part of that calibration, have small p-values more often than they should.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kstest

from trainer.metrics.multiple_comparison import holm

ROUNDS = 2000

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class KnownScores:
    """Scores of known images.

    Attributes:
        scores: ``(K,)``, on any rising scale.
        tasks, patients: by image.
    """

    scores: Floats
    tasks: tuple[str, ...]
    patients: tuple[str, ...]

    def where(self, keep: Iterable[bool]) -> KnownScores:
        """Only some of the images."""
        index = np.flatnonzero(list(keep))
        return KnownScores(
            self.scores[index], tuple(self.tasks[i] for i in index), tuple(self.patients[i] for i in index)
        )


def conformal_p_values(scores: Floats, calibration: Floats) -> Floats:
    """p-value ``(N,)`` of each score, as the check gives it: the share of calibration scores at least as large."""
    at_least = len(calibration) - np.searchsorted(np.sort(calibration), scores, side="left")
    return np.asarray((1 + at_least) / (1 + len(calibration)))


def uniformity_within_tasks(
    outside: KnownScores, calibration: KnownScores, rng: np.random.Generator, rounds: int = ROUNDS
) -> dict[str, dict[str, Any]]:
    """By task: how far the p-values of its patients are from uniform, against chance.

    The patients of a task are never among those who calibrate its p-value. The distance is that of Kolmogorov &
    Smirnov, every patient counting once. It is compared with its distribution when the task's patients are drawn at
    random from them and those who calibrate (a permutation test), and corrected for the number of tasks (Holm).

    Args:
        outside: whose p-values are tested; new patients, or the same as in ``calibration``: then each task is tested
            with a p-value that is calibrated on the other tasks.
        calibration: scores that p-values are counted in.
        rng: of the permutations.
        rounds: how many.

    Returns:
        by task ``patients``, ``mean_p_value`` (0.5 when uniform), ``distance`` and ``p``, which are None where nobody
        is left to calibrate with.
    """
    found = {name: _of_task(name, outside, calibration, rng, rounds) for name in dict.fromkeys(outside.tasks)}
    tested = [name for name, figures in found.items() if figures["p"] is not None]
    for name, p in zip(tested, holm([found[name]["p"] for name in tested]), strict=True):
        found[name]["p"] = p
    return found


def uniformity_of_laws(p_values: Floats, tasks: Sequence[str], patients: Sequence[str]) -> dict[str, dict[str, Any]]:
    """By task: how far p-values that laws give its patients are from uniform (Kolmogorov & Smirnov), against chance.

    A patient counts once, with the first image; p is corrected for the number of tasks (Holm).

    Args:
        p_values: ``(K,)``, by laws that the patient has no part in.
        tasks, patients: by image.

    Returns:
        as `uniformity_within_tasks`.
    """
    found: dict[str, dict[str, Any]] = {}
    for name in dict.fromkeys(tasks):
        own = [n for n, task in enumerate(tasks) if task == name]
        first = list({patients[n]: n for n in reversed(own)}.values())
        test = kstest(p_values[first], "uniform")
        figures = {"mean_p_value": float(np.mean(p_values[first])), "distance": float(test.statistic)}
        found[name] = {"patients": len(first), **figures, "p": float(test.pvalue)}
    for name, p in zip(found, holm([figures["p"] for figures in found.values()]), strict=True):
        found[name]["p"] = p
    return found


def _of_task(
    name: str, outside: KnownScores, calibration: KnownScores, rng: np.random.Generator, rounds: int
) -> dict[str, Any]:
    own = outside.where(task == name for task in outside.tasks)
    patients = set(own.patients)
    rest = calibration.where(patient not in patients for patient in calibration.patients)
    figures: dict[str, Any] = {"patients": len(patients), "mean_p_value": None, "distance": None, "p": None}
    if not len(rest.scores):
        return figures
    scores = np.concatenate([own.scores, rest.scores])
    names, number = np.unique([*own.patients, *rest.patients], return_inverse=True)
    chosen = np.isin(names, list(patients))
    p_values, distance = _distance(scores, number, chosen)
    weights = _weights(number[: len(own.scores)])
    drawn = [_distance(scores, number, rng.permutation(chosen))[1] for _ in range(rounds)]
    as_far = int(np.count_nonzero(np.array(drawn) >= distance))
    mean = float(np.average(p_values, weights=weights))
    return figures | {"mean_p_value": mean, "distance": distance, "p": (1 + as_far) / (1 + rounds)}


def _distance(scores: Floats, number: NDArray[np.intp], chosen: NDArray[np.bool_]) -> tuple[Floats, float]:
    """p-values of the images of the chosen patients among those of the others, and how far they are from uniform.

    Args:
        scores: ``(K,)``.
        number: ``(K,)`` number of the patient of each image.
        chosen: by patient.
    """
    own = chosen[number]
    p_values = conformal_p_values(scores[own], scores[~own])
    order = np.argsort(p_values)
    share = np.cumsum(_weights(number[own])[order])
    ordered = p_values[order]
    above, below = share - ordered, ordered - np.concatenate([[0.0], share[:-1]])
    return p_values, float(max(above.max(), below.max()))


def _weights(number: NDArray[np.intp]) -> Floats:
    """Weight of each image, by patient number: every patient counts alike, and all together 1."""
    _, inverse, counts = np.unique(number, return_inverse=True, return_counts=True)
    return np.asarray(1.0 / (counts[inverse] * len(counts)))
