"""Split datasets into training and held-out cases by group, never by case."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from MultiTaskSegLib.runtime.errors import DatasetError
from trainer.data.dataset import Dataset
from trainer.layout.case import Case


@dataclass(frozen=True)
class Split:
    """Training and held-out cases of one dataset."""

    training: tuple[Case, ...]
    held_out: tuple[Case, ...]


def split_datasets(datasets: Sequence[Dataset], *, fraction: float, minimum_groups: int, seed: int) -> dict[str, Split]:
    """Hold out a share of the groups, the same ones in every dataset that shares group names.

    Datasets with common group names may show the same patients (several sequences of one study), so they are split
    together. At least ``minimum_groups`` groups are held out, but never more than a third.

    Returns:
        The split by dataset name.
    """
    result: dict[str, Split] = {}
    for family in _families(datasets):
        groups = sorted({group for dataset in family for group in dataset.groups}, key=lambda g: _rank(g, seed))
        count = min(max(minimum_groups, round(fraction * len(groups))), len(groups) // 3)
        held_out = set(groups[:count])
        for dataset in family:
            result[dataset.name] = Split(
                tuple(case for case in dataset.cases if case.group not in held_out),
                tuple(case for case in dataset.cases if case.group in held_out),
            )
    return result


def choose_labelled(split: Split, labelled: Sequence[str] | int, seed: int, name: str) -> Split:
    """The split with only some of its training cases.

    Args:
        split: of one dataset.
        labelled: names of training cases, or how many; the smaller number's cases are among the larger's.
        seed: of the draw, which takes the groups in a random order.
        name: the dataset's, for messages.

    Raises:
        DatasetError: there are not as many, a name is unknown, or fewer than two groups are left.
    """
    if isinstance(labelled, int):
        order = sorted(split.training, key=lambda case: (_rank(case.group, seed), case.name))
        if not 0 < labelled <= len(order):
            raise DatasetError(
                f"{labelled} labelled cases are wanted, {name} has {len(order)} to train on", remedy="Ask for fewer"
            )
        chosen = {case.name for case in order[:labelled]}
    else:
        chosen = set(labelled)
        unknown = sorted(chosen - {case.name for case in split.training})
        if unknown:
            raise DatasetError(
                f"{name} has no training case {', '.join(unknown)}", remedy="Held-out cases cannot be trained on"
            )
    training = tuple(case for case in split.training if case.name in chosen)
    if len({case.group for case in training}) < 2:
        raise DatasetError(
            f"the labelled cases of {name} are of fewer than two groups (patients)",
            remedy="Give labels of at least two",
        )
    return Split(training, split.held_out)


def ranked_groups(cases: Sequence[Case], seed: int) -> list[str]:
    """The groups of cases in an order that depends on nothing but their names and the seed."""
    return sorted({case.group for case in cases}, key=lambda group: _rank(group, seed))


def _rank(group: str, seed: int) -> str:
    """Order that depends on nothing but the group's name and the seed."""
    return hashlib.sha256(f"{seed}:{group}".encode()).hexdigest()


def _families(datasets: Sequence[Dataset]) -> list[list[Dataset]]:
    """Connected components of datasets under 'has a group name in common'."""
    families: list[list[Dataset]] = []
    for dataset in datasets:
        linked = [f for f in families if any(set(dataset.groups) & set(other.groups) for other in f)]
        merged = [member for f in linked for member in f]
        families = [f for f in families if f not in linked] + [[*merged, dataset]]
    return families
