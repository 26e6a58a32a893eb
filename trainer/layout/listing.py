"""What a layout finds in a folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from MultiTaskSegLib.runtime.errors import DatasetError
from trainer.layout.case import Case


@dataclass(frozen=True)
class Listing:
    """Cases and labels of one folder.

    Attributes:
        modality: for example ``T1`` or ``CT``.
        labels: label name by value, without the background; or `RegionLabels`.
        cases: in any order.
        info: further description; ``anatomy``, ``description`` and ``licence`` are used.
        has_masks: whether labels are drawn on the images; False where each image as a whole has a class.
        inputs: names of the channels of an image, in order; none for a single one.
    """

    modality: str
    labels: Mapping[int, str]
    cases: tuple[Case, ...]
    info: dict[str, Any] = field(default_factory=dict)
    has_masks: bool = True
    inputs: tuple[str, ...] = ()


class Layout(Protocol):
    """One way to lay out a dataset on disk. Opens no image."""

    @property
    def name(self) -> str:
        """What to call it in messages."""

    def recognises(self, directory: Path) -> bool:
        """Whether the folder is laid out this way."""

    def read(self, directory: Path, split: str, sequence: str) -> Listing:
        """List the folder.

        Args:
            directory: the dataset's folder.
            split: ``imagesTr`` or ``imagesTs``; layouts without a test split have no cases in the latter.
            sequence: which of several scans of a patient to read (``T1``, ``FLAIR``); empty for the layout's choice.

        Raises:
            DatasetError: something is missing or contradicts itself.
        """


def optional_info(directory: Path) -> dict[str, Any]:
    """``dataset.json`` of a folder that can do without; empty where there is none.

    Raises:
        DatasetError: the file is not a JSON object.
    """
    path = directory / "dataset.json"
    if not path.is_file():
        return {}
    try:
        info = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DatasetError(f"dataset.json cannot be read ({error})", file=path, remedy="Correct the file") from error
    if not isinstance(info, dict):
        raise DatasetError("dataset.json is not an object", file=path, remedy="Correct the file")
    return info


def refuse_sequence(layout: str, directory: Path, sequence: str) -> None:
    """For layouts with one image per case.

    Raises:
        DatasetError: a sequence is asked for.
    """
    if sequence:
        raise DatasetError(
            f"there is no choice of sequence {sequence!r} in the layout {layout!r}",
            file=directory,
            remedy="Leave the word after '::' out, or correct it",
        )
