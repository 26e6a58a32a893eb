"""Which tasks a model file knows, read from its header only: no torch, so that a panel can offer them at once."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from MultiTaskSegLib.runtime.errors import MtsError
from MultiTaskSegLib.runtime.model.file_header import header_manifest
from MultiTaskSegLib.runtime.model.model_list import listed_models

DATASET_NUMBER = re.compile(r"^Dataset\d+_")  # nnU-Net's prefix, of no interest to a user


@dataclass(frozen=True)
class KnownTask:
    """What the header of a model file says about one task.

    Attributes:
        name: as the model knows it.
        modality: of its training images, for example ``T1`` or ``ultrasound``; may be empty.
        anatomy: body region; may be empty.
        is_planar: whether it is for 2-D images.
        spacing_zyx_mm: voxel size of its training images; None where it does not matter or is not told.
        inputs: names of the image's channels, in the model's order; none for one channel without a name.
        structures: names of what it segments; none where several models know the task with different ones.
        has_various: whether they do, so that it is told only of a chosen model what there is.
        finest_mm: smallest voxel edge of its training images, which may be finer than the grid; None where not told.
    """

    name: str
    modality: str = ""
    anatomy: str = ""
    is_planar: bool = False
    spacing_zyx_mm: tuple[float, float, float] | None = None
    inputs: tuple[str, ...] = ()
    structures: tuple[str, ...] = ()
    has_various: bool = False
    finest_mm: float | None = None

    @property
    def input_count(self) -> int:
        """How many channels an image has."""
        return max(1, len(self.inputs))

    @property
    def title(self) -> str:
        """The name for people: without the number of the dataset, with modality and anatomy."""
        details = ", ".join(text for text in (self.modality, self.anatomy) if text)
        return f"{short_name(self.name)} ({details})" if details else short_name(self.name)


def short_name(task: str) -> str:
    """The name of a task for people: without the number of its dataset."""
    return DATASET_NUMBER.sub("", task)


def inputs_text(inputs: Sequence[str]) -> str:
    """Names of channels for people.

    >>> inputs_text(("T1", "FLAIR"))
    '2 volumes (T1, FLAIR)'
    """
    return f"{len(inputs)} volumes ({', '.join(inputs)})" if len(inputs) > 1 else "one volume"


def wanted_inputs(tasks: Sequence[KnownTask], task: str) -> tuple[str, ...]:
    """Names of the volumes that a choice takes, where it takes several; none for one volume, and where tasks differ."""
    lists = {known.inputs for known in tasks if known.name == task} or {known.inputs for known in tasks}
    inputs = lists.pop() if len(lists) == 1 else ()
    return inputs if len(inputs) > 1 else ()


def offered_structures(tasks: Sequence[KnownTask], task: str) -> tuple[str, ...] | None:
    """What can be chosen of a task; nothing where no such task is known, None where that depends on the model."""
    found = [known for known in tasks if known.name == task]
    if any(known.has_various for known in found) or len({frozenset(known.structures) for known in found}) > 1:
        return None
    return found[0].structures if found else ()


def known_tasks(model: str | Path | None = None) -> list[KnownTask]:
    """The tasks of a model file; of all models of the list where ``model`` is None, those of one kind only once.

    A file that cannot be read gives none: whether it is sound is the worker's to say, when it is used.
    """
    tasks: dict[tuple[object, ...], KnownTask] = {}
    for path in [listed.path for listed in listed_models()] if model is None else [Path(model)]:
        for task in _tasks_in(path):
            kind = (task.name, task.is_planar, task.inputs)
            known = tasks.setdefault(kind, task)
            if set(known.structures) != set(task.structures):
                tasks[kind] = replace(known, structures=(), has_various=True)
    return list(tasks.values())


def task_names(model: str | Path | None = None) -> list[str]:
    """Names of the tasks that `known_tasks` finds."""
    return [task.name for task in known_tasks(model)]


def _tasks_in(path: Path) -> list[KnownTask]:
    try:
        return [_task(entry) for entry in header_manifest(path)["tasks"]]
    except (MtsError, ValueError, KeyError, TypeError, AttributeError, IndexError):
        return []


def _task(entry: Mapping[str, Any]) -> KnownTask:
    profile = entry.get("profile") or {}
    spacing = profile.get("spacing_zyx_mm")
    return KnownTask(
        str(entry["name"]),
        str(entry.get("modality", "")),
        str(entry.get("anatomy", "")),
        profile.get("grid") == "fit",
        None if spacing is None else (float(spacing[0]), float(spacing[1]), float(spacing[2])),
        tuple(str(name) for name in entry.get("inputs", ())),
        tuple(str(label["name"]) for label in entry.get("labels", ())),
        finest_mm=_finest_mm(entry),
    )


def _finest_mm(entry: Mapping[str, Any]) -> float | None:
    sizes = (entry.get("data") or {}).get("sizes") or {}
    edges = [float(least) for least, _ in sizes.get("spacing_zyx_mm") or ()]
    return min(edges) if edges else None
