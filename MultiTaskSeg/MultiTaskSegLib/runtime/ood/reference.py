"""Spectral reference: the training images' signatures, and how far known images lie from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.errors import NOT_FINITE, NOT_FINITE_REMEDY, ModelError
from MultiTaskSegLib.runtime.ood.explanation import Explanation, block_difference, level_of, spectrum_band
from MultiTaskSegLib.runtime.ood.score_law import TaskLimits
from MultiTaskSegLib.runtime.ood.signature import SPECTRUM, Observed, SignatureSpec
from MultiTaskSegLib.runtime.ood.task_metric import TaskMetric
from MultiTaskSegLib.runtime.ood.verdict import Verdict

SMALLEST_DISTANCE = 1e-9
# Recognition shrinks a task's unit halfway (in logarithms) towards the common one: with its own unit alone, a task of
# very different images would attract those of its neighbours; with the common one alone, its own would go astray.
UNIT_SHRINKAGE = 0.5
# A task so little farther than the nearest one may be the right one: of training images, each compared with those of
# other patients, 95 % of the wrongly recognised ones were that close a call, and 2 % of those that have no like task.
CLOSE_CALL = 0.2


@dataclass(frozen=True)
class ReferenceImage:
    """Spectra (and statistics) of one image with known context.

    Attributes:
        task: index of its task.
        group: patient or other unit; images of one group are never compared with each other.
        held_out: whether the network never saw it in training.
        spectra: by layer; for some signatures also of the image itself.
    """

    task: int
    group: str
    held_out: bool
    spectra: Observed


class SpectralReference:
    """Judges signatures by their distance to the signatures of known images.

    The distance to a task is, per block of the signature, that to the nearest training image of the task by the task's
    metric, in units of the median distance between a training image of the task and its nearest neighbour of another
    group; blocks are combined as the signature says. Limits and p-values come from the law of each task's scores; where
    there is none, as in earlier files, one threshold and the scores of images that were held out from training serve
    all tasks.

    Args:
        spec: the signature.
        task_names: names by task index.
        vectors: by block, float64 ``(M, C)``: signatures of M training images.
        tasks: int ``(M,)``: task of each image.
        scales: by block, float64 ``(T,)``: typical distance within each task.
        calibration_scores: float64 ``(K,)``: scores of held-out images.
        threshold: scores above it are out of distribution where there are no ``limits``.
        projections: by block, float64 ``(C, C)``, see `TaskMetric`; empty for none.
        shrinkages: by block, float64 ``(T,)``, see `TaskMetric`; empty where the spread of all tasks counts alone.
        limits: of each task; None for one threshold.

    Raises:
        ModelError: a task has no image, or its images no covariance.
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
        projections: Mapping[str, NDArray[np.float64]] | None = None,
        shrinkages: Mapping[str, NDArray[np.float64]] | None = None,
        limits: TaskLimits | None = None,
    ) -> None:
        if set(np.unique(tasks)) != set(range(len(task_names))) or not calibration_scores.size:
            raise ModelError("the spectral reference lacks images of a task", remedy="Fit the reference again")
        self.spec, self.task_names = spec, tuple(task_names)
        self.vectors, self.tasks, self.scales = dict(vectors), tasks, dict(scales)
        self.calibration_scores, self.threshold = np.sort(calibration_scores), threshold
        self.projections, self.shrinkages, self.limits = dict(projections or {}), dict(shrinkages or {}), limits
        self._metrics = {
            block: task_metrics(rows, tasks, self.projections.get(block), self.shrinkages.get(block))
            for block, rows in self.vectors.items()
        }

    def log_scores(self, signature: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        """Natural logarithm ``(T,)`` of the distance to each task in units of the task's typical distance.

        Args:
            signature: ``(C,)`` by block.
        """
        return self.spec.combined(self.log_scores_by_block(signature))

    def log_scores_by_block(self, signature: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        """The terms ``(blocks, T)`` that `log_scores` combines: they tell which layer is foreign."""
        logs = np.empty((len(self.spec.blocks), len(self.task_names)))
        for row, block in zip(logs, self.spec.blocks, strict=True):
            nearest = np.array([metric.distances(signature[block]).min() for metric in self._metrics[block]])
            row[:] = np.log(np.maximum(nearest, SMALLEST_DISTANCE) / self.scales[block])
        return logs

    def recognise(self, log_scores: NDArray[np.float64], among: Sequence[str] | None = None) -> int:
        """Index of the task whose images are nearest.

        Args:
            log_scores: ``(T,)`` from `log_scores`.
            among: names of the tasks that the image may belong to; all by default.
        """
        return self.contenders(log_scores, among)[0]

    def contenders(self, log_scores: NDArray[np.float64], among: Sequence[str] | None = None) -> list[int]:
        """Indices of the nearest task and, in the order of nearness, of those that are about as near.

        Args:
            log_scores, among: as in `recognise`.
        """
        shrunk = self.log_nearness(log_scores)
        candidates = [t for t, name in enumerate(self.task_names) if among is None or name in among]
        nearest = min(shrunk[t] for t in candidates)
        return sorted((t for t in candidates if shrunk[t] <= nearest + CLOSE_CALL), key=lambda t: float(shrunk[t]))

    def log_nearness(self, log_scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """By what tasks are compared with each other, ``(T,)``: distances in units halfway to the common one."""
        units = np.mean([np.log(self.scales[block]) for block in self.spec.blocks], axis=0)
        shrunk: NDArray[np.float64] = log_scores + UNIT_SHRINKAGE * (units - units.mean())
        return shrunk

    def judge(self, spectra: Observed, among: Sequence[str] | None = None) -> Verdict:
        """Verdict for an image's spectra.

        Args:
            spectra: by layer; for some signatures also of the image itself.
            among: names of the tasks that the image may belong to; all by default. The distances of the others are
                reported but do not count.

        Raises:
            ModelError: the model makes numbers of the image that are not finite; no verdict could be drawn from them.
        """
        with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
            signature = self.spec.vectors(spectra)
            by_block = self.log_scores_by_block(signature)
            logs = self.spec.combined(by_block)
        if not np.isfinite(logs).all():
            raise ModelError(NOT_FINITE, remedy=NOT_FINITE_REMEDY)
        nearest, *rivals = self.contenders(logs, among)
        score = float(np.exp(logs[nearest]))
        limit = self.limit(nearest)
        return Verdict(
            is_ood=score > limit,
            score=score,
            threshold=limit,
            p_value=self._p_value(nearest, score),
            nearest_task=self.task_names[nearest],
            distances={name: float(s) for name, s in zip(self.task_names, np.exp(logs), strict=True)},
            explanation=self._explain(signature, nearest, by_block[:, nearest], score),
            rivals=tuple(self.task_names[t] for t in rivals),
            log_nearness={
                name: float(value)
                for name, value in zip(self.task_names, self.log_nearness(logs), strict=True)
                if among is None or name in among
            },
            limits={} if self.limits is None else {n: self.limit(t) for t, n in enumerate(self.task_names)},
        )

    def limit(self, task: int) -> float:
        """The score beyond which an image that is nearest to the task of this index is out of distribution."""
        return self.threshold if self.limits is None else self.limits.limit(task)

    def _p_value(self, task: int, score: float) -> float:
        if self.limits is not None:
            return self.limits.tail(task, score)
        at_least = int(np.count_nonzero(self.calibration_scores >= score))
        return (1 + at_least) / (1 + len(self.calibration_scores))

    def _share_nearer(self, task: int, score: float) -> float:
        if self.limits is not None:
            return 1.0 - self.limits.tail(task, score)
        return float(np.mean(self.calibration_scores < score))

    def _explain(
        self, signature: Mapping[str, NDArray[np.float64]], task: int, logs: NDArray[np.float64], score: float
    ) -> Explanation:
        """How a signature differs from those of a task's training images, of which ``logs`` are the distances."""
        deepest = max((level_of(layer) for layer in self.spec.layers), default=0)
        differences, bands = [], []
        for block, log in zip(self.spec.blocks, logs, strict=True):
            layer, _, part = block.partition(".")
            known, metric = self.vectors[block][self.tasks == task], self._metrics[block][task]
            difference = signature[block] - known[metric.distances(signature[block]).argmin()]
            part = part or SPECTRUM
            ratio = float(np.exp(log))
            differences.append(block_difference(layer, part, ratio, difference, metric.projection, deepest))
            if part == SPECTRUM:
                bands.append(spectrum_band(layer, signature[block], known))
        nearer = self._share_nearer(task, score)
        ordered = sorted(differences, key=lambda difference: -difference.ratio)
        return Explanation(100.0 * nearer, tuple(ordered), tuple(bands))


def task_metrics(
    vectors: NDArray[np.float64],
    tasks: NDArray[np.int64],
    projection: NDArray[np.float64] | None,
    shrinkages: NDArray[np.float64] | None,
) -> list[TaskMetric]:
    """The metric of each task, of images ``(M, C)`` of the tasks ``(M,)``."""
    return [
        TaskMetric(vectors[tasks == task], projection, None if shrinkages is None else float(shrinkages[task]))
        for task in range(int(tasks.max()) + 1)
    ]
