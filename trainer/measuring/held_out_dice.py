"""Dice of held-out cases as users get it: the shipped pipeline's labels against the label file, on the image's grid."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from MultiTaskSegLib.runtime.machine.memory_allocator import release_freed_memory
from MultiTaskSegLib.runtime.model.manifest import TaskInfo
from MultiTaskSegLib.runtime.predictor import Predictor
from trainer.distributed.ranks import ALONE, Ranks
from trainer.layout.case import Case
from trainer.metrics.case_overlap import overlap_by_label
from trainer.metrics.overlap import mean_defined


def held_out_dice(
    predictor: Predictor,
    task: TaskInfo,
    labels: Mapping[int, str],
    cases: Sequence[Case],
    advance: Callable[[], None],
    ranks: Ranks = ALONE,
) -> dict[str, float]:
    """Mean over cases by label name; labels that neither truths nor results show are missing.

    Args:
        predictor: the model, whole.
        task: of the model, which is told, not recognised.
        labels: the dataset's label names by value.
        cases: of the task.
        advance: called after each that is looked at here.
        ranks: the processes that look at a share each.

    Raises:
        DatasetError: the label map does not lie on the image's grid, or holds values that the dataset does not name.
        InputError: a file cannot be read.
    """

    def dice_of(case: Case) -> dict[str, float]:
        """Of one case, by label name."""
        volume, truth = case.read_pair(labels)
        result = predictor.segment(volume, task.name)
        overlaps = overlap_by_label(result.labels, task, truth, labels, result.regions)
        release_freed_memory()
        advance()
        return {name: overlap.dice for name, overlap in overlaps.items()}

    scores = ranks.each(cases, dice_of)
    means = {name: mean_defined([own[name] for own in scores]) for name in (scores[0] if scores else ())}
    return {name: value for name, value in means.items() if not np.isnan(value)}
