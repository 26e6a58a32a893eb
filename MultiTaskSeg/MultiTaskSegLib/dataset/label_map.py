"""Structures as one label map, with the values that a dataset has for them."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.dataset.dataset_file import DatasetFile
from MultiTaskSegLib.dataset.training_case import Structure
from MultiTaskSegLib.runtime.errors import DatasetError


def label_map(structures: Mapping[str, Structure], dataset: DatasetFile, folder: Path) -> NDArray[np.uint8]:
    """uint8 ``(Z, Y, X)``: the value of each voxel.

    Args:
        structures: by name of the label, all on one grid.
        dataset: has the values.
        folder: of the dataset, for messages.

    Raises:
        DatasetError: structures overlap where labels do not, or as no value of the dataset's regions says it.
    """
    return _of_regions(structures, dataset, folder) if dataset.are_regions else _painted(structures, dataset, folder)


def _painted(structures: Mapping[str, Structure], dataset: DatasetFile, folder: Path) -> NDArray[np.uint8]:
    labels = np.zeros(next(iter(structures.values())).mask.shape, np.uint8)
    taken = 0
    for name, structure in structures.items():
        labels[structure.mask] = dataset.labels[name][0]
        taken += int(np.count_nonzero(structure.mask))
    if np.count_nonzero(labels) != taken:
        pairs = combinations(structures.items(), 2)
        names = [f"{one} and {other}" for (one, a), (other, b) in pairs if np.logical_and(a.mask, b.mask).any()]
        raise DatasetError(
            f"segments overlap, which the labels of this dataset cannot: {'; '.join(names)}",
            file=folder,
            remedy="Give each voxel to one of them, for example with the effect Logical operators",
        )
    return labels


def _of_regions(structures: Mapping[str, Structure], dataset: DatasetFile, folder: Path) -> NDArray[np.uint8]:
    """Each voxel gets the value that belongs to exactly those regions in which it lies."""
    names = list(structures)
    values = sorted({value for own in dataset.labels.values() for value in own})
    by_membership = {tuple(value in dataset.labels[name] for name in names): value for value in values}
    by_membership[(False,) * len(names)] = 0
    code = np.zeros(next(iter(structures.values())).mask.shape, np.uint64)
    for bit, structure in enumerate(structures.values()):
        code |= structure.mask.astype(np.uint64) << np.uint64(bit)
    labels = np.zeros(code.shape, np.uint8)
    for one in np.unique(code):
        membership = tuple(bool(int(one) >> bit & 1) for bit in range(len(names)))
        if membership not in by_membership:
            inside = ", ".join(name for name, is_in in zip(names, membership, strict=True) if is_in)
            outside = ", ".join(name for name, is_in in zip(names, membership, strict=True) if not is_in)
            raise DatasetError(
                f"{int(np.count_nonzero(code == one))} voxels lie in {inside} and not in {outside or 'others'}, for"
                " which the dataset has no value",
                file=folder,
                remedy="Correct the segments there: regions lie within each other",
            )
        labels[code == one] = by_membership[membership]
    return labels
