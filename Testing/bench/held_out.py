"""Dice of whole held-out images on their own grids, computed alike for every trainer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from trainer.config import TrainingConfig
from trainer.data.data_fingerprint import dataset_fingerprint
from trainer.data.dataset import Dataset, read_dataset
from trainer.data.split import Split, split_datasets
from trainer.identity.file_content import FileContents
from trainer.layout.case import Case
from trainer.metrics.overlap import dice_per_label, mean_defined

Segmenter = Callable[[Case], np.ndarray]


def mean_dice(cases: Sequence[Case], values: Sequence[int], segment: Segmenter) -> float:
    """Mean Dice over cases and labels.

    Args:
        cases: held-out ones.
        values: label values in the label files, without the background.
        segment: label values ``(Z, Y, X)`` for a case, on the grid of its image file.

    Raises:
        ValueError: a segmentation has another shape than the case's label map.
    """
    scores: list[float] = []
    for case in cases:
        truth, _ = case.read_labels()
        found = segment(case)
        if found.shape != truth.shape:
            raise ValueError(f"{case.name} was segmented as {found.shape}, its label map is {truth.shape}")
        scores.extend(dice_per_label(found, truth, tuple(values)).values())
    return mean_defined(scores)


def default_split(dataset: Dataset) -> Split:
    """The split by group that `trainer train` makes of this dataset alone with its default settings."""
    config = TrainingConfig()
    splits = split_datasets(
        [dataset],
        fraction=config.validation_fraction,
        minimum_groups=config.minimum_validation_groups,
        seed=config.split_seed,
    )
    return splits[dataset.name]


def nnunet_splits(split: Split) -> list[dict[str, list[str]]]:
    """The content of nnU-Net's ``splits_final.json``: one fold with the same held-out cases."""
    return [{"train": [case.name for case in split.training], "val": [case.name for case in split.held_out]}]


def link_dataset(dataset: Path, raw: Path) -> None:
    """Show a dataset folder, which may be read-only, in nnU-Net's folder of raw data.

    A link of this name that leads elsewhere, to the data of an earlier run, is replaced.

    Raises:
        FileExistsError: there is something else of this name.
    """
    raw.mkdir(parents=True, exist_ok=True)
    link, target = raw / dataset.name, dataset.resolve()
    if link.is_symlink() and link.resolve() != target:
        link.unlink()
    if not link.is_symlink():
        link.symlink_to(target, target_is_directory=True)


def content_of(directory: Path) -> str:
    """Fingerprint of a dataset folder: what was measured on it before holds for no other content."""
    return dataset_fingerprint(read_dataset(directory), FileContents())
