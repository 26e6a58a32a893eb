"""Fitting the spectral reference: projections and units on training images, a common limit on held-out ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm as normal
from scipy.stats import t as student_t
from sklearn.covariance import LedoitWolf, ledoit_wolf_shrinkage

from MultiTaskSegLib.runtime.errors import ModelError
from MultiTaskSegLib.runtime.ood.reference import ReferenceImage, SpectralReference
from MultiTaskSegLib.runtime.ood.score_law import TaskLimits
from MultiTaskSegLib.runtime.ood.signature import SignatureSpec
from trainer.reference.typical_distance import typical_distance

THRESHOLD_DEVIATIONS = 2.5
LARGEST_FACTOR = 4.0
# In units of the typical distance: what lies nearer is an image that is known under another name.
COPY = 0.01
# Directions without any spread within the tasks would otherwise be blown up without bound.
SMALLEST_SPREAD = 1e-6
SMALLEST_SHARE = 1e-3


def fit_reference(
    spec: SignatureSpec, task_names: Sequence[str], images: Sequence[ReferenceImage]
) -> SpectralReference:
    """Keep the training images' signatures; fit the scales on them, calibration scores and threshold on the others.

    Held-out images are compared with training images only, exactly as new images will be (split conformal
    prediction), so training images cannot make new ones look far, and figures measured on held-out images hold.

    The threshold is the paper's: mean + 2.5 standard deviations, here of the log scores of held-out images with every
    task given the same weight, see `balanced_threshold`. Finished models judge by limits of each task instead
    (`law_fitting`).

    Raises:
        ModelError: a task has fewer than two training groups or no held-out image.
    """
    known = [image for image in images if not image.held_out]
    held_out = [image for image in images if image.held_out]
    missing = [name for t, name in enumerate(task_names) if t not in {image.task for image in held_out}]
    if missing:
        raise ModelError(f"no held-out image of {', '.join(missing)}", remedy="Hold out at least one group per dataset")
    for task, name in enumerate(task_names):
        if len({image.group for image in known if image.task == task}) < 2:
            raise ModelError(f"task {name} has fewer than two groups", remedy="Give images of more patients")
    draft = compared_with(spec, task_names, known)
    scores = np.log([draft.judge(image.spectra).score for image in held_out])
    held_out_tasks = np.array([image.task for image in held_out], dtype=np.int64)
    new = of_new_images(scores, held_out_tasks)
    groups = [image.group for image, is_new in zip(held_out, new, strict=True) if is_new]
    threshold = float(np.exp(balanced_threshold(scores[new], held_out_tasks[new], groups)))
    return _calibrated(draft, np.exp(scores), threshold)


def of_new_images(log_scores: NDArray[np.float64], tasks: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which scores tell how far new images lie, ``(K,)``: those of images that another patient has, too, do not.

    A copy lies at no distance at all: its logarithm would spread the scores of its task so far that nothing foreign
    were ever flagged. Where a task has nothing but copies, they count.

    Args:
        log_scores: ``(K,)``.
        tasks: ``(K,)``.
    """
    new: NDArray[np.bool_] = log_scores > np.log(COPY)
    for task in np.unique(tasks):
        own = tasks == task
        new[own] |= not new[own].any()
    return new


def compared_with(
    spec: SignatureSpec,
    task_names: Sequence[str],
    known: Sequence[ReferenceImage],
    otherwise: Mapping[str, NDArray[np.float64]] | None = None,
) -> SpectralReference:
    """A reference that measures distances to these images of every task and has no limit yet.

    Args:
        otherwise: by block, typical distances ``(T,)`` of tasks with one group, which have none of their own.
    """
    tasks = np.array([image.task for image in known], dtype=np.int64)
    signatures = [spec.vectors(image.spectra) for image in known]
    vectors = {block: np.stack([signature[block] for signature in signatures]) for block in spec.blocks}
    projections = {block: whitening(rows, tasks) for block, rows in vectors.items()} if spec.is_whitened else {}
    shrinkages = {block: _shrinkages(vectors[block] @ matrix, tasks) for block, matrix in projections.items()}
    groups = np.array([image.group for image in known])
    own = [tasks == task for task in range(len(task_names))]
    scales = {
        block: np.array(
            [
                typical_distance(rows[chosen], groups[chosen], projections.get(block))
                if otherwise is None or len(set(groups[chosen])) > 1
                else otherwise[block][task]
                for task, chosen in enumerate(own)
            ]
        )
        for block, rows in vectors.items()
    }
    return SpectralReference(spec, task_names, vectors, tasks, scales, np.ones(1), 1.0, projections, shrinkages)


def with_limits(reference: SpectralReference, limits: TaskLimits) -> SpectralReference:
    """The same reference, judging by these limits."""
    return _calibrated(reference, reference.calibration_scores, reference.threshold, limits)


def _calibrated(
    draft: SpectralReference,
    scores: NDArray[np.float64],
    threshold: float,
    limits: TaskLimits | None = None,
) -> SpectralReference:
    # A copy, because metrics take long to fit.
    reference = copy(draft)
    reference.calibration_scores, reference.threshold, reference.limits = np.sort(scores), threshold, limits
    return reference


def whitening(vectors: NDArray[np.float64], tasks: NDArray[np.int64]) -> NDArray[np.float64]:
    """Projection after which the spread within the tasks, each given the same weight, is the same in all directions.

    The covariance is that of Ledoit & Wolf ("A well-conditioned estimator for large-dimensional covariance matrices",
    2004) on components scaled to unit spread, because there are fewer images than components.

    Args:
        vectors: ``(M, C)``.
        tasks: int ``(M,)``.

    Returns:
        ``(C, C)``, to be multiplied from the right.
    """
    number = np.bincount(tasks)
    means = np.stack([np.bincount(tasks, column) for column in vectors.T], axis=1) / number[:, None]
    weights = (1.0 / np.sqrt(number))[tasks]
    residuals = (vectors - means[tasks]) * (weights / weights.mean())[:, None]
    spread = np.sqrt(np.mean(residuals**2, axis=0)) + SMALLEST_SPREAD
    covariance = LedoitWolf(assume_centered=True).fit(residuals / spread).covariance_
    values, directions = np.linalg.eigh(covariance)
    return np.asarray(directions * np.maximum(values, SMALLEST_SHARE) ** -0.5 / spread[:, None])


def balanced_threshold(
    log_scores: NDArray[np.float64], tasks: NDArray[np.int64], groups: Sequence[str] | None = None
) -> float:
    """Mean + 2.5 standard deviations with the tasks weighted equally, widened for the number of groups.

    The paper's 2.5 deviations presume that mean and deviation are known. From few groups they are not: the factor
    becomes that of a prediction interval with the same tail (Student's t, Kish's effective number of groups), which
    tends to 2.5 as the groups grow.

    Args:
        log_scores: ``(K,)`` of held-out images.
        tasks: ``(K,)`` their tasks.
        groups: their groups; without them the plain 2.5 deviations.
    """
    _, inverse, counts = np.unique(tasks, return_inverse=True, return_counts=True)
    weights = 1.0 / counts[inverse]
    mean = float(np.average(log_scores, weights=weights))
    deviation = float(np.sqrt(np.average((log_scores - mean) ** 2, weights=weights)))
    return mean + deviation * (THRESHOLD_DEVIATIONS if groups is None else _prediction_factor(tasks, groups))


def _prediction_factor(tasks: NDArray[np.int64], groups: Sequence[str]) -> float:
    """Factor of a one-sided prediction interval whose tail is that of 2.5 normal standard deviations.

    It is capped: from two or three groups the interval would be so wide that nothing foreign were ever flagged, and a
    false alarm does less harm than a missed one.
    """
    per_task = np.array(
        [len({g for g, t in zip(groups, tasks, strict=True) if t == task}) for task in np.unique(tasks)]
    )
    effective = len(per_task) ** 2 / float((1.0 / per_task).sum())
    if effective <= 1:
        return LARGEST_FACTOR
    quantile = float(student_t.isf(normal.sf(THRESHOLD_DEVIATIONS), df=effective - 1))
    return min(quantile * float(np.sqrt((effective + 1) / (effective - 1))), LARGEST_FACTOR)


def _shrinkages(white: NDArray[np.float64], tasks: NDArray[np.int64]) -> NDArray[np.float64]:
    """How far each task's covariance of ``white``, ``(M, C)``, is to be drawn to a multiple of the identity."""
    return np.array([_shrinkage(white[tasks == task]) for task in range(int(tasks.max()) + 1)])


def _shrinkage(white: NDArray[np.float64]) -> float:
    """Of one task, ``(M, C)``; a single image has no covariance that could be trusted at all."""
    # Of two images the estimate is 0, give or take a rounding error.
    return float(np.clip(ledoit_wolf_shrinkage(white), 0, 1)) if len(white) > 1 else 1.0
