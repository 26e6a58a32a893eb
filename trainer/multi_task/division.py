"""Who is tested on, and who has labels: the same patients for every arm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from MultiTaskSegLib.runtime.errors import DatasetError
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
    """

    datasets: Mapping[str, Dataset]
    tested: Mapping[str, frozenset[str]]

    @property
    def names(self) -> list[str]:
        """Of the datasets."""
        return list(self.datasets)

    def labelled(self, name: str, count: int, seed: int) -> list[str]:
        """Groups of a dataset with labels; those of a smaller number are among those of a larger one.

        Args:
            name: of the dataset.
            count: how many, as far as there are; `ALL`: all that are not tested on.
            seed: of the draw.
        """
        dataset = self.datasets[name]
        free = [group for group in ranked_groups(dataset.cases, seed) if group not in self.tested[name]]
        return sorted(free if count == ALL else free[:count])

    def hidden(self, name: str, count: int, seed: int) -> list[str]:
        """Groups of a dataset that a training must not see: those tested on, and those without labels."""
        return sorted(set(self.datasets[name].groups) - set(self.labelled(name, count, seed)))

    def largest_other(self, name: str) -> str:
        """The dataset with most groups to train on among those that show no patient of this one.

        Raises:
            DatasetError: every other dataset shows some of its patients.
        """
        others = self.strangers(name)
        return max(others, key=lambda other: (len(self.labelled(other, ALL, 0)), other))

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


def divide(datasets: Sequence[Dataset], settings: MultiTaskSettings) -> Division:
    """Hold out the groups that are tested on.

    Raises:
        DatasetError: a dataset has too few groups to test on some and train on three others.
    """
    by_name = {dataset.name: dataset for dataset in datasets}
    # The seed does not follow those of the runs: every seed is measured on the same patients.
    split = split_datasets(
        datasets, fraction=settings.test_fraction, minimum_groups=settings.minimum_test_groups, seed=0
    )
    tested = {name: frozenset(case.group for case in split[name].held_out) for name in by_name}
    for name, dataset in by_name.items():
        if not tested[name] or len(set(dataset.groups) - tested[name]) < FEWEST_LABELLED:
            raise DatasetError(
                f"dataset {name} has {len(dataset.groups)} groups: too few to test on some and train on "
                f"{FEWEST_LABELLED} others",
                file=dataset.directory,
                remedy="Leave it out, or name the groups (patients) in cases.csv",
            )
    return Division(by_name, tested)
