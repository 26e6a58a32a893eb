"""Limits of tasks from scores of left-out images: what holds for new patients, however few are known.

A task's own images tell its law the better the more patients there are; what they do not tell comes from the other
tasks. Both together are a normal sample with its conjugate prior, whose prediction of a new image is Student's t
(Gelman et al., "Bayesian Data Analysis", 3rd ed., section 3.3). Without others it is the usual prediction interval.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.ood.score_law import ScoreLaw, TaskLimits
from trainer.reference.left_out_score import LeftOutScores

# Chosen by cross-validation over patients of mr3d and planar2d. With priors worth 15 to 80 patients and tails of 1.5
# to 3 %, 2 to 4 % of known images were flagged. Lighter priors and smaller tails let hearts of another hospital pass as
# known ones; heavier priors and larger tails flag more patients of the small tasks.
TAIL_SHARE = 0.025
PRIOR_PATIENTS = 50.0
SMALLEST_DEVIATION = 0.02
# Of a single patient of a single task; tasks of the released models have 0.1 to 0.25.
LONE_DEVIATION = 0.2
# With fewer, limits would be so wide that nothing foreign were ever flagged.
FEWEST_DEGREES = 3.0


@dataclass(frozen=True)
class _Sample:
    """Logarithms of the scores of one task, every patient weighted alike.

    Attributes:
        mean, variance: of images of new patients, without bias.
        patients: how many there are.
    """

    mean: float
    variance: float
    patients: int


def fit_limits(scores: LeftOutScores, tasks: int, tail_share: float = TAIL_SHARE) -> TaskLimits:
    """The law of every task, and limits beyond which ``tail_share`` of each task's new images is expected."""
    samples = [_sample(scores, task) for task in range(tasks)]
    laws = [_law(own, [s for s in samples if s is not own and s.patients]) for own in samples]
    return TaskLimits(tuple(laws), tail_share)


def false_alarms(scores: LeftOutScores, tasks: int, tail_share: float = TAIL_SHARE) -> NDArray[np.bool_]:
    """Whether each image is beyond the limit of its task when its patient has no part in that limit, ``(K,)``."""
    return left_out_p_values(scores, tasks) < tail_share


def left_out_p_values(scores: LeftOutScores, tasks: int) -> NDArray[np.float64]:
    """p-value of each image in its task by a law that its patient has no part in, ``(K,)``."""
    groups = np.array(scores.groups)
    values = np.empty(len(groups))
    for group in np.unique(groups):
        own = groups == group
        limits = fit_limits(scores.where(~own), tasks)
        values[own] = [
            limits.tail(int(task), float(np.exp(log)))
            for task, log in zip(scores.tasks[own], scores.logs[own], strict=True)
        ]
    return values


def _sample(scores: LeftOutScores, task: int) -> _Sample:
    own = scores.tasks == task
    names = [group for group, chosen in zip(scores.groups, own, strict=True) if chosen]
    _, inverse, counts = np.unique(names, return_inverse=True, return_counts=True)
    patients = len(counts)
    if not patients:
        return _Sample(0.0, 0.0, 0)
    weights = 1.0 / (counts[inverse] * patients)
    mean = float(weights @ scores.logs[own])
    spread = float(weights @ (scores.logs[own] - mean) ** 2)
    return _Sample(mean, spread * patients / (patients - 1) if patients > 1 else 0.0, patients)


def _law(own: _Sample, others: list[_Sample]) -> ScoreLaw:
    mean, variance, worth = _prior(others)
    count = own.patients
    together = worth + count
    location = (worth * mean + count * own.mean) / together if together else 0.0
    # A mean is fitted to the others, and another one to the task itself.
    degrees, own_degrees = max(worth - 1, 0.0), max(count - 1, 0)
    between = worth * count / together * (own.mean - mean) ** 2 if together else 0.0
    squares = degrees * variance + own_degrees * own.variance + between
    degrees += own_degrees
    deviation = max(float(np.sqrt(squares / degrees)), SMALLEST_DEVIATION) if degrees else LONE_DEVIATION
    scale = deviation * float(np.sqrt(1 + 1 / max(together, 1)))
    return ScoreLaw(location, scale, max(degrees, FEWEST_DEGREES), count)


def _prior(others: list[_Sample]) -> tuple[float, float, float]:
    """Mean and variance over the other tasks, each weighted alike, and how many patients this counts as."""
    if not others:
        return 0.0, 0.0, 0.0
    mean = float(np.mean([s.mean for s in others]))
    variance = float(np.mean([s.variance + (s.mean - mean) ** 2 for s in others]))
    # Kish's effective number of the patients behind it.
    effective = len(others) ** 2 / sum(1.0 / s.patients for s in others)
    return mean, variance, min(PRIOR_PATIENTS, effective)
