"""Who is tested on, and who has labels: the same patients for every arm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from MultiTaskSegLib.runtime.errors import DatasetError
from trainer.config import TrainingConfig
from trainer.data.dataset import Dataset
from trainer.data.split import ranked_groups, split_datasets
from trainer.multi_task.settings import ALL, MultiTaskSettings

FEWEST_LABELLED = 3


@dataclass(frozen=True)
class Division:
    """Of the groups (patients) of all datasets.

    Attributes:
        datasets: by name.
        tested: groups of each dataset that no training sees; a group that several datasets show is tested in all.
        spared: groups that are neither seen nor tested on.
    """

    datasets: Mapping[str, Dataset]
    tested: Mapping[str, frozenset[str]]
    spared: frozenset[str] = frozenset()

    @property
    def names(self) -> list[str]:
        """Of the datasets."""
        return list(self.datasets)

    def labelled(self, name: str, count: int, seed: int) -> list[str]:
        """Groups of a dataset with labels; those of a smaller number are among those of a larger one.

        Args:
            name: of the dataset.
            count: how many, as far as there are; `ALL`: all that are not tested on, or spared.
            seed: of the draw.
        """
        dataset = self.datasets[name]
        kept = self.tested[name] | self.spared
        free = [group for group in ranked_groups(dataset.cases, seed) if group not in kept]
        return sorted(free if count == ALL else free[:count])

    def hidden(self, name: str, count: int, seed: int) -> list[str]:
        """Groups of a dataset that a training must not see: tested on, spared, and those without labels."""
        return sorted(set(self.datasets[name].groups) - set(self.labelled(name, count, seed)))

    def strangers(self, name: str) -> list[str]:
        """Other datasets that show no patient of this one: what is learnt there is not about the same people.

        Raises:
            DatasetError: there is none.
        """
        own = set(self.datasets[name].groups)
        others = [other for other, dataset in self.datasets.items() if other != name and not own & set(dataset.groups)]
        if not others:
            raise DatasetError(
                f"every other dataset shows patients of {name}, so that nothing can be transferred to it",
                remedy="Add a dataset of other patients (equal group names count as the same patient)",
            )
        return others


def largest_other(divisions: Sequence[Division], name: str) -> str:
    """The dataset with most groups to train on among those that show no patient of this one: one for all folds.

    Args:
        divisions: of the folds.
        name: of the dataset.

    Raises:
        DatasetError: every other dataset shows some of its patients.
    """
    # Not by fold: of two datasets of nearly one size, one has more to train on in this fold and the other in the next.
    others = divisions[0].strangers(name)
    return max(others, key=lambda other: (sum(len(one.labelled(other, ALL, 0)) for one in divisions), other))


def divide(datasets: Sequence[Dataset], settings: MultiTaskSettings, training: TrainingConfig) -> list[Division]:
    """Hold out the groups that are tested on: once, or once in every fold.

    Args:
        datasets: of different names.
        settings: say how many.
        training: settings of ``train``, whose held-out groups may be spared.

    Raises:
        DatasetError: a dataset has too few groups to test on some and train on three others.
    """
    by_name = {dataset.name: dataset for dataset in datasets}
    if not settings.folds:
        # The seed does not follow those of the runs: every seed is measured on the same patients.
        tested = _held_out(datasets, settings.test_fraction, settings.minimum_test_groups, 0)
        found, task, less = [Division(by_name, tested)], "", ""
    else:
        spared: frozenset[str] = frozenset()
        if settings.spare_held_out:
            of_train = _held_out(
                datasets, training.validation_fraction, training.minimum_validation_groups, training.split_seed
            )
            spared = frozenset().union(*of_train.values())
        found = [Division(by_name, tested, spared) for tested in _folds(datasets, spared, settings.folds)]
        task, less = f" in each of {settings.folds} folds", ", ask for fewer folds"
    for division in found:
        _require_enough(division, task, less)
    return found


def _held_out(datasets: Sequence[Dataset], fraction: float, minimum: int, seed: int) -> dict[str, frozenset[str]]:
    split = split_datasets(datasets, fraction=fraction, minimum_groups=minimum, seed=seed)
    return {name: frozenset(case.group for case in own.held_out) for name, own in split.items()}


def _folds(datasets: Sequence[Dataset], spared: frozenset[str], count: int) -> list[dict[str, frozenset[str]]]:
    """Groups of each dataset by fold, nearly as many in each; one that several datasets show is in one fold."""
    shown_in: dict[str, list[str]] = {}
    for dataset in sorted(datasets, key=lambda d: d.name):
        for group in ranked_groups(dataset.cases, 0):
            if group not in spared:
                shown_in.setdefault(group, []).append(dataset.name)
    sizes = {dataset.name: np.zeros(count, dtype=np.int64) for dataset in datasets}
    fold_of: dict[str, int] = {}
    # Whom one dataset alone shows can even out what those whom many show have left uneven, not the other way round.
    for group, names in sorted(shown_in.items(), key=lambda item: (-len(item[1]), item[1])):
        fold_of[group] = int(np.argmin(sum(sizes[name] for name in names)))
        for name in names:
            sizes[name][fold_of[group]] += 1
    return [
        {dataset.name: frozenset(g for g in dataset.groups if fold_of.get(g) == fold) for dataset in datasets}
        for fold in range(count)
    ]


def _require_enough(division: Division, task: str, less: str) -> None:
    for name, dataset in division.datasets.items():
        if not division.tested[name] or len(division.labelled(name, ALL, 0)) < FEWEST_LABELLED:
            spared = len(set(dataset.groups) & division.spared)
            raise DatasetError(
                f"dataset {name} has {len(dataset.groups)} groups"
                f"{f', of which {spared} are spared' if spared else ''}: too few to test on some and train on "
                f"{FEWEST_LABELLED} others{task}",
                file=dataset.directory,
                remedy=f"Leave it out{less}, or name the groups (patients) in cases.csv",
            )
