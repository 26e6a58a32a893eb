"""Labels that may overlap: each is a region, a set of values of the label map (nnU-Net's lists in ``dataset.json``)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.errors import DatasetError

ORDER = "regions_class_order"
IGNORE = "ignore"
"""Label of nnU-Net for voxels that do not count."""


class RegionLabels(Mapping[int, str]):
    """Names of regions by the value that each is painted with, in the order in which they are painted.

    Args:
        names: by value.
        members: by value, the values of the dataset's label maps that make the region.
    """

    def __init__(self, names: Mapping[int, str], members: Mapping[int, tuple[int, ...]]) -> None:
        self._names, self.members = dict(names), dict(members)

    def __getitem__(self, value: int) -> str:
        """The region's name."""
        return self._names[value]

    def __iter__(self) -> Iterator[int]:
        """Values, in the order of painting."""
        return iter(self._names)

    def __len__(self) -> int:
        """How many regions there are."""
        return len(self._names)


def declared_values(labels: Collection[int]) -> frozenset[int]:
    """Values that label maps of a dataset may hold besides 0."""
    if isinstance(labels, RegionLabels):
        return frozenset(value for members in labels.members.values() for value in members)
    return frozenset(labels)


def members_of(labels: Mapping[int, str], value: int) -> tuple[int, ...]:
    """Values of label maps that show a label: its own, or those that make a region."""
    return labels.members[value] if isinstance(labels, RegionLabels) else (value,)


def region_masks(stored: NDArray[np.integer], labels: Mapping[int, str]) -> NDArray[np.bool_]:
    """Each label's voxels ``(R, Z, Y, X)``, in the labels' order, of the values ``(Z, Y, X)`` of a label map."""
    return np.stack([np.isin(stored, members_of(labels, value)) for value in labels])


def read_regions(table: Mapping[str, Any], order: Any, file: Any) -> RegionLabels:
    """Regions from ``dataset.json``.

    Args:
        table: ``labels``: names to a value or a list of values; the background is 0.
        order: ``regions_class_order``: for each region the value that it is painted with; later ones cover earlier
            ones.
        file: for messages.

    Raises:
        DatasetError: there is no such order, it has another length, a value is none of 1 to 255, or some voxels are not
            to count.
    """
    refuse_ignored(table, file)
    sets = {name: _values(name, value, file) for name, value in table.items()}
    sets = {name: values for name, values in sets.items() if values != (0,)}
    painted = list(order) if isinstance(order, list) else []
    if len(painted) != len(sets) or not all(_is_label(value) for value in painted) or len(set(painted)) < len(painted):
        raise DatasetError(
            f"dataset.json has regions, and '{ORDER}' does not give each of its {len(sets)} labels a value of its own",
            file=file,
            remedy=f"List in '{ORDER}' for each label, in their order, the value that it is painted with",
        )
    if not sets:
        raise DatasetError("dataset.json names no label but the background", file=file, remedy="Name the labels")
    names = dict(zip(painted, sets, strict=True))
    return RegionLabels(names, {value: sets[name] for value, name in names.items()})


def refuse_ignored(names: Iterable[str], file: Any) -> None:
    """Refuse a label for voxels that do not count: it would be learnt as if it were a structure.

    Raises:
        DatasetError: one of the labels' names says so.
    """
    if any(str(name).lower() == IGNORE for name in names):
        raise DatasetError(
            f"the label '{IGNORE}' of nnU-Net, for voxels that do not count, is not supported",
            file=file,
            remedy=f"Remove '{IGNORE}' from 'labels' and give its voxels a label, or leave those cases out",
        )


def _values(name: str, value: Any, file: Any) -> tuple[int, ...]:
    values = tuple(value) if isinstance(value, list) else (value,)
    whole = all(isinstance(one, int) and not isinstance(one, bool) for one in values)
    if not values or not whole or not (values == (0,) or all(_is_label(one) for one in values)):
        raise DatasetError(
            f"the region '{name}' in dataset.json is {value!r}, not one or more values from 1 to 255",
            file=file,
            remedy="List the values of the label maps that make it",
        )
    return values


def _is_label(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 256
