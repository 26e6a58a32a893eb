"""Split datasets into training and held-out cases by group, never by case."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from MultiTaskSegLib.runtime.errors import DatasetError
from trainer.data.dataset import Dataset
from trainer.layout.case import Case


@dataclass(frozen=True)
class Split:
    """Training and held-out cases of one dataset."""

    training: tuple[Case, ...]
    held_out: tuple[Case, ...]


def split_datasets(
    datasets: Sequence[Dataset],
    *,
    fraction: float,
    minimum_groups: int,
    seed: int,
    seen: Callable[[str], bool] = lambda group: False,
) -> dict[str, Split]:
    """Hold out a share of the groups of every dataset; a group is on the same side in all of them.

    Datasets with common group names may show the same patients (several sequences of one study). Each dataset holds
    out its own share, shared groups count for all that have them: at least ``minimum_groups`` groups, but never more
    than a third.

    Args:
        datasets: of different names; their order does not count.
        fraction: share of each dataset's groups to hold out.
        minimum_groups: of each dataset, as far as a third of its groups allows.
        seed: of the order in which groups are taken.
        seen: whether a group was trained on before, by a model that the training starts from; it is never held out.

    Returns:
        The split by dataset name. It holds out fewer groups, or none, where too few are unseen.
    """
    held_out: set[str] = set()
    served: list[set[str]] = []
    # The smallest dataset has the least choice: what it holds out counts for the others that show the same patients.
    for dataset in sorted(datasets, key=lambda d: (len(d.groups), d.name)):
        groups, wanted = set(dataset.groups), wanted_groups(dataset, fraction, minimum_groups)
        sharing = [other for other in served if other & groups]
        unseen = [group for group in ranked_groups(dataset.cases, seed) if not seen(group)]
        # Groups that a dataset shares which has held out its part already come last: it needs no more.
        for group in sorted(unseen, key=lambda g: any(g in other for other in sharing)):
            if len(held_out & groups) >= wanted:
                break
            if all(_can_spare(other, held_out | {group}) for other in (*sharing, groups)):
                held_out.add(group)
        served.append(groups)
    return {
        dataset.name: Split(
            tuple(case for case in dataset.cases if case.group not in held_out),
            tuple(case for case in dataset.cases if case.group in held_out),
        )
        for dataset in datasets
    }


def wanted_groups(dataset: Dataset, fraction: float, minimum_groups: int) -> int:
    """How many groups of a dataset are to be held out."""
    count = len(dataset.groups)
    return min(max(minimum_groups, round(fraction * count)), count // 3)


def shortfalls(
    datasets: Sequence[Dataset], splits: Mapping[str, Split], fraction: float, minimum_groups: int
) -> list[str]:
    """Notes on datasets that hold out fewer groups than wanted, because a model to start from has seen the others.

    Raises:
        DatasetError: it has seen all of them, nothing could be measured.
    """
    notes = []
    for dataset in datasets:
        found = len({case.group for case in splits[dataset.name].held_out})
        wanted = wanted_groups(dataset, fraction, minimum_groups)
        if wanted and not found:
            raise DatasetError(
                f"no group of dataset {dataset.name} can be held out: the model to start from has seen them",
                file=dataset.directory,
                remedy="Use the split_seed of the model to start from, or give patients that it does not know (equal "
                "names count as the same patient: if they are others, name the groups in cases.csv)",
            )
        if found < wanted:
            notes.append(
                f"of dataset {dataset.name} {found} groups are held out, not {wanted}: the model to start from has "
                "seen the others"
            )
    return notes


def _can_spare(groups: set[str], held_out: set[str]) -> bool:
    """Whether at least two groups are left to train on, which a spectral reference needs."""
    return len(groups - held_out) >= min(2, len(groups))


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
