"""What an nnU-Net model segments: labels that exclude each other, or regions that may overlap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from MultiTaskSegLib.runtime.nnunet.plan_value import PlanValues

BACKGROUND, IGNORE = "background", "ignore"
MAX_LABEL = 65_535
MAX_STRUCTURES = 1024


@dataclass(frozen=True)
class Structure:
    """One thing that is segmented.

    Attributes:
        name: as the dataset calls it.
        values: label values that it consists of: one, or several of a region.
        painted: value that it gets in a label map.
    """

    name: str
    values: tuple[int, ...]
    painted: int


@dataclass(frozen=True)
class Structures:
    """All structures of a model, in the order of the network's outputs.

    Attributes:
        entries: without the background.
        are_regions: each has a probability of its own (sigmoid), and in a label map later ones are painted over earlier
            ones; otherwise output 0 is the background and one label wins (softmax).
        channels: names of the input channels, in the network's order.
    """

    entries: tuple[Structure, ...]
    are_regions: bool
    channels: tuple[str, ...]

    @property
    def outputs(self) -> int:
        """Channels of the network's last layer."""
        return len(self.entries) + (0 if self.are_regions else 1)


def structures_of(dataset: PlanValues) -> Structures:
    """The structures that a dataset.json declares.

    Raises:
        ModelError: its labels are not what nnU-Net allows.
    """
    declared = dataset.part("labels")
    if declared.values.get(BACKGROUND) != 0 or isinstance(declared.values.get(BACKGROUND), bool):
        raise declared.refusal("has no background of 0")
    values = {name: _values(declared, name) for name in declared.values if name not in (BACKGROUND, IGNORE)}
    values = {name: found for name, found in values.items() if set(found) != {0}}
    if not 0 < len(values) <= MAX_STRUCTURES:
        raise declared.refusal("declares no structure, or too many")
    are_regions = any(len(found) > 1 for found in values.values())
    painted = _painted(dataset, values) if are_regions else [found[0] for found in values.values()]
    entries = [Structure(n, v, p) for (n, v), p in zip(values.items(), painted, strict=True)]
    if not are_regions:
        entries.sort(key=lambda entry: entry.painted)
        if [entry.painted for entry in entries] != list(range(1, len(entries) + 1)):
            # The network's outputs are counted, so nnU-Net itself would give them other values.
            raise declared.refusal("does not number its structures 1, 2, 3 and so on")
    return Structures(tuple(entries), are_regions, _channels(dataset))


def _values(declared: PlanValues, name: str) -> tuple[int, ...]:
    if isinstance(declared.values[name], list):
        return declared.integers(name, low=0, high=MAX_LABEL)
    return (declared.integer(name, low=0, high=MAX_LABEL),)


def _painted(dataset: PlanValues, values: dict[str, tuple[int, ...]]) -> tuple[int, ...]:
    order = dataset.integers("regions_class_order", high=MAX_LABEL)
    if len(order) != len(values):
        raise dataset.refusal("does not have one value for each region", "regions_class_order")
    return order


def _channels(dataset: PlanValues) -> tuple[str, ...]:
    key = "channel_names" if "channel_names" in dataset.values else "modality"
    names: dict[str, Any] = dict(dataset.part(key).values)
    numbers = [str(number) for number in range(len(names))]
    if not names or sorted(names, key=str) != sorted(numbers) or not all(isinstance(n, str) for n in names.values()):
        raise dataset.refusal("does not number its channels from 0", key)
    return tuple(str(names[number]) for number in numbers)
