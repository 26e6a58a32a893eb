"""nnU-Net v2 raw and Medical Segmentation Decathlon (MSD) folders."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from MultiTaskSegLib.runtime.errors import DatasetError
from trainer.layout.case import Case
from trainer.layout.listing import Listing, optional_info, refuse_sequence
from trainer.layout.region_labels import ORDER, read_regions, refuse_ignored

# A dataset.json may also describe these; it is then optional.
OTHER_LAYOUTS = ("images", "train", "train.csv", "train-rle.csv", "masks.csv", "rawdata", "derivatives")
CHANNEL = "_0000"
JOIN = " + "
"""Between the names of channels, where a modality is asked for."""
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
            DatasetError: ``dataset.json`` is missing or malformed, a labelled case lacks a channel, or no case is
                complete.
        """
        refuse_sequence(self.name, directory, sequence)
        info = read_info(directory)
        channels = read_channels(info, directory)
        labels = read_labels(info, directory)
        groups = read_groups(directory)
        further = list_further(directory, info, split, len(channels))
        cases = tuple(
            Case(name, image, label, groups.get(name) or name, further=_all_of(name, further, channels, image))
            for name, (image, label) in list_pairs(directory, info, split).items()
            if image is not None and label is not None
        )
        if not cases:
            raise DatasetError(
                f"no image in {split} has a label",
                file=directory,
                remedy="Run 'python -m trainer verify' on the folder",
            )
        inputs = channels if len(channels) > 1 else ()
        return Listing(JOIN.join(channels), labels, cases, info, inputs=inputs)


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


def list_further(
    directory: Path, info: dict[str, Any], split: str, channels: int
) -> dict[str, tuple[Path | None, ...]]:
    """Files of the second and later channels by case name; None where one is missing. Empty for a single channel."""
    if channels < 2:
        return {}
    ending = str(info.get("file_ending", ".nii.gz"))
    found = [_files_by_case(directory / split, f"_{number:04d}{ending}") for number in range(1, channels)]
    names = sorted({*list_pairs(directory, info, split), *(name for files in found for name in files)})
    return {name: tuple(files.get(name) for files in found) for name in names}


def _all_of(
    name: str, further: dict[str, tuple[Path | None, ...]], channels: tuple[str, ...], image: Path
) -> tuple[Path, ...]:
    paths = further.get(name, ())
    missing = [channel for channel, path in zip(channels[1:], paths, strict=False) if path is None]
    if missing:
        raise DatasetError(
            f"the case {name} lacks the channel {' and '.join(missing)}",
            file=image,
            remedy="Run 'python -m trainer verify' on the dataset",
        )
    return tuple(path for path in paths if path is not None)


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


def read_channels(info: dict[str, Any], directory: Path) -> tuple[str, ...]:
    """Names of the channels, in the order of their numbers.

    Raises:
        DatasetError: there is none, their numbers are not 0, 1, 2 ..., two have the same name, or one file is to hold
            several.
    """
    channels = info.get("channel_names", info.get("modality"))
    if not isinstance(channels, dict) or len(channels) < 2:
        return (read_modality(info, directory),)
    numbers = {str(key): str(name) for key, name in channels.items()}
    names = tuple(numbers.get(str(number), "") for number in range(len(numbers)))
    if not all(names) or len(set(names)) < len(names):
        raise DatasetError(
            "the channels in dataset.json are not numbered 0, 1, 2 ..., or two have the same name",
            file=directory / "dataset.json",
            remedy="Give each number in 'channel_names' a name of its own",
        )
    # Version 1 of nnU-Net names channels as MSD does, and has a file for each.
    if "file_ending" not in info and not _files_by_case(directory / "imagesTr", "_0001.nii.gz"):
        raise DatasetError(
            "the files of an MSD dataset with several channels are not supported: one file holds all of them",
            file=directory,
            remedy="Write each channel to a file of its own, CASE_0000, CASE_0001 ... (nnU-Net), and name them in "
            "'channel_names'",
        )
    return names


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


def read_labels(info: dict[str, Any], directory: Path) -> Mapping[int, str]:
    """Label names by value without the background. nnU-Net v2 maps names to values, MSD values to names.

    Where a label is a list of values, all of them are regions.

    Raises:
        DatasetError: there are no labels, two have the same name or value, or their values are not 1 to 255.
    """
    table = info.get("labels")
    if not isinstance(table, dict):
        raise DatasetError("dataset.json has no 'labels'", file=directory, remedy="Name the labels")
    if any(isinstance(value, list) for value in table.values()):
        return read_regions(table, info.get(ORDER), directory / "dataset.json")
    is_by_value = all(str(key).isdigit() for key in table)  # MSD
    try:
        pairs = [(_whole(key), str(name)) if is_by_value else (_whole(name), str(key)) for key, name in table.items()]
    except (TypeError, ValueError):
        raise DatasetError(
            "a label value in dataset.json is not an integer",
            file=directory,
            remedy="Give every label one integer value, or a list of them (regions)",
        ) from None
    named = dict(pairs)
    if len(named) < len(pairs):
        raise DatasetError("two labels in dataset.json have the same value", file=directory, remedy="Renumber them")
    if len(set(named.values())) < len(named):
        raise DatasetError("two labels in dataset.json have the same name", file=directory, remedy="Rename one")
    named = {value: name for value, name in named.items() if value != 0 and name not in BACKGROUND_NAMES}
    refuse_ignored(named.values(), directory / "dataset.json")
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
