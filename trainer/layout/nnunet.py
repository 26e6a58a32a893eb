"""nnU-Net v2 raw and Medical Segmentation Decathlon (MSD) folders."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from MultiTaskSegLib.runtime.errors import DatasetError
from trainer.layout.case import Case
from trainer.layout.listing import Listing, optional_info, refuse_sequence

# A dataset.json may also describe these; it is then optional.
OTHER_LAYOUTS = ("images", "train", "train.csv", "train-rle.csv", "masks.csv", "rawdata", "derivatives")
CHANNEL = "_0000"
IGNORE = "ignore"
BACKGROUND_NAMES = ("background", "Background", "0")


class NnunetLayout:
    """``dataset.json`` beside ``imagesTr`` and ``labelsTr``; groups in ``cases.csv``."""

    name = "nnU-Net v2 raw or MSD"

    def recognises(self, directory: Path) -> bool:
        """Whether there is a ``dataset.json`` that does not describe one of the other layouts."""
        own = (directory / "imagesTr").is_dir() or not any((directory / name).exists() for name in OTHER_LAYOUTS)
        return (directory / "dataset.json").is_file() and own

    def read(self, directory: Path, split: str, sequence: str) -> Listing:
        """List complete cases.

        Raises:
            DatasetError: ``dataset.json`` is missing or malformed, there is more than one channel, or no case is
                complete.
        """
        refuse_sequence(self.name, directory, sequence)
        info = read_info(directory)
        modality = read_modality(info, directory)
        labels = read_labels(info, directory)
        groups = read_groups(directory)
        cases = tuple(
            Case(name, image, label, groups.get(name) or name)
            for name, (image, label) in list_pairs(directory, info, split).items()
            if image is not None and label is not None
        )
        if not cases:
            raise DatasetError(
                f"no image in {split} has a label",
                file=directory,
                remedy="Run 'python -m trainer verify' on the folder",
            )
        return Listing(modality, labels, cases, info)


def list_pairs(directory: Path, info: dict[str, Any], split: str) -> dict[str, tuple[Path | None, Path | None]]:
    """Image and label file by case name; None where one of them is missing."""
    ending = str(info.get("file_ending", ".nii.gz"))
    labels = _files_by_case(directory / split.replace("images", "labels"), ending)
    if ending == ".nrrd":  # Slicer calls its segmentations so
        labels = {name.removesuffix(".seg"): path for name, path in labels.items()}
    images = _files_by_case(directory / split, ending)
    # nnU-Net puts the number of the channel behind the name; version 1 names no ending. MSD has no such number.
    if "file_ending" in info or (labels and not images.keys() & labels.keys()):
        images = _files_by_case(directory / split, f"{CHANNEL}{ending}")
    return {name: (images.get(name), labels.get(name)) for name in sorted(images.keys() | labels.keys())}


def read_groups(directory: Path) -> dict[str, str]:
    """Group by case name from ``cases.csv``; empty when there is none.

    Raises:
        DatasetError: as `read_group_rows`.
    """
    return dict(read_group_rows(directory))


def read_group_rows(directory: Path) -> list[tuple[str, str]]:
    """Case and group of every row of ``cases.csv``; none when there is no such file.

    Blanks around a name are no part of it: "P1" and "P1 " are one patient, who else would be on both sides of a split.

    Raises:
        DatasetError: the file cannot be read or lacks the columns ``case`` and ``group``.
    """
    path = directory / "cases.csv"
    if not path.is_file():
        return []
    try:
        # Spreadsheets begin UTF-8 files with a mark.
        with path.open(newline="", encoding="utf-8-sig") as stream:
            rows = csv.DictReader(stream)
            if not {"case", "group"} <= set(rows.fieldnames or ()):
                raise DatasetError("cases.csv needs the columns 'case' and 'group'", file=path, remedy="Add them")
            return [((row["case"] or "").strip(), (row["group"] or "").strip()) for row in rows]
    except (OSError, ValueError, csv.Error) as error:
        raise DatasetError(f"cases.csv cannot be read ({error})", file=path, remedy="Save it as UTF-8 text") from error


def _files_by_case(folder: Path, suffix: str) -> dict[str, Path]:
    # macOS leaves "._name" companions in copied folders (MSD archives contain them): they are not images.
    files = folder.glob(f"*{suffix}") if folder.is_dir() else []
    return {p.name[: -len(suffix)]: p for p in files if not p.name.startswith("._")}


def read_info(directory: Path) -> dict[str, Any]:
    """The whole ``dataset.json``.

    Raises:
        DatasetError: the file is missing or not a JSON object.
    """
    path = directory / "dataset.json"
    if not path.is_file():
        raise DatasetError("dataset.json is missing", file=path, remedy="Give an nnU-Net v2 raw or MSD dataset folder")
    return optional_info(directory)


def read_modality(info: dict[str, Any], directory: Path) -> str:
    """Name of the only channel.

    Raises:
        DatasetError: there is no channel or more than one.
    """
    channels = info.get("channel_names", info.get("modality"))
    if not isinstance(channels, dict) or len(channels) != 1:
        raise DatasetError(
            "dataset.json must name exactly one channel in 'channel_names' (nnU-Net) or 'modality' (MSD)",
            file=directory,
            remedy="Keep one channel per dataset",
        )
    return str(next(iter(channels.values())))


def read_labels(info: dict[str, Any], directory: Path) -> dict[int, str]:
    """Label names by value without the background. nnU-Net v2 maps names to values, MSD values to names.

    Raises:
        DatasetError: there are no labels, two have the same name or value, or their values are not 1 to 255.
    """
    table = info.get("labels")
    if not isinstance(table, dict):
        raise DatasetError("dataset.json has no 'labels'", file=directory, remedy="Name the labels")
    is_by_value = all(str(key).isdigit() for key in table)  # MSD
    try:
        pairs = [(_whole(key), str(name)) if is_by_value else (_whole(name), str(key)) for key, name in table.items()]
    except (TypeError, ValueError):
        raise DatasetError(
            "a label value in dataset.json is not an integer (regions are not supported)",
            file=directory,
            remedy="Give every label one integer value",
        ) from None
    named = dict(pairs)
    if len(named) < len(pairs):
        raise DatasetError("two labels in dataset.json have the same value", file=directory, remedy="Renumber them")
    if len(set(named.values())) < len(named):
        raise DatasetError("two labels in dataset.json have the same name", file=directory, remedy="Rename one")
    named = {value: name for value, name in named.items() if value != 0 and name not in BACKGROUND_NAMES}
    if any(name.lower() == IGNORE for name in named.values()):
        raise DatasetError(
            f"the label '{IGNORE}' of nnU-Net, for voxels that do not count, is not supported",
            file=directory / "dataset.json",
            remedy=f"Remove '{IGNORE}' from 'labels' and give its voxels a label, or leave those cases out",
        )
    if not named or any(not 0 < value < 256 for value in named):
        raise DatasetError("label values must be 1 to 255", file=directory, remedy="Renumber the labels")
    return dict(sorted(named.items()))


def _whole(value: object) -> int:
    """A label value; JSON allows 1, 1.0 and "1" but also 1.5, true and lists.

    Raises:
        ValueError: the value is not a whole number.
    """
    if isinstance(value, bool) or not str(value).removesuffix(".0").isdigit():
        raise ValueError
    return int(str(value).removesuffix(".0"))
