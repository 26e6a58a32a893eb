"""Folders of label maps without images: ``labels.json`` says what their values are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from MultiTaskSegLib.runtime.errors import DatasetError
from trainer.layout.case import Case
from trainer.layout.listing import Listing
from trainer.synthesis.anatomy import TISSUE
from trainer.synthesis.reader import SyntheticReader
from trainer.synthesis.target import read_target

TABLE = "labels.json"
ENDING = ".nii.gz"
# So many images of each map are drawn once: what is measured and what the check knows.
IMAGES_PER_MAP = 5


class LabelMapLayout:
    """Maps ``*.nii.gz`` beside a ``labels.json`` that gives FreeSurfer's number of each value."""

    name = "label maps (labels.json)"

    def recognises(self, directory: Path) -> bool:
        """Whether there is such a table, and no images."""
        return (directory / TABLE).is_file() and not (directory / "imagesTr").is_dir()

    def read(self, directory: Path, split: str, sequence: str) -> Listing:
        """List the maps, each as several cases; the first image of every map comes first.

        Args:
            directory: the folder.
            split: there are training maps only.
            sequence: name of the target.

        Raises:
            DatasetError: the table is malformed, the target is not known, or there is no map.
        """
        info = _read_table(directory)
        numbers = _numbers(info, directory)
        target = read_target(sequence, info.get("targets", {}), directory)
        maps = sorted(directory.glob(f"*{ENDING}")) if split == "imagesTr" else []
        if not maps:
            raise DatasetError(f"the folder holds no label map {ENDING}", file=directory, remedy="Add label maps")
        cases = tuple(
            Case(f"draw{draw}_{_stem(path)}", path, path, _stem(path), SyntheticReader(target, numbers, draw))
            for draw in range(IMAGES_PER_MAP)
            for path in maps
        )
        said: dict[str, Any] = {
            "anatomy": "head",
            "modality_family": "MR",
            "description": "images drawn from label maps, any contrast",
            "reference": str(info.get("origin", "")),
        }
        said |= {key: info[key] for key in ("licence", "released_weights_may_use") if key in info}
        return Listing("any contrast", target.names, cases, said)


def _read_table(directory: Path) -> dict[str, Any]:
    path = directory / TABLE
    try:
        info = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DatasetError(f"{TABLE} cannot be read ({error})", file=path, remedy="Correct the file") from error
    if not isinstance(info, dict) or not isinstance(info.get("labels"), list):
        raise DatasetError(f"{TABLE} has no list 'labels'", file=path, remedy="Name the values of the maps")
    return info


def _numbers(info: dict[str, Any], directory: Path) -> tuple[int, ...]:
    """FreeSurfer's number of each value 0, 1, ... of the maps.

    Raises:
        DatasetError: an entry is malformed, values are missing or too many, or a number is not known.
    """
    path = directory / TABLE
    try:
        by_value = {int(entry["value"]): int(entry["freesurfer"]) for entry in info["labels"]}
    except (TypeError, KeyError, ValueError) as error:
        raise DatasetError(
            f"an entry of 'labels' has no 'value' or 'freesurfer' ({error})", file=path, remedy="Give both as numbers"
        ) from error
    if sorted(by_value) != list(range(len(by_value))) or not 2 <= len(by_value) <= 128:
        raise DatasetError("the values are not 0, 1, 2, ... up to 127", file=path, remedy="Renumber the maps")
    if unknown := sorted(set(by_value.values()) - set(TISSUE)):
        raise DatasetError(
            f"FreeSurfer's numbers {', '.join(map(str, unknown))} have no tissue",
            file=path,
            remedy=f"Known are {', '.join(map(str, sorted(TISSUE)))}",
        )
    return tuple(by_value[value] for value in range(len(by_value)))


def _stem(path: Path) -> str:
    return path.name.removesuffix(ENDING)
