"""Which outputs of a model's head a training on other datasets can go on with."""

from __future__ import annotations

from collections.abc import Sequence

from MultiTaskSegLib.runtime.model.manifest import Manifest, TaskInfo
from trainer.data.planning import TaskPlan


def known_rows(manifest: Manifest, tasks: Sequence[TaskPlan | TaskInfo]) -> tuple[int, ...] | None:
    """By output of the head to be trained, the model's output that it begins with; None where it has to begin anew.

    A task to be trained is one of the model's where it has the same labels in the same order: under its own name, else
    if only one task has them. So a dataset of corrected results goes on with the part of the head that made them,
    whatever its folder is called and whatever else the model knows. All tasks have to be known, or none is.
    """
    rows: dict[int, int] = {}
    for task in tasks:
        found = _same_task(manifest, task)
        if found is None:
            return None
        pairs = zip(_outputs(task), _outputs(found), strict=True)
        # Where tasks share outputs (a head of one foreground), they have to agree.
        if any(rows.setdefault(new, old) != old for new, old in pairs):
            return None
    return tuple(rows[new] for new in range(len(rows)))


def _same_task(manifest: Manifest, task: TaskPlan | TaskInfo) -> TaskInfo | None:
    alike = [one for one in manifest.tasks if _labels(one) == _labels(task) and one.are_regions == task.are_regions]
    named = [one for one in alike if one.name == task.name]
    chosen = named or alike
    return chosen[0] if len(chosen) == 1 else None


def _labels(task: TaskPlan | TaskInfo) -> tuple[str, ...]:
    return task.label_names if isinstance(task, TaskPlan) else tuple(label.name for label in task.labels)


def _outputs(task: TaskPlan | TaskInfo) -> range:
    return range(task.channels.start, task.channels.stop)
