"""What datasets say about themselves: words that decide what else their images may show, names of patients, terms."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

from MultiTaskSegLib.runtime.errors import DatasetError, MtsError
from trainer.data.dataset import Dataset, read_dataset
from trainer.verification.defect import Defect
from trainer.verification.terms_check import terms_defects


def context_defects(folders: Sequence[Path]) -> list[Defect]:
    """Modalities and regions that are not known, patients that two datasets share by the names of their files, and
    terms that keep a model from being released.

    Folders that cannot be read at all are passed over: why, another check says.
    """
    datasets = [dataset for folder in folders if (dataset := _readable(folder)) is not None]
    defects = [defect for dataset in datasets for defect in _word_defects(dataset)]
    pairs = list(combinations(datasets, 2))
    defects += terms_defects(datasets)
    return defects + [d for a, b in pairs for d in (*_same_name(a, b), *_shared_names(a, b))]


def _readable(folder: Path) -> Dataset | None:
    try:
        return read_dataset(folder, several=True)
    except MtsError:
        return None


def _word_defects(dataset: Dataset) -> list[Defect]:
    defects = []
    for check in (lambda: dataset.channel_families, dataset.require_known_region):
        try:
            check()
        except DatasetError as error:
            defects.append(Defect(dataset.name, "", str(error.file), error.what, error.remedy))
    return defects


def _same_name(first: Dataset, second: Dataset) -> list[Defect]:
    """Folders that cannot be used together."""
    if first.name != second.name:
        return []
    what = f"the dataset has the same name as {first.directory}"
    remedy = "Rename a folder to train on both"
    return [Defect(second.name, "", str(second.directory), what, remedy, is_warning=True)]


def _shared_names(first: Dataset, second: Dataset) -> list[Defect]:
    """Common groups of which at least one dataset says nothing but the name of the file."""
    common = set(first.groups) & set(second.groups)
    by_file = {case.group for dataset in (first, second) for case in dataset.cases if case.group == case.name}
    shared = sorted(common & by_file)
    if not shared:
        return []
    return [
        Defect(
            second.name,
            "",
            str(second.directory),
            f"{len(shared)} cases have names that {first.name} has, too ({', '.join(shared[:3])} ...): they count as "
            "the same patients",
            "If they are other patients, give each its own group in cases.csv",
            is_warning=True,
        )
    ]
