"""``dataset.json`` of an nnU-Net v2 folder: read strictly, made for a new folder, and kept up to date."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from MultiTaskSegLib.dataset.folder_lock import LOCK
from MultiTaskSegLib.dataset.training_case import TrainingCase
from MultiTaskSegLib.runtime.errors import DatasetError
from MultiTaskSegLib.runtime.machine.atomic_file import atomic_path

FILE = "dataset.json"
NEW_ENDING = ".nrrd"
"""Of images in new folders: its header holds the geometry to the last digit, that of NIfTI in single precision."""
ENDINGS = (".nrrd", ".nii.gz")
BACKGROUND = "background"
NO_LABELS = (BACKGROUND, "0", "ignore")
"""Names by which nnU-Net and the trainer know what is no structure."""
MOST_LABELS = 255
PATIENTS_KEY = "patients_key"
"""Key of the file: check of the secret key that names of patients were made with."""
FIX_REMEDY = "Correct it as nnU-Net v2 has it, or choose another folder"


@dataclass(frozen=True)
class DatasetFile:
    """What a folder says of itself.

    Attributes:
        channels: names of the channels, in order.
        labels: values by name of the label, without the background: one each, or the several that make a region.
        ending: of image and label files.
        info: the whole file.
    """

    channels: tuple[str, ...]
    labels: Mapping[str, tuple[int, ...]]
    ending: str
    info: Mapping[str, Any]

    @property
    def are_regions(self) -> bool:
        """Whether labels may overlap."""
        return any(len(values) > 1 for values in self.labels.values())


def read_dataset_file(folder: Path) -> DatasetFile | None:
    """What a folder says of itself; None where there is no folder, or an empty one.

    Raises:
        DatasetError: there are files and no ``dataset.json``, or it is none of nnU-Net v2.
    """
    path = folder / FILE
    if not path.is_file():
        if folder.exists() and (not folder.is_dir() or any(entry.name != LOCK for entry in folder.iterdir())):
            raise DatasetError(
                f"the folder has files, but no {FILE}", file=folder, remedy="Choose a dataset, or a new folder"
            )
        return None
    try:
        info = json.loads(path.read_text(encoding="utf-8-sig"))
        channels, labels = info["channel_names"], info["labels"]
        ending = info["file_ending"]
        names = tuple(str(channels[str(number)]) for number in range(len(channels)))
        values = {str(name): _values(value) for name, value in labels.items()}
    except KeyError as error:
        raise DatasetError(f"there is no {error} in {FILE}", file=path, remedy=FIX_REMEDY) from error
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise DatasetError(f"{FILE} cannot be read ({error})", file=path, remedy=FIX_REMEDY) from error
    if ending not in ENDINGS:
        raise DatasetError(
            f"files that end in {ending} are not written here", file=path, remedy=f"Known are {', '.join(ENDINGS)}"
        )
    return DatasetFile(names, {name: own for name, own in values.items() if own != (0,)}, ending, info)


def new_dataset_file(case: TrainingCase, folder: Path) -> DatasetFile:
    """What a new folder is to say of itself, from its first case.

    Raises:
        DatasetError: it is not known what the channels show, there is nothing that is labelled, or a structure has a
            name that no label, or another one, has.
    """
    names = case.channel_names
    if len(names) != len(case.channels) or not all(names):
        raise DatasetError(
            "what the image shows (T1, CT, ultrasound ...) is not known, and a new dataset has to say it",
            file=folder,
            remedy="Name the channels of the image",
        )
    if not case.structures:
        raise DatasetError(f"nothing is labelled in {case.name}", file=folder, remedy="Choose another segmentation")
    _require_label_names(case, folder)
    labels = {structure.name: (value,) for value, structure in enumerate(case.structures, start=1)}
    info: dict[str, Any] = {
        "channel_names": {str(number): name for number, name in enumerate(names)},
        "labels": {BACKGROUND: 0, **{name: values[0] for name, values in labels.items()}},
        "numTraining": 0,
        "file_ending": NEW_ENDING,
    }
    if case.anatomy:
        info["anatomy"] = case.anatomy
    return DatasetFile(tuple(names), labels, NEW_ENDING, info)


def _require_label_names(case: TrainingCase, folder: Path) -> None:
    names = [structure.name for structure in case.structures]
    what = ""
    if odd := [name for name in names if not name.strip() or name.strip().casefold() in NO_LABELS]:
        what = f"a segment of {case.name} is named {odd[0]!r}, which is no name of a structure"
    elif twice := [name for name in names if names.count(name) > 1]:
        what = f"two segments of {case.name} are named {twice[0]}"
    elif len(names) > MOST_LABELS:
        what = f"{case.name} has {len(names)} segments, and a dataset holds {MOST_LABELS}"
    if what:
        raise DatasetError(what, file=folder, remedy="Rename or remove segments")


def write_dataset_file(folder: Path, dataset: DatasetFile, cases: int, patients_key: str = "") -> None:
    """Write ``dataset.json`` with the number of its cases, and the check of the key; whatever else it says stays.

    Raises:
        ResourceError: it cannot be written.
    """
    info = {**dataset.info, "numTraining": cases, **({PATIENTS_KEY: patients_key} if patients_key else {})}
    with atomic_path(folder / FILE) as temporary:
        text = json.dumps(info, indent=2, ensure_ascii=False) + "\n"
        temporary.write_text(text, encoding="utf-8", newline="\n")


def _values(value: Any) -> tuple[int, ...]:
    values = value if isinstance(value, list) else [value]
    if any(isinstance(one, bool) or not isinstance(one, int) or not 0 <= one <= 255 for one in values):
        raise ValueError(f"the label value {value!r} is none of 0 to 255")
    return tuple(values)
