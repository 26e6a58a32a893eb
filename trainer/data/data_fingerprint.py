"""Fingerprints of cases and datasets: the same wherever the files lie, another one when what they hold changes."""

from __future__ import annotations

from typing import Any

from trainer.data.dataset import Dataset
from trainer.identity.file_content import FileContents
from trainer.identity.fingerprint import fingerprint
from trainer.layout.case import FILES, Case
from trainer.layout.region_labels import RegionLabels


def case_content(case: Case, contents: FileContents) -> list[str]:
    """What a case's voxels and labels depend on, as plain values: content of the files and how they are read.

    Raises:
        InputError: a file cannot be read.
    """
    hashes = contents.of_all(case.files)
    return hashes if case.reader == FILES else [*hashes, repr(case.reader)]


def dataset_fingerprint(dataset: Dataset, contents: FileContents) -> str:
    """Of everything that an experiment on the dataset depends on: names, groups, labels in their order, files.

    Raises:
        InputError: a file cannot be read.
    """
    about: list[Any] = [dataset.name, dataset.modality, dataset.region, dataset.has_masks]
    if dataset.inputs:
        about.append(["channels", *dataset.inputs])
    if isinstance(dataset.labels, RegionLabels):
        about.append(["regions", *dataset.labels.members.items()])
    cases = [[case.name, case.group, case_content(case, contents)] for case in dataset.cases]
    return fingerprint([*about, list(dataset.labels.items()), cases])
