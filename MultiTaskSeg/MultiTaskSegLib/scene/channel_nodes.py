"""The volumes that are the channels of one image, in the order in which a task takes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import slicer

from MultiTaskSegLib.runtime.errors import InputError, UsageError
from MultiTaskSegLib.scene.node.presence import require_present
from MultiTaskSegLib.task_list import KnownTask, inputs_text, short_name

AUTO = "auto"

ScalarVolume = slicer.vtkMRMLScalarVolumeNode
Volumes = ScalarVolume | Sequence[ScalarVolume] | Mapping[str, ScalarVolume]
"""One volume; several in the order of the task's channels; or several by the names of these."""


def channel_nodes(volumes: Volumes, tasks: Sequence[KnownTask], task: str = AUTO) -> tuple[ScalarVolume, ...]:
    """The volumes of an image, the first channel first.

    Args:
        volumes: as they were given.
        tasks: of the model; none where it cannot be read, which is the worker's to say.
        task: the name of one, or ``auto``.

    Raises:
        UsageError: there is no such channel, or the order cannot be told.
        InputError: there are more or fewer volumes than the task takes, or the same one twice.
    """
    considered = [known for known in tasks if known.name == task] or list(tasks)
    if isinstance(volumes, Mapping):
        nodes = tuple(volumes[name] for name in _order(set(volumes), considered))
    else:
        nodes = tuple(volumes) if isinstance(volumes, Sequence) else (volumes,)
    if not nodes:
        raise InputError("no volume is selected", remedy="Load an image and select it")
    _require_count(len(nodes), considered, task)
    for node in nodes:
        if node is not None and nodes.count(node) > 1:
            raise InputError("the same volume is given for two channels", file=node.GetName(), remedy="Give others")
    return nodes


def require_all_present(nodes: Sequence[ScalarVolume]) -> None:
    """Refuse volumes of which one is no longer in the scene. Raises as `require_present`."""
    for node in nodes:
        require_present(node)


def require_single(tasks: Sequence[KnownTask], task: str = AUTO) -> None:
    """Refuse tasks that take several volumes where images come one by one, as in a batch: which belong together nobody
    has said.

    Raises:
        UsageError: what was chosen takes several.
    """
    considered = [known for known in tasks if known.name == task] or list(tasks)
    if considered and all(known.input_count > 1 for known in considered):
        raise UsageError(
            f"many images in a row can be segmented only by tasks of one channel; this one takes"
            f" {inputs_text(considered[0].inputs)}",
            remedy="Segment these images one by one, with a volume for each channel",
        )


def _order(names: set[str], considered: Sequence[KnownTask]) -> tuple[str, ...]:
    orders = {known.inputs for known in considered if set(known.inputs) == names}
    if len(orders) == 1:
        return orders.pop()
    given = ", ".join(sorted(names))
    if orders:
        raise UsageError(f"tasks take the channels {given} in different orders", remedy="Choose one of the tasks")
    known_lists = sorted({inputs_text(known.inputs) for known in considered if known.inputs})
    raise UsageError(
        f"no task takes the channels {given}",
        remedy=f"There are: {'; '.join(known_lists)}" if known_lists else "Give one volume",
    )


def _require_count(count: int, considered: Sequence[KnownTask], task: str) -> None:
    if not considered or any(known.input_count == count for known in considered):
        return
    counts = {known.input_count for known in considered}
    first = considered[0]
    if len(counts) > 1:
        raise InputError(f"no task of the model takes {count} volumes", remedy="Give as many as one of its tasks takes")
    name = short_name(task) if task == first.name else "the model"
    wanted = inputs_text(first.inputs) if first.input_count > 1 else "one volume"
    given = "1 volume was" if count == 1 else f"{count} volumes were"
    raise InputError(f"{name} takes {wanted}, and {given} given", remedy="Give one volume for each channel")
