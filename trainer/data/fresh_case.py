"""Cases whose images are drawn anew for every patch, prepared as all others are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from MultiTaskSegLib.runtime.image.preparation import prepare
from trainer.data.case_cache import PreparedCase, label_points, output_labels
from trainer.data.label_resampling import resample_labels
from trainer.data.planning import TaskPlan
from trainer.synthesis.reader import FINEST_MM, SyntheticReader

# What is drawn for a coarse grid need not be drawn finer than so many voxels for one of it.
FINER = 2.0


def is_drawn(case: PreparedCase) -> bool:
    """Whether the case can be drawn anew."""
    return isinstance(case.case.reader, SyntheticReader)


def fresh_case(case: PreparedCase, task: TaskPlan, rng: np.random.Generator, with_points: bool) -> PreparedCase:
    """Another image of the same label map, in memory.

    Args:
        case: one that `is_drawn`.
        task: gives grid and labels.
        rng: the only source of chance.
        with_points: whether positions of the labels are wanted.
    """
    reader = case.case.reader
    assert isinstance(reader, SyntheticReader)
    spacing = task.profile.spacing_zyx_mm or (FINEST_MM,) * 3
    volume, stored = reader.fresh(case.case, rng, max(FINEST_MM, min(spacing) / FINER))
    prepared = prepare(volume, task.profile)
    canonical = np.asarray(prepared.canonical(output_labels(task, stored)))
    labels = resample_labels(canonical, prepared.voxels.shape).astype(np.uint8)
    points = {int(v): label_points(labels, v, rng) for v in np.unique(labels) if v} if with_points else {}
    return replace(case, voxels=prepared.voxels, labels=labels, points=points)
