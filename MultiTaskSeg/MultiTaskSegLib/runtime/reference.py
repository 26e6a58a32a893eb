"""Spectral reference: the training images' signatures, and how far known images lie from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.errors import ModelError
from MultiTaskSegLib.runtime.explanation import Explanation, block_difference, level_of, spectrum_band
from MultiTaskSegLib.runtime.signature import SPECTRUM, Observed, SignatureSpec
from MultiTaskSegLib.runtime.verdict import Verdict

SMALLEST_DISTANCE = 1e-9
# Recognition shrinks a task's unit halfway (in logarithms) towards the common one: with its own unit alone, a task of
# very different images would attract those of its neighbours; with the common one alone, its own would go astray.
UNIT_SHRINKAGE = 0.5


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

    The distance to a task is, per block of the signature, the Euclidean distance to the nearest training image of that
    task after the block's projection, in units of the median distance between a training image of the task and its
    nearest neighbour of another group; blocks are combined as the signature says. Threshold and p-values come from
    images that were held out from training.

    Args:
        spec: the signature.
        task_names: names by task index.
        vectors: by block, float64 ``(M, C)``: signatures of M training images.
        tasks: int ``(M,)``: task of each image.
        scales: by block, float64 ``(T,)``: typical distance within each task.
        calibration_scores: float64 ``(K,)``: scores of held-out images.
        threshold: scores above it are out of distribution.
        projections: by block, float64 ``(C, C)``, multiplied from the right; empty for none.
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
    ) -> None:
        if set(np.unique(tasks)) != set(range(len(task_names))) or not calibration_scores.size:
            raise ModelError("the spectral reference lacks images of a task", remedy="Fit the reference again")
        self.spec, self.task_names = spec, tuple(task_names)
        self.vectors, self.tasks, self.scales = dict(vectors), tasks, dict(scales)
        self.calibration_scores, self.threshold = np.sort(calibration_scores), threshold
        self.projections = dict(projections or {})
        self._projected = {block: self._project(block, rows) for block, rows in self.vectors.items()}

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
            distances = np.linalg.norm(self._projected[block] - self._project(block, signature[block]), axis=1)
            nearest = np.array([distances[self.tasks == t].min() for t in range(len(self.task_names))])
            row[:] = np.log(np.maximum(nearest, SMALLEST_DISTANCE) / self.scales[block])
        return logs

    def _project(self, block: str, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        projection = self.projections.get(block)
        return vectors if projection is None else np.asarray(vectors @ projection)

    def recognise(self, log_scores: NDArray[np.float64], among: Sequence[str] | None = None) -> int:
        """Index of the task whose images are nearest.

        Args:
            log_scores: ``(T,)`` from `log_scores`.
            among: names of the tasks that the image may belong to; all by default.
        """
        units = np.mean([np.log(self.scales[block]) for block in self.spec.blocks], axis=0)
        shrunk = log_scores + UNIT_SHRINKAGE * (units - units.mean())
        candidates = [t for t, name in enumerate(self.task_names) if among is None or name in among]
        return min(candidates, key=lambda t: float(shrunk[t]))

    def judge(self, spectra: Observed, among: Sequence[str] | None = None) -> Verdict:
        """Verdict for an image's spectra.

        Args:
            spectra: by layer; for some signatures also of the image itself.
            among: names of the tasks that the image may belong to; all by default. The distances of the others are
                reported but do not count.
        """
        signature = self.spec.vectors(spectra)
        by_block = self.log_scores_by_block(signature)
        logs = self.spec.combined(by_block)
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
            explanation=self._explain(signature, nearest, by_block[:, nearest], score),
        )

    def _explain(
        self, signature: Mapping[str, NDArray[np.float64]], task: int, logs: NDArray[np.float64], score: float
    ) -> Explanation:
        """How a signature differs from those of a task's training images, of which ``logs`` are the distances."""
        deepest = max((level_of(layer) for layer in self.spec.layers), default=0)
        differences, bands = [], []
        for block, log in zip(self.spec.blocks, logs, strict=True):
            layer, _, part = block.partition(".")
            known = self.vectors[block][self.tasks == task]
            projected = self._projected[block][self.tasks == task]
            nearest = np.linalg.norm(projected - self._project(block, signature[block]), axis=1).argmin()
            difference, projection = signature[block] - known[nearest], self.projections.get(block)
            part = part or SPECTRUM
            differences.append(block_difference(layer, part, float(np.exp(log)), difference, projection, deepest))
            if part == SPECTRUM:
                bands.append(spectrum_band(layer, signature[block], known))
        nearer = float(np.mean(self.calibration_scores < score))
        ordered = sorted(differences, key=lambda difference: -difference.ratio)
        return Explanation(100.0 * nearer, tuple(ordered), tuple(bands))
