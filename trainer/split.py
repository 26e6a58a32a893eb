"""Split datasets into training and held-out cases by group, never by case."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from trainer.case import Case
from trainer.dataset import Dataset


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
