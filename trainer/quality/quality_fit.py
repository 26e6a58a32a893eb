"""From results with their truths to what a model file says of quality: what corrects the expected Dice, and a bound.

One function serves all tasks, of how far an image is from the usual of its task: tasks differ in what is usual, and few
have patients enough for a function of their own. It corrects the expected Dice, which is what remains where an image is
like the clean ones, where nothing can be learnt, and in tasks whose patients it does not serve: it is kept where it is
nearer to the Dice of patients whom it was not fitted to. The bound is that of such patients, too.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import RidgeCV

from MultiTaskSegLib.runtime.quality.image_quality import image_quality
from MultiTaskSegLib.runtime.quality.quality_info import (
    COVERAGE,
    FEWEST_PATIENTS,
    QUALITY_VERSION,
    UNKNOWN,
    QualityInfo,
    TaskQuality,
    unusual,
)
from MultiTaskSegLib.runtime.quality.trait_names import TRAITS
from trainer.quality.conformal_bound import conformal_margin
from trainer.quality.quality_sample import QualitySample

FOLDS = 10
FEWEST_SPOILT = 20
"""Of fewer spoilt images nothing is learnt but the bound: among clean ones hardly any is bad."""
SMALLEST_SCALE = 0.02
TOLERANCE = 2.0
"""In scales: traits of clean images differ by as much from patient to patient, and what is learnt from spoilt ones
would make noise of it."""
LARGEST_TRAIT = 1e6
"""As far as a model file holds medians and scales: a few voxels found in a large image have more entropy each."""
PENALTIES = tuple(np.logspace(-1, 4, 11))

Floats = NDArray[np.float64]
Tasks = Sequence[Sequence[QualitySample]]


def fit_quality(tasks: Tasks) -> QualityInfo:
    """What held-out images say.

    Args:
        tasks: samples of each task, of patients that the network was not trained on.
    """
    known = fit_corrections(tasks)
    margins = [_margin(tasks, number, own != UNKNOWN) for number, own in enumerate(known)]
    return QualityInfo(
        QUALITY_VERSION,
        tuple(
            replace(own, margin=margin, patients=len(_patients(samples)))
            for own, margin, samples in zip(known, margins, tasks, strict=True)
        ),
    )


def fit_corrections(tasks: Tasks) -> tuple[TaskQuality, ...]:
    """What `fit_quality` learns but the bounds, in a fraction of the time.

    Args:
        tasks: see `fit_quality`.
    """
    if sum(not sample.is_clean for own in tasks for sample in own) < FEWEST_SPOILT:
        return (UNKNOWN,) * len(tasks)
    return tuple(own if serves else UNKNOWN for own, serves in zip(_fitted(tasks), _serves(tasks), strict=True))


def _serves(tasks: Tasks) -> list[bool]:
    """Of each task, whether what is learnt without a patient is nearer to the Dice of his images than the expected Dice
    is; every patient counts alike. Of a task with one patient nobody knows it."""
    gains: list[dict[str, list[float]]] = [{} for _ in tasks]
    for left_out in _left_out(tasks):
        others = _without(tasks, left_out)
        for own, known, rest, by_patient in zip(tasks, _fitted(others), others, gains, strict=True):
            # Without another patient nothing tells what is usual in the task.
            for sample in own if rest else ():
                if sample.group in left_out and not np.isnan(gain := _gain(sample, known)):
                    by_patient.setdefault(sample.group, []).append(gain)
    return [bool(own) and float(np.mean([np.mean(gain) for gain in own.values()])) > 0 for own in gains]


def _left_out(tasks: Tasks) -> list[set[str]]:
    """Patients of one fold after the other. Chance can deal all patients of a small task into one, and nothing is known
    of the task then: each of them is left out alone, too."""
    groups = sorted({sample.group for own in tasks for sample in own})
    folds = [set(groups[fold::FOLDS]) for fold in range(min(FOLDS, len(groups)))]
    by_task = [{sample.group for sample in own} for own in tasks]
    together = [own for own in by_task if len(own) > 1 and any(own <= fold for fold in folds)]
    return [*folds, *({group} for group in sorted(set().union(*together)))]


def _gain(sample: QualitySample, known: TaskQuality) -> float:
    """By how much the estimate of an image is nearer to its Dice with a correction than without; NaN where it has no
    Dice or none was foretold."""
    numbered = dict(enumerate(sample.expected.values()))
    corrected, plain = (image_quality(numbered, sample.traits, way).mean for way in (known, UNKNOWN))
    if corrected is None or plain is None:
        return float("nan")
    return abs(plain - sample.mean_dice) - abs(corrected - sample.mean_dice)


def _fitted(tasks: Tasks) -> list[TaskQuality]:
    """What corrects the expected Dice of each task."""
    usual = [_usual(own) for own in tasks]
    rows = [
        (_row(sample, *about), sample.mean_dice - sample.mean_expected, 1 / len(own))
        for own, about in zip(tasks, usual, strict=True)
        for sample in own
        if not np.isnan(sample.mean_dice - sample.mean_expected)
    ]
    if not rows:
        return [UNKNOWN] * len(tasks)
    features, shortfall, weights = (np.array(column, dtype=np.float64) for column in zip(*rows, strict=True))
    # Without an intercept: an image of which nothing is unusual keeps its expected Dice.
    model = RidgeCV(alphas=PENALTIES, fit_intercept=False)
    model.fit(features, shortfall, sample_weight=weights / weights.mean())
    # Within the bounds of a model file; beyond them a line through Dice coefficients cannot be sensible.
    slopes = tuple(float(value) for value in np.clip(model.coef_, -1, 1))
    return [
        TaskQuality(0, None, TRAITS, tuple(medians.tolist()), tuple(scales.tolist()), slopes, tolerance=TOLERANCE)
        for medians, scales in usual
    ]


def _usual(samples: Sequence[QualitySample]) -> tuple[Floats, Floats]:
    """Median and scale of each trait over clean images, of all where there is no clean one."""
    chosen = [sample for sample in samples if sample.is_clean] or samples
    if not chosen:
        return np.zeros(len(TRAITS)), np.ones(len(TRAITS))
    values = np.array([[sample.traits[name] for name in TRAITS] for sample in chosen])
    columns = [column[~np.isnan(column)] for column in values.T]
    medians = np.array([np.median(column) if len(column) else 0.0 for column in columns])
    scales = np.array([column.std() if len(column) else 1.0 for column in columns])
    return np.clip(medians, -LARGEST_TRAIT, LARGEST_TRAIT), np.clip(scales, SMALLEST_SCALE, LARGEST_TRAIT)


def _row(sample: QualitySample, medians: Floats, scales: Floats) -> Floats:
    """By how much the traits are unusual, as `TaskQuality.correction` has it."""
    values = np.array([sample.traits[name] for name in TRAITS])
    return unusual(values, medians.tolist(), scales.tolist(), TOLERANCE)


def _patients(samples: Sequence[QualitySample]) -> list[str]:
    """Those of whose estimates one can say by how much they fall short: a clean image shows a structure, and the result
    has it."""
    return sorted({sample.group for sample in samples if sample.is_clean and _segments(sample, UNKNOWN)})


def _margin(tasks: Tasks, number: int, is_corrected: bool) -> float | None:
    """By how much estimates of a task fall short, each from a fit without its patient, which corrects if that of all
    does; never less than nothing."""
    groups = _patients(tasks[number])
    if len(groups) < FEWEST_PATIENTS:
        return None
    foretold: list[float] = []
    real: list[float] = []
    patients: list[str] = []
    for fold in range(min(FOLDS, len(groups))):
        left_out = set(groups[fold::FOLDS])
        known = _fitted(_without(tasks, left_out))[number] if is_corrected else UNKNOWN
        for sample in tasks[number]:
            if sample.is_clean and sample.group in left_out:
                pairs = _segments(sample, known)
                foretold += [estimate for estimate, _ in pairs]
                real += [dice for _, dice in pairs]
                patients += [sample.group] * len(pairs)
    margin = conformal_margin(np.array(foretold), np.array(real), patients, COVERAGE)
    return None if margin is None else float(np.clip(margin, 0.0, 1.0))


def _without(tasks: Tasks, groups: Collection[str]) -> list[list[QualitySample]]:
    return [[sample for sample in own if sample.group not in groups] for own in tasks]


def _segments(sample: QualitySample, known: TaskQuality) -> list[tuple[float, float]]:
    """Estimate and real Dice of every structure that was found."""
    numbered = dict(enumerate(sample.expected))
    told = image_quality({n: sample.expected[name] for n, name in numbered.items()}, sample.traits, known).dice
    pairs = ((told[n], sample.dice.get(name, float("nan"))) for n, name in numbered.items())
    return [(estimate, dice) for estimate, dice in pairs if estimate is not None and not np.isnan(dice)]
