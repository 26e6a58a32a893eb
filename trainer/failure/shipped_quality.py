"""The predicted Dice and its bound as model files hold them, learnt on other patients than they are judged on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.quality.image_quality import ImageQuality, image_quality
from MultiTaskSegLib.runtime.quality.quality_info import TaskQuality
from MultiTaskSegLib.runtime.quality.trait_names import HIGHEST_SCORE, LOWEST_SCORE
from trainer.failure.cross_fitting import Mask, cross_fitted
from trainer.failure.measured_image import CLEAN, MeasuredImage
from trainer.metrics.interval import share_interval
from trainer.quality.quality_fit import fit_corrections, fit_quality
from trainer.quality.quality_sample import QualitySample

Floats = NDArray[np.float64]


def predicted_dice(images: Sequence[MeasuredImage], *, faults_known: bool = False) -> Floats:
    """What a model file would predict of each image had it been written without its patient.

    Args:
        images: of any number of tasks.
        faults_known: see `cross_fitted`.

    Returns:
        ``(N,)``: mean over the structures that were found; NaN where none was, and where the task has no other patient.
    """
    names, samples = _tasks(images), [sample_of(image) for image in images]

    def foretell(known: Mask, wanted: Mask) -> Floats:
        """By what is learnt of the known ones, if these tell what is usual in the task."""
        learnt = fit_corrections(_by_task(images, samples, names, known))
        usual = {images[at].task for at in np.flatnonzero(known).tolist()}
        told = (
            _quality(images[at], samples[at], learnt, names).mean if images[at].task in usual else None
            for at in np.flatnonzero(wanted).tolist()
        )
        return np.array([np.nan if mean is None else mean for mean in told], dtype=np.float64)

    patients, kinds = [image.group for image in images], [image.kind for image in images]
    return cross_fitted(patients, kinds, foretell, faults_known=faults_known)


def bound_coverage(images: Sequence[MeasuredImage]) -> dict[str, Any]:
    """How often the real Dice of a structure reaches its bound, in clean images of patients whom the bound was not made
    from.

    Returns:
        by task that has patients enough for a bound: ``coverage`` (share of structures), its ``interval``,
        ``structures``, ``patients``, and the mean ``margin``.
    """
    names, samples = _tasks(images), [sample_of(image) for image in images]
    margins = np.full(len(images), np.nan)
    held: list[list[bool]] = [[] for _ in images]

    def judge(known: Mask, wanted: Mask) -> Floats:
        """Compare with what was made without these patients; the margins."""
        clean = [at for at in np.flatnonzero(wanted).tolist() if images[at].kind == CLEAN]
        learnt = fit_quality(_by_task(images, samples, names, known)).tasks if clean else ()
        for at in clean:
            quality = _quality(images[at], samples[at], learnt, names)
            if quality.margin is not None:
                margins[at] = quality.margin
                held[at] = reached(samples[at], quality)
        return margins[wanted] if clean else np.zeros(int(wanted.sum()))

    cross_fitted([image.group for image in images], [image.kind for image in images], judge, faults_known=True)
    return coverage_by_task(images, margins, held)


def coverage_by_task(
    images: Sequence[MeasuredImage], margins: Floats, held: Sequence[Sequence[bool]]
) -> dict[str, Any]:
    """As `bound_coverage` has it, of what was found of each image.

    Args:
        images: of any number of tasks.
        margins: ``(N,)``; NaN where there is no bound.
        held: by image, of each structure that was found, whether it reaches its bound.
    """
    return {name: found for name in _tasks(images) if (found := _coverage(images, name, margins, held))}


def _coverage(
    images: Sequence[MeasuredImage], task: str, margins: Floats, held: Sequence[Sequence[bool]]
) -> dict[str, Any]:
    own = [at for at, image in enumerate(images) if image.task == task and held[at]]
    if not own:
        return {}
    found = [is_reached for at in own for is_reached in held[at]]
    patients = [images[at].group for at in own for _ in held[at]]
    return {
        "coverage": float(np.mean(found)),
        "interval": list(share_interval(found, patients)),
        "structures": len(found),
        "patients": len(set(patients)),
        "margin": float(np.mean(margins[own])),
    }


def reached(sample: QualitySample, quality: ImageQuality) -> list[bool]:
    """Of each structure that was found and has a Dice, whether it is at least its bound."""
    bounds = [(quality.at_least(number), sample.dice.get(name, np.nan)) for number, name in enumerate(sample.expected)]
    return [bool(dice >= bound) for bound, dice in bounds if bound is not None and not np.isnan(dice)]


def _tasks(images: Sequence[MeasuredImage]) -> list[str]:
    return list(dict.fromkeys(image.task for image in images))


def sample_of(image: MeasuredImage) -> QualitySample:
    """An image as the learning of a model file takes it."""
    score = float(np.log(np.clip(image.score, LOWEST_SCORE, HIGHEST_SCORE)))
    expected = {name: None if np.isnan(value) else value for name, value in image.expected_dice.items()}
    traits = {**image.traits, "log_score": score}
    return QualitySample(image.group, image.dice, expected, traits, image.kind == CLEAN)


def _by_task(
    images: Sequence[MeasuredImage], samples: Sequence[QualitySample], names: Sequence[str], known: Mask
) -> list[list[QualitySample]]:
    return [[samples[at] for at in np.flatnonzero(known).tolist() if images[at].task == name] for name in names]


def _quality(
    image: MeasuredImage, sample: QualitySample, learnt: Sequence[TaskQuality], names: Sequence[str]
) -> ImageQuality:
    expected = dict(enumerate(sample.expected.values()))
    return image_quality(expected, sample.traits, learnt[names.index(image.task)])
