"""Images in one folder, masks of the same names in another."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from MultiTaskSegLib.runtime.errors import DatasetError
from MultiTaskSegLib.runtime.image.image_file import image_ending
from MultiTaskSegLib.runtime.image.volume import Volume
from trainer.layout.case import FILES, Case, CaseReader, LabelMap
from trainer.layout.listing import Listing, optional_info, refuse_sequence
from trainer.layout.nnunet import read_groups, read_labels
from trainer.layout.photograph import PhotographReader

FOREGROUND = "foreground"
MASK_SUFFIXES = ("", "_mask", "-mask", "_segmentation", "_label")
TEST_FOLDERS = {"imagesTr": ("images", "masks"), "imagesTs": ("images_test", "masks_test")}


@dataclass(frozen=True)
class BinaryMaskReader:
    """Any value of the label file but 0 is label 1 (0 and 255 in most PNG masks)."""

    images: CaseReader = FILES

    def files(self, case: Case) -> tuple[Path, ...]:
        """Image and mask."""
        return self.images.files(case)

    def image(self, case: Case) -> Volume:
        """The image."""
        return self.images.image(case)

    def labels(self, case: Case) -> LabelMap:
        """1 where the mask is not 0."""
        stored, ijk_to_lps = FILES.labels(case)
        return (stored != 0).astype(np.int32), ijk_to_lps


class MaskFolderLayout:
    """``DIR/images/NAME.*`` and ``DIR/masks/NAME.*`` (or ``NAME_mask.*``); masks may be empty, none may be missing.

    Without a ``dataset.json`` everything but 0 is one label; with its ``labels`` the values count.
    """

    name = "images/ and masks/"

    def recognises(self, directory: Path) -> bool:
        """Whether both folders are there."""
        return (directory / "images").is_dir() and (directory / "masks").is_dir()

    def read(self, directory: Path, split: str, sequence: str) -> Listing:
        """List the pairs.

        Raises:
            DatasetError: an image has no mask, or there is no image.
        """
        refuse_sequence(self.name, directory, sequence)
        images, masks = (by_stem(directory / name) for name in TEST_FOLDERS[split])
        if not images:
            raise DatasetError("there is no image", file=directory / TEST_FOLDERS[split][0], remedy="Add images")
        info = optional_info(directory)
        labels = read_labels(info, directory) if "labels" in info else {1: FOREGROUND}
        pictures = PhotographReader()
        reader: CaseReader = pictures if "labels" in info else BinaryMaskReader(pictures)
        groups = read_groups(directory)
        cases = tuple(
            Case(stem, path, _mask(stem, path, masks), groups.get(stem) or stem, reader)
            for stem, path in images.items()
        )
        return Listing(str(info.get("modality", "picture")), labels, cases, info)


def by_stem(folder: Path) -> dict[str, Path]:
    """Image files of a folder by name without ending.

    Raises:
        DatasetError: two files have the same name but for the ending.
    """
    found: dict[str, Path] = {}
    entries = sorted(folder.iterdir()) if folder.is_dir() else []
    for path in (entry for entry in entries if image_ending(entry) and not entry.name.startswith(".")):
        stem = path.name[: -len(image_ending(path))]
        if stem in found:
            raise DatasetError(f"two files have the name {stem}", file=folder, remedy="Keep one ending for each name")
        found[stem] = path
    return found


def _mask(stem: str, image: Path, masks: dict[str, Path]) -> Path:
    for suffix in MASK_SUFFIXES:
        if stem + suffix in masks:
            return masks[stem + suffix]
    raise DatasetError(
        "the image has no mask", file=image, remedy="Add it to the folder of masks (empty where nothing is to be found)"
    )
