"""Which structure is which label of a dataset: by name, and never by guessing."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from MultiTaskSegLib.dataset.dataset_file import DatasetFile
from MultiTaskSegLib.dataset.training_case import Structure, TrainingCase
from MultiTaskSegLib.runtime.errors import DatasetError

SEPARATORS = re.compile(r"(?<=[^\W_])[\s_-]+(?=[^\W_])")  # between letters or digits


def matched_structures(case: TrainingCase, dataset: DatasetFile, folder: Path) -> dict[str, Structure]:
    """The structure of each label of a dataset, by the label's name.

    The very name goes first. Else upper and lower case do not count, nor whether a blank, an underscore or a hyphen
    separates words; all other signs do, as of ``T2`` and ``T2*``, and a label is passed over for whose name, written
    so, there is another label. Each label needs a structure, which may be empty:
    what is simply missing would be taught to be absent.

    Raises:
        DatasetError: a structure is no label, a label has no structure, or two structures have the same name.
    """
    found: dict[str, Structure] = {}
    unknown = []
    for structure in case.structures:
        label = _label_of(structure, dataset)
        if label is None:
            unknown.append(structure)
        elif label in found:
            raise DatasetError(
                f"two segments of {case.name} are named {label}", file=folder, remedy="Rename or remove one of them"
            )
        else:
            found[label] = structure
    missing = [name for name in dataset.labels if name not in found]
    if unknown or missing:
        raise DatasetError(_conflict(case.name, unknown, missing), file=folder, remedy=_remedy(unknown, missing))
    return found


def require_channels(case: TrainingCase, dataset: DatasetFile, folder: Path) -> None:
    """Refuse an image of other channels than the dataset's, as far as their names are known.

    Raises:
        DatasetError: there are more or fewer, or they are others.
    """
    names = case.channel_names
    if len(case.channels) != len(dataset.channels) or (
        all(names) and len(names) == len(case.channels) and [*map(_plain, names)] != [*map(_plain, dataset.channels)]
    ):
        given = f" ({', '.join(names)})" if names else ""
        raise DatasetError(
            f"{case.name} has {len(case.channels)} channel(s){given}, and the images of the dataset have"
            f" {len(dataset.channels)} ({', '.join(dataset.channels)})",
            file=folder,
            remedy="Choose a dataset of the same channels, or a new folder",
        )


def _label_of(structure: Structure, dataset: DatasetFile) -> str | None:
    names = [name for name in (structure.name, structure.title) if name]
    if exact := [name for name in names if name in dataset.labels]:
        return exact[0]
    for name in names:
        alike = [label for label in dataset.labels if _plain(label) == _plain(name)]
        if len(alike) == 1:
            return alike[0]
    return None


def _conflict(case: str, unknown: Iterable[Structure], missing: Iterable[str]) -> str:
    parts = []
    if strange := ", ".join(structure.title or structure.name for structure in unknown):
        parts.append(f"the dataset has no label for {strange}")
    if names := ", ".join(missing):
        parts.append(f"{case} has no segment for {names}")
    return "; ".join(parts)


def _remedy(unknown: Iterable[Structure], missing: Iterable[str]) -> str:
    advice = ["Choose another folder"]
    if any(True for _ in unknown):
        advice.append("rename or remove the segment")
    if any(True for _ in missing):
        advice.append("add a segment of that name, left empty where the structure is not in the image")
    return ", or ".join(advice)


def _plain(name: str) -> str:
    """A name without what people write in one way or another.

    >>> _plain("Left kidney") == _plain("left_Kidney") == _plain("left-kidney"), _plain("T2*") == _plain("T2")
    (True, False)
    """
    return SEPARATORS.sub(" ", unicodedata.normalize("NFC", name).casefold()).strip()
