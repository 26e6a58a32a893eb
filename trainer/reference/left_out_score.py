"""How far known images lie from their task when their patients are left out of everything that the check fits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.ood.reference import ReferenceImage, SpectralReference
from MultiTaskSegLib.runtime.ood.signature import SignatureSpec
from trainer.reference.spectral_reference import compared_with, of_new_images
from trainer.reference.typical_distance import MAX_PARTS, parts_of

FEWEST_PATIENTS = 6


@dataclass(frozen=True)
class LeftOutScores:
    """Scores of known images.

    Attributes:
        logs: float64 ``(K,)``, natural logarithms of the distance to the image's own task.
        tasks: int ``(K,)``.
        groups: patient or other unit, by image.
        held_out: bool ``(K,)``, whether the network never saw the image in training.
    """

    logs: NDArray[np.float64]
    tasks: NDArray[np.int64]
    groups: tuple[str, ...]
    held_out: NDArray[np.bool_]

    def where(self, keep: NDArray[np.bool_]) -> LeftOutScores:
        """Some of the images."""
        groups = tuple(g for g, kept in zip(self.groups, keep, strict=True) if kept)
        return replace(self, logs=self.logs[keep], tasks=self.tasks[keep], groups=groups, held_out=self.held_out[keep])


def left_out_scores(
    spec: SignatureSpec, reference: SpectralReference, images: Sequence[ReferenceImage]
) -> LeftOutScores:
    """Scores of images, in their order.

    Held-out images are compared with ``reference``, which knows nothing of them. Training images are dealt into at most
    20 parts by patient, and each part is compared with a reference that was fitted without it: whitening, covariance,
    units and memory alike. A patient who belongs to several tasks leaves all of them. Tasks of few patients, where an
    image is one of a dozen, would otherwise look tighter than they are to new patients.

    Training images of tasks with fewer than six patients have no score: without one of them, hardly a task is left. Nor
    have images of which another patient has a copy, see `of_new_images`.

    Args:
        spec: the signature.
        reference: fitted on the training images among ``images``.
        images: training and held-out images.
    """
    known = [n for n, image in enumerate(images) if not image.held_out]
    logs = np.array([_own(reference, spec, image) if image.held_out else np.nan for image in images])
    for judged in _parts(images):
        gone = {images[n].group for n in judged}
        others = [images[n] for n in known if images[n].group not in gone]
        if len({image.task for image in others}) < len(reference.task_names):
            # All patients that a task has are called like some that leave another one.
            others = [images[n] for n in known if n not in judged]
        without = compared_with(spec, reference.task_names, others, otherwise=reference.scales)
        for n in judged:
            logs[n] = _own(without, spec, images[n])
    scores = LeftOutScores(
        logs,
        np.array([image.task for image in images], dtype=np.int64),
        tuple(image.group for image in images),
        np.array([image.held_out for image in images]),
    ).where(np.isfinite(logs))
    return scores.where(of_new_images(scores.logs, scores.tasks))


def _own(reference: SpectralReference, spec: SignatureSpec, image: ReferenceImage) -> float:
    return float(reference.log_scores(spec.vectors(image.spectra))[image.task])


def _parts(images: Sequence[ReferenceImage]) -> Iterator[set[int]]:
    """Training images that leave together: the patients of every task with enough of them are dealt in turn."""
    parts: dict[int, set[int]] = defaultdict(set)
    for task in {image.task for image in images}:
        own = [n for n, image in enumerate(images) if image.task == task and not image.held_out]
        groups = [images[n].group for n in own]
        if len(set(groups)) < FEWEST_PATIENTS:
            continue
        for n, part in zip(own, parts_of(groups, MAX_PARTS), strict=True):
            parts[int(part)].add(n)
    yield from parts.values()
