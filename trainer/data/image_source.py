"""Images to pre-train on: a dataset folder whose labels are not looked at, or a folder of images."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from MultiTaskSegLib.runtime.errors import DatasetError
from MultiTaskSegLib.runtime.image.image_file import image_ending
from trainer.data.data_fingerprint import dataset_fingerprint
from trainer.data.dataset import LAYOUTS, NNUNET, Dataset, read_dataset, sequence_word, split_view, viewed
from trainer.identity.file_content import FileContents
from trainer.identity.fingerprint import fingerprint
from trainer.layout.case import Case
from trainer.layout.image_level import image_class
from trainer.layout.listing import Listing, refuse_sequence
from trainer.layout.nnunet import list_pairs, read_groups, read_info, read_modality


@dataclass(frozen=True)
class ImageSource:
    """Images whose labels nobody looks at, some of them with a class.

    Attributes:
        dataset: without label names; its cases have no label files.
        categories: class by case name; empty when the images have none.
    """

    dataset: Dataset
    categories: dict[str, str] = field(default_factory=dict)


def read_image_source(directory: Path) -> ImageSource:
    """Read a folder as images alone; the images themselves are not opened.

    Args:
        directory: a dataset folder in any known layout (of nnU-Net and MSD folders also images without a label), or a
            folder of images, also in sub-folders; with the words of a view as for `read_dataset`.

    Raises:
        DatasetError: there is no image, or the folder cannot be used as it is.
    """
    folder, words = split_view(directory)
    if not folder.is_dir():
        raise DatasetError("the folder is missing", file=folder, remedy="Correct the path")
    if NNUNET.recognises(folder):
        dataset = viewed(_every_image(folder, words), directory)
    elif not _images(folder.iterdir()) and any(layout.recognises(folder) for layout in LAYOUTS):
        dataset = read_dataset(directory)
    else:
        dataset = viewed(_image_folder(folder, words), directory)
    if not dataset.cases:
        raise DatasetError("the folder holds no image", file=folder, remedy="Give a folder with images")
    classes = {case.name: image_class(case) for case in dataset.cases}
    categories = {name: dataset.labels[value] for name, value in classes.items() if value is not None}
    return ImageSource(without_labels(dataset), categories)


def source_fingerprint(source: ImageSource, contents: FileContents) -> str:
    """Of the images, their groups and their classes.

    Raises:
        InputError: a file cannot be read.
    """
    return fingerprint([dataset_fingerprint(source.dataset, contents), source.categories])


def without_labels(dataset: Dataset) -> Dataset:
    """The same images as if nobody had labelled them."""
    return replace(dataset, labels={}, cases=tuple(replace(case, label=None) for case in dataset.cases))


def _every_image(folder: Path, words: tuple[str, ...]) -> Listing:
    """Of an nnU-Net or MSD folder, also those without a label."""
    refuse_sequence(NNUNET.name, folder, sequence_word(words, folder))
    info = read_info(folder)
    groups = read_groups(folder)
    images = {name: image for name, (image, _) in list_pairs(folder, info, "imagesTr").items() if image is not None}
    cases = tuple(Case(name, path, None, groups.get(name) or name) for name, path in images.items())
    return Listing(read_modality(info, folder), {}, cases, info)


def _image_folder(folder: Path, words: tuple[str, ...]) -> Listing:
    refuse_sequence("folder of images", folder, sequence_word(words, folder))
    paths = _images(folder.rglob("*"))
    names = [_name(path, folder) for path in paths]
    if len(set(names)) < len(names):
        raise DatasetError("two images have the same name", file=folder, remedy="Rename one")
    return Listing("unknown", {}, tuple(Case(name, path, None, name) for name, path in zip(names, paths, strict=True)))


def _images(paths: Iterable[Path]) -> list[Path]:
    return sorted(p for p in paths if p.is_file() and not p.name.startswith(".") and image_ending(p))


def _name(path: Path, root: Path) -> str:
    relative = path.relative_to(root).as_posix()
    return relative[: -len(image_ending(path))].replace("/", "__")
