"""Who is trained on with labels, who without, who chooses and who tests: decided by group, before anything else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from MultiTaskSegLib.runtime.errors import DatasetError
from trainer.data.dataset import Dataset
from trainer.data.image_source import without_labels
from trainer.data.split import Split, choose_labelled, ranked_groups, split_datasets
from trainer.layout.case import Case


@dataclass(frozen=True)
class Division:
    """Cases of the target dataset; no group is in two parts.

    Attributes:
        labelled: trained on with their labels.
        validation: their labels are looked at for choices only.
        unlabelled: the rest; their labels are never looked at.
        test: of groups that no choice ever looks at; the same for every seed and number of labels.
    """

    labelled: tuple[Case, ...]
    validation: tuple[Case, ...]
    unlabelled: tuple[Case, ...]
    test: tuple[Case, ...]


def divide(
    dataset: Dataset,
    labelled: int | None,
    *,
    seed: int,
    split_seed: int,
    test_fraction: float,
    validation_groups: int,
) -> Division:
    """Divide a dataset.

    Args:
        dataset: the target.
        labelled: number of labelled cases; fewer are among more for the same seed. None: all that are left.
        seed: of the choice of validation groups and labelled cases.
        split_seed: of the choice of test groups.
        test_fraction: share of the groups that test.
        validation_groups: number of groups that choose.

    Raises:
        DatasetError: the dataset is too small for that.
    """
    outer = split_datasets([dataset], fraction=test_fraction, minimum_groups=2, seed=split_seed)[dataset.name]
    groups = ranked_groups(outer.training, seed)
    if not outer.held_out or len(groups) < validation_groups + 2:
        raise DatasetError(
            f"dataset {dataset.name} has too few groups (patients): {len(groups)} are left beside those that test, "
            f"{validation_groups} of them are to choose and at least 2 to train on",
            file=dataset.directory,
            remedy="Lower validation_groups or test_fraction, or give more cases",
        )
    chosen = set(groups[:validation_groups])
    validation = tuple(case for case in outer.training if case.group in chosen)
    rest = Split(tuple(case for case in outer.training if case.group not in chosen), outer.held_out)
    wanted = len(rest.training) if labelled is None else labelled
    training = choose_labelled(rest, wanted, seed, dataset.name).training
    names = {case.name for case in training}
    unlabelled = tuple(case for case in rest.training if case.name not in names)
    return Division(training, validation, unlabelled, outer.held_out)


def unseen_images(sources: Sequence[Dataset], division: Division) -> list[Dataset]:
    """Other datasets without labels, and without the groups that choose or test: they may show the same patients."""
    kept_apart = {case.group for case in (*division.validation, *division.test)}
    bare = [without_labels(source) for source in sources]
    return [replace(s, cases=tuple(case for case in s.cases if case.group not in kept_apart)) for s in bare]
