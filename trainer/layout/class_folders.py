"""Pictures in one sub-folder per class, as ImageNet is laid out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from MultiTaskSegLib.runtime.errors import DatasetError
from MultiTaskSegLib.runtime.image.image_file import image_ending
from trainer.layout.case import Case
from trainer.layout.image_level import ImageLevelReader
from trainer.layout.listing import Listing, optional_info, refuse_sequence
from trainer.layout.photograph import PhotographReader

MOST_CLASSES = 255
SPLIT_FOLDERS = {"imagesTr": ("train", "training"), "imagesTs": ("val", "validation", "test")}


class ClassFolderLayout:
    """``DIR/CLASS/**/PICTURE``, or ``DIR/train/CLASS/...`` with ``DIR/val/CLASS/...`` as test split."""

    name = "one sub-folder of pictures per class (ImageNet)"

    def recognises(self, directory: Path) -> bool:
        """Whether at least one sub-folder holds an image."""
        if not directory.is_dir() or any((directory / name).exists() for name in ("dataset.json", "imagesTr")):
            return False
        return any(_images(folder) for folder in _class_folders(_root(directory, "imagesTr")))

    def read(self, directory: Path, split: str, sequence: str) -> Listing:
        """List the pictures; nothing but the folder's name tells the class.

        Raises:
            DatasetError: there are fewer than two classes or more than 255, or a class has fewer than two images.
        """
        refuse_sequence(self.name, directory, sequence)
        root = _root(directory, split)
        by_class = {folder.name: _images(folder) for folder in _class_folders(root)}
        require_classes({name: len(paths) for name, paths in by_class.items()}, directory)
        cases = [
            Case(_name(path, root), path, None, _name(path, root), ImageLevelReader(value, PhotographReader()))
            for value, paths in enumerate(by_class.values(), start=1)
            for path in paths
        ]
        info = optional_info(directory)
        labels = dict(enumerate(by_class, start=1))
        return Listing(str(info.get("modality", "photograph")), labels, tuple(cases), info, has_masks=False)


def require_classes(counts: dict[str, int], directory: Path) -> None:
    """Refuse classes from which nothing can be learnt.

    Raises:
        DatasetError: there are fewer than two classes or more than 255, or a class has fewer than two images.
    """
    if not 2 <= len(counts) <= MOST_CLASSES:
        raise DatasetError(
            f"there are {len(counts)} classes, not 2 to {MOST_CLASSES}", file=directory, remedy="Add or merge classes"
        )
    few = [name for name, count in counts.items() if count < 2]
    if few:
        raise DatasetError(
            f"class {few[0]} has {counts[few[0]]} image{'' if counts[few[0]] == 1 else 's'}",
            file=directory,
            remedy="Give every class at least two images, or remove it",
        )


def _root(directory: Path, split: str) -> Path:
    return next((directory / name for name in SPLIT_FOLDERS[split] if (directory / name).is_dir()), directory)


def _class_folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))


def _images(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith(".") and image_ending(p))


def _name(path: Path, root: Path) -> str:
    relative: Any = path.relative_to(root).as_posix()
    return str(relative).removesuffix(path.name[-len(image_ending(path)) :]).replace("/", "__")
