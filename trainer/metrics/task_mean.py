"""The mean of a figure over tasks, the same tasks in every round of a bootstrap."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def task_mean(figures: Sequence[Floats]) -> Floats:
    """Mean over the tasks in which a figure is defined.

    A round can leave a task without a patient, or without a failure. Were it left out of that round, the mean would be
    one over other tasks, far from any that these tasks can have: there the task counts with its own figure. So a task
    of one patient adds nothing to an interval, which can say nothing about other patients of it.

    Args:
        figures: by task, ``(1 + rounds,)``: the figure itself, NaN where it is not defined, then its rounds.

    Returns:
        ``(1 + rounds,)``; NaN where no task has the figure.
    """
    defined = [np.where(np.isnan(values), values[0], values) for values in figures if not np.isnan(values[0])]
    return np.asarray(np.mean(defined, axis=0) if defined else np.full_like(figures[0], np.nan), dtype=np.float64)
