"""Held-out cases as users get them: the shipped pipeline's labels against the label file, on each image's own grid."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np

from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.machine.memory_allocator import release_freed_memory
from MultiTaskSegLib.runtime.model.manifest import TaskInfo
from MultiTaskSegLib.runtime.prediction.segmentation import Segmentation
from trainer.distributed.ranks import ALONE, Ranks
from trainer.layout.case import Case
from trainer.metrics.overlap import mean_defined
from trainer.quality.quality_sample import QualitySample, quality_sample


class Segmenter(Protocol):
    """A model, trained here or imported."""

    def segment(self, volume: Volume, task: str) -> Segmentation:
        """An image on its own grid; see `MultiTaskSegLib.runtime.predictor.Predictor`."""


def held_out_samples(
    predictor: Segmenter,
    task: TaskInfo,
    labels: Mapping[int, str],
    cases: Sequence[Case],
    advance: Callable[[], None],
    ranks: Ranks = ALONE,
) -> list[QualitySample]:
    """What the finished model makes of each case; with several processes each takes its share of the cases.

    Args:
        predictor: the model, whole; its file says nothing of quality yet.
        task: of the model, which is told, not recognised.
        labels: the dataset's label names by value.
        cases: of the task.
        advance: called after each that is looked at here.
        ranks: the processes that look at a share each.

    Raises:
        DatasetError: the label map does not lie on the image's grid, or holds values that the dataset does not name.
        InputError: a file cannot be read.
    """

    def sample_of(case: Case) -> QualitySample:
        """Of one case."""
        volume, truth = case.read_pair(labels)
        sample = quality_sample(predictor.segment(volume, task.name), truth, labels, case.group)
        release_freed_memory()
        advance()
        return sample

    return ranks.each(cases, sample_of)


def held_out_dice(samples: Sequence[QualitySample]) -> dict[str, float]:
    """Mean over cases by label name; labels that neither truths nor results show are missing."""
    names = samples[0].dice if samples else ()
    means = {name: mean_defined([sample.dice[name] for sample in samples]) for name in names}
    return {name: value for name, value in means.items() if not np.isnan(value)}
