"""Spectral reference: the training images' signatures, and how far known images lie from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm as normal
from scipy.stats import t as student_t

from MultiTaskSegLib.runtime.errors import ModelError
from MultiTaskSegLib.runtime.signature import SignatureSpec
from MultiTaskSegLib.runtime.spectrum import LayerSpectrum
from MultiTaskSegLib.runtime.verdict import Verdict

THRESHOLD_DEVIATIONS = 2.5
LARGEST_FACTOR = 4.0
SMALLEST_DISTANCE = 1e-9
# Recognition shrinks a task's unit halfway (in logarithms) towards the common one: with its own unit alone, a task of
# very different images would attract those of its neighbours; with the common one alone, its own would go astray.
UNIT_SHRINKAGE = 0.5


@dataclass(frozen=True)
class ReferenceImage:
    """Spectra of one image with known context.

    Attributes:
        task: index of its task.
        group: patient or other unit; images of one group are never compared with each other.
        held_out: whether the network never saw it in training.
        spectra: by layer.
    """

    task: int
    group: str
    held_out: bool
    spectra: Mapping[str, LayerSpectrum]


class SpectralReference:
    """Judges signatures by their distance to the signatures of known images.

    The distance to a task is, per layer, the Euclidean distance to the nearest training image of that task, in units of
    the median distance between a training image of the task and its nearest neighbour of another group; layers are
    combined by the geometric mean. Threshold and p-values come from images that were held out from training.

    Args:
        spec: the signature.
        task_names: names by task index.
        vectors: by layer, float64 ``(M, C)``: signatures of M training images.
        tasks: int ``(M,)``: task of each image.
        scales: by layer, float64 ``(T,)``: typical distance within each task.
        calibration_scores: float64 ``(K,)``: scores of held-out images.
        threshold: scores above it are out of distribution.
    """

    def __init__(
        self,
        spec: SignatureSpec,
        task_names: Sequence[str],
        vectors: Mapping[str, NDArray[np.float64]],
        tasks: NDArray[np.int64],
        scales: Mapping[str, NDArray[np.float64]],
        calibration_scores: NDArray[np.float64],
        threshold: float,
    ) -> None:
        if set(np.unique(tasks)) != set(range(len(task_names))) or not calibration_scores.size:
            raise ModelError("the spectral reference lacks images of a task", remedy="Fit the reference again")
        self.spec, self.task_names = spec, tuple(task_names)
        self.vectors, self.tasks, self.scales = dict(vectors), tasks, dict(scales)
        self.calibration_scores, self.threshold = np.sort(calibration_scores), threshold

    def log_scores(self, signature: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        """Natural logarithm ``(T,)`` of the distance to each task in units of the task's typical distance.

        Args:
            signature: ``(C,)`` by layer.
        """
        logs = np.zeros(len(self.task_names))
        for layer in self.spec.layers:
            distances = np.linalg.norm(self.vectors[layer] - signature[layer], axis=1)
            nearest = np.array([distances[self.tasks == t].min() for t in range(len(self.task_names))])
            logs += np.log(np.maximum(nearest, SMALLEST_DISTANCE) / self.scales[layer])
        return logs / len(self.spec.layers)

    def recognise(self, log_scores: NDArray[np.float64], among: Sequence[str] | None = None) -> int:
        """Index of the task whose images are nearest.

        Args:
            log_scores: ``(T,)`` from `log_scores`.
            among: names of the tasks that the image may belong to; all by default.
        """
        units = np.mean([np.log(self.scales[layer]) for layer in self.spec.layers], axis=0)
        shrunk = log_scores + UNIT_SHRINKAGE * (units - units.mean())
        candidates = [t for t, name in enumerate(self.task_names) if among is None or name in among]
        return min(candidates, key=lambda t: float(shrunk[t]))

    def judge(self, spectra: Mapping[str, LayerSpectrum], among: Sequence[str] | None = None) -> Verdict:
        """Verdict for an image's spectra.

        Args:
            spectra: by layer.
            among: names of the tasks that the image may belong to; all by default. The distances of the others are
                reported but do not count.
        """
        logs = self.log_scores(self.spec.vectors(spectra))
        nearest = self.recognise(logs, among)
        score = float(np.exp(logs[nearest]))
        at_least = int(np.count_nonzero(self.calibration_scores >= score))
        return Verdict(
            is_ood=score > self.threshold,
            score=score,
            threshold=self.threshold,
            p_value=(1 + at_least) / (1 + len(self.calibration_scores)),
            nearest_task=self.task_names[nearest],
            distances={name: float(s) for name, s in zip(self.task_names, np.exp(logs), strict=True)},
        )


def fit_reference(
    spec: SignatureSpec, task_names: Sequence[str], images: Sequence[ReferenceImage]
) -> SpectralReference:
    """Keep the training images' signatures; fit the scales on them, calibration scores and threshold on the others.

    Held-out images are compared with training images only, exactly as new images will be (split conformal
    prediction), so training images cannot make new ones look far, and figures measured on held-out images hold.

    The threshold is the paper's: mean + 2.5 standard deviations, here of the log scores of held-out images with every
    task given the same weight, see `balanced_threshold`.

    Raises:
        ModelError: a task has fewer than two training groups or no held-out image.
    """
    known = [image for image in images if not image.held_out]
    held_out = [image for image in images if image.held_out]
    missing = [name for t, name in enumerate(task_names) if t not in {image.task for image in held_out}]
    if missing:
        raise ModelError(f"no held-out image of {', '.join(missing)}", remedy="Hold out at least one group per dataset")
    tasks = np.array([image.task for image in known], dtype=np.int64)
    vectors = {layer: np.stack([spec.vector(image.spectra[layer]) for image in known]) for layer in spec.layers}
    scales = {layer: _typical_distances(vectors[layer], tasks, known, task_names) for layer in spec.layers}
    draft = SpectralReference(spec, task_names, vectors, tasks, scales, np.ones(1), 1.0)
    scores = np.log([draft.judge(image.spectra).score for image in held_out])
    held_out_tasks = np.array([image.task for image in held_out], dtype=np.int64)
    threshold = float(np.exp(balanced_threshold(scores, held_out_tasks, [image.group for image in held_out])))
    return SpectralReference(spec, task_names, vectors, tasks, scales, np.exp(scores), threshold)


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


def _typical_distances(
    vectors: NDArray[np.float64], tasks: NDArray[np.int64], images: Sequence[ReferenceImage], task_names: Sequence[str]
) -> NDArray[np.float64]:
    groups = np.array([image.group for image in images])
    result = np.empty(len(task_names))
    for task, name in enumerate(task_names):
        own = np.flatnonzero(tasks == task)
        if len(set(groups[own])) < 2:
            raise ModelError(f"task {name} has fewer than two groups", remedy="Give images of more patients")
        between = np.linalg.norm(vectors[own][:, None] - vectors[own][None, :], axis=2)
        between[groups[own][:, None] == groups[own][None, :]] = np.inf
        result[task] = max(float(np.median(between.min(axis=1))), SMALLEST_DISTANCE)
    return result
