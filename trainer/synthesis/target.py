"""Which values of a label map are merged into which label that a network is to learn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from MultiTaskSegLib.runtime.errors import DatasetError
from trainer.synthesis.anatomy import TISSUE

ENVELOPE = "envelope"

TARGETS: dict[str, dict[str, tuple[int, ...] | str]] = {
    "brain": {"brain": ENVELOPE},
    "tissues": {
        "white_matter": (2, 41, 25, 57),
        "cortex": (3, 42, 17, 18, 53, 54),
        "deep_grey_matter": (10, 11, 12, 13, 26, 28, 49, 50, 51, 52, 58, 60, 136, 137, 163, 164),
        "ventricles": (4, 5, 14, 15, 43, 44, 72),
        "cerebellum": (7, 8, 46, 47),
        "brain_stem": (16,),
        "csf": (24,),
    },
    "structures": {
        "cerebral_white_matter": (2, 41, 25, 57),
        "cerebral_cortex": (3, 42),
        "lateral_ventricle": (4, 43),
        "inferior_lateral_ventricle": (5, 44),
        "cerebellar_white_matter": (7, 46),
        "cerebellar_cortex": (8, 47),
        "thalamus": (10, 49),
        "caudate": (11, 50),
        "putamen": (12, 51),
        "pallidum": (13, 52),
        "third_ventricle": (14,),
        "fourth_ventricle": (15,),
        "brain_stem": (16,),
        "hippocampus": (17, 53),
        "amygdala": (18, 54),
        "accumbens": (26, 58),
        "ventral_dc": (28, 60),
    },
}
"""By target and label, FreeSurfer's numbers, or `ENVELOPE`: the brain with its furrows, as skull stripping leaves."""


@dataclass(frozen=True)
class Target:
    """Labels to learn.

    Attributes:
        name: of the table.
        labels: of labels 1, 2, ...: name, and FreeSurfer's numbers that are merged into it; of the envelope none.
    """

    name: str
    labels: tuple[tuple[str, tuple[int, ...]], ...]

    @property
    def names(self) -> dict[int, str]:
        """Label name by value."""
        return {value: name for value, (name, _) in enumerate(self.labels, start=1)}

    @property
    def is_envelope(self) -> bool:
        """Whether the one label is the brain as skull stripping leaves it."""
        return any(not numbers for _, numbers in self.labels)


def read_target(word: str, own: Mapping[str, Any], directory: Path) -> Target:
    """The target of a name.

    Args:
        word: its name.
        own: further tables, from the key ``targets`` of the folder's ``labels.json``; they come before `TARGETS`.
        directory: for messages.

    Raises:
        DatasetError: no target has the name, its table is malformed, or a number is not known or in two labels.
    """
    tables: dict[str, Any] = {**TARGETS, **own}
    if word not in tables:
        raise DatasetError(
            f"label maps need to know what is to be learnt from them, {word!r} is no target" if word else
            "label maps need to know what is to be learnt from them",
            file=directory,
            remedy=f"Put one of {', '.join(tables)} behind the folder, as in {directory.name}::{next(iter(tables))}",
        )  # fmt: skip
    table = tables[word]
    if not isinstance(table, dict) or not table or not all(_is_entry(numbers) for numbers in table.values()):
        raise DatasetError(
            f"the target {word!r} is malformed",
            file=directory / "labels.json",
            remedy=f'Give label names with lists of FreeSurfer numbers each, or "{ENVELOPE}"',
        )
    pairs = tuple((str(name), () if numbers == ENVELOPE else tuple(numbers)) for name, numbers in table.items())
    target = Target(word, pairs)
    _require_known_numbers(target, directory)
    if target.is_envelope and len(pairs) > 1:
        raise DatasetError(
            f"the target {word!r} has an envelope beside other labels",
            file=directory / "labels.json",
            remedy="An envelope holds everything of the brain: give it alone",
        )
    return target


def _require_known_numbers(target: Target, directory: Path) -> None:
    """A number that means nothing would never be seen, and of two labels with one number the later would take it."""
    times = Counter(number for _, numbers in target.labels for number in set(numbers))
    for numbers, what in (
        (times.keys() - TISSUE.keys(), "are not known"),
        ({number for number, count in times.items() if count > 1}, "belong to two labels"),
    ):
        if numbers:
            raise DatasetError(
                f"FreeSurfer's numbers {', '.join(map(str, sorted(numbers)))} of the target {target.name!r} {what}",
                file=directory / "labels.json",
                remedy="Correct the target",
            )


def _is_entry(numbers: Any) -> bool:
    if isinstance(numbers, str):
        return numbers == ENVELOPE
    return isinstance(numbers, (list, tuple)) and bool(numbers) and all(type(n) is int for n in numbers)
