"""Some structures of a task instead of all: the others become background, and no neighbour takes their voxels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches

import numpy as np

from MultiTaskSegLib.runtime.errors import UsageError
from MultiTaskSegLib.runtime.model.manifest import LabelInfo, TaskInfo
from MultiTaskSegLib.runtime.prediction.caution import weakness
from MultiTaskSegLib.runtime.prediction.segmentation import Segmentation

SHOWN = 12


def require_structures(tasks: Sequence[TaskInfo], names: Sequence[str]) -> None:
    """Refuse names that are no structure of any of these tasks, before anything is computed.

    Args:
        tasks: that come into question.
        names: as `chosen_labels`.

    Raises:
        UsageError: a name is unknown; the nearest ones are told.
    """
    labels = [label for task in tasks for label in task.labels]
    for name in names:
        if not any(_is_called(label, name) for label in labels):
            raise _unknown(name, labels)


def only_structures(found: Segmentation, names: Sequence[str]) -> Segmentation:
    """A result with these structures alone. Uncertainty stays that of the whole decision.

    Args:
        found: with all structures of its task.
        names: of structures, as stored or as shown, large and small letters alike; none for all.

    Raises:
        UsageError: the task has no structure of a name.
    """
    if not names:
        return found
    require_structures([found.task], names)
    kept = tuple(label for label in found.task.labels if any(_is_called(label, name) for name in names))
    left_out = tuple(label.name for label in found.task.labels if label not in kept)
    table = np.zeros(256, dtype=np.uint8)
    table[[label.value for label in kept]] = [label.value for label in kept]
    found = _without_words_on(found, left_out)
    if found.quality is not None:
        found = replace(found, quality=found.quality.only([label.value for label in kept]))
    if found.agreement is not None:
        found = replace(found, agreement=found.agreement.only([label.value for label in kept]))
    if found.regions is None:
        return replace(found, labels=table[found.labels], task=replace(found.task, labels=kept), left_out=left_out)
    regions = found.regions[[label in kept for label in found.task.labels]]
    # Painted anew: what lay over a structure that is wanted may have gone.
    painted = np.zeros_like(found.labels)
    for label, region in zip(kept, regions, strict=True):
        painted[region] = label.value
    return replace(found, labels=painted, regions=regions, task=replace(found.task, labels=kept), left_out=left_out)


def _without_words_on(found: Segmentation, left_out: Sequence[str]) -> Segmentation:
    """A result that warns of the weak structures that are wanted, not of others."""
    known = {name: dice for name, dice in found.task.held_out_dice.items() if name not in left_out}
    task = replace(found.task, held_out_dice=known)
    others = [warning for warning in found.warnings if warning not in weakness(found.task)]
    return replace(found, task=task, warnings=(*others, *weakness(task)))


def _is_called(label: LabelInfo, name: str) -> bool:
    return _plain(name) in (_plain(label.name), _plain(label.display_name))


def _plain(name: str) -> str:
    return name.casefold().replace("_", " ").strip()


def _unknown(name: str, labels: Sequence[LabelInfo]) -> UsageError:
    known = list(dict.fromkeys(label.name for label in labels))
    near = get_close_matches(_plain(name), [_plain(own) for own in known], n=3, cutoff=0.5)
    meant = [own for own in known if _plain(own) in near]
    shown = ", ".join(known[:SHOWN]) + (f" and {len(known) - SHOWN} more" if len(known) > SHOWN else "")
    remedy = f"Did you mean {' or '.join(meant)}" if meant else f"There are {shown}"
    return UsageError(f"there is no structure {name!r}", remedy=remedy)
