"""Images that no arm knows: what the check is to tell from those that are tested on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from MultiTaskSegLib.runtime.errors import DatasetError
from MultiTaskSegLib.runtime.image.image_file import read_image
from MultiTaskSegLib.runtime.machine.memory_allocator import release_freed_memory
from trainer.data.spread import evenly
from trainer.multi_task.contender import Contender
from trainer.multi_task.settings import MultiTaskPlan
from trainer.ood.catalogue import foreign_images


def foreign_paths(plan: MultiTaskPlan, *, is_planar: bool) -> list[Path]:
    """Images of the folders that the settings name, as many as they ask for, evenly spread.

    Args:
        plan: with the folders.
        is_planar: whether the networks take 2-D images; others are left out.

    Raises:
        DatasetError: a folder is missing, or none of its images has as many dimensions.
    """
    found = [path for data in plan.settings.foreign for _, path in foreign_images(plan.folder(data))]
    fitting = [path for path in found if read_image(path).is_planar == is_planar]
    if found and not fitting:
        raise DatasetError(
            f"no foreign image is {'2-D' if is_planar else '3-D'}", remedy="Name other folders in foreign, or none"
        )
    return evenly(fitting, plan.settings.foreign_images)


def relative_scores(contender: Contender, paths: Sequence[str]) -> list[float]:
    """How far each image is from everything that the network knows, in units of the limit; above 1 it is flagged.

    Raises:
        InputError: a file cannot be read.
    """
    scores = []
    for path in paths:
        scores.append(contender.score(read_image(path)))
        release_freed_memory()
    return scores


def auroc(known: Sequence[float], foreign: Sequence[float]) -> float:
    """Share of the pairs in which the foreign image has the higher score, ties counting half; NaN without a pair, and
    of a network that checks no images, whose scores are NaN.

    >>> auroc([0.1, 0.5], [0.5, 0.9])
    0.875
    """
    differences = np.subtract.outer(np.asarray(foreign, dtype=np.float64), np.asarray(known, dtype=np.float64))
    if not differences.size or np.isnan(differences).any():
        return float("nan")
    return float((differences > 0).mean() + (differences == 0).mean() / 2)
