"""Images to pre-train on: a dataset folder whose labels are not looked at, or a folder of images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from MultiTaskSegLib.runtime.errors import DatasetError
from trainer.body_region import infer_region
from trainer.dataset import NO_LABEL, Case, Dataset, list_pairs, read_groups, read_info, read_modality

IMAGE_ENDINGS = (".nii.gz", ".nii", ".nrrd", ".mha", ".mhd", ".png", ".jpg", ".jpeg")
SPLITS = ("imagesTr", "imagesTs")


@dataclass(frozen=True)
class ImageSource:
    """Images without labels, some of them with a class.

    Attributes:
        dataset: without label names; its cases have `NO_LABEL`.
        categories: class by case name; empty when the images have none.
    """

    dataset: Dataset
    categories: dict[str, str] = field(default_factory=dict)


def read_image_source(directory: Path, splits: Sequence[str] = ("imagesTr",)) -> ImageSource:
    """Read a folder as images alone; the images themselves are not opened.

    Args:
        directory: an nnU-Net v2 raw or MSD dataset folder, whose labels are ignored, or a folder of images, also in
            sub-folders.
        splits: of a dataset folder; ``imagesTs`` counts as more images only when it is asked for.

    Raises:
        DatasetError: there is no image, or ``dataset.json`` is malformed.
    """
    directory = Path(directory)
    source = _dataset_folder(directory, splits) if (directory / "dataset.json").is_file() else _image_folder(directory)
    if not source.dataset.cases:
        raise DatasetError("the folder holds no image", file=directory, remedy="Give a folder with images")
    return source


def without_labels(dataset: Dataset) -> Dataset:
    """The same images as if nobody had labelled them."""
    cases = tuple(Case(case.name, case.image, NO_LABEL, case.group) for case in dataset.cases)
    return Dataset(dataset.directory, dataset.name, dataset.modality, dataset.region, {}, cases, dataset.info)


def _dataset_folder(directory: Path, splits: Sequence[str]) -> ImageSource:
    info = read_info(directory)
    groups = read_groups(directory)
    images = {
        name: image
        for split in splits
        for name, (image, _) in list_pairs(directory, info, split).items()
        if image is not None
    }
    cases = tuple(Case(name, path, NO_LABEL, groups.get(name) or name) for name, path in sorted(images.items()))
    region = str(info.get("anatomy", "")) or infer_region(directory.name, str(info.get("description", "")))
    modality = read_modality(info, directory)
    return ImageSource(Dataset(directory, directory.name, modality, region, {}, cases, info))


def _image_folder(directory: Path) -> ImageSource:
    paths = sorted(path for path in directory.rglob("*") if path.is_file() and _ending(path))
    names = [path.relative_to(directory).as_posix().removesuffix(_ending(path)).replace("/", "__") for path in paths]
    cases = tuple(Case(name, path, NO_LABEL, name) for name, path in zip(names, paths, strict=True))
    return ImageSource(Dataset(directory, directory.name, "unknown", "", {}, cases))


def _ending(path: Path) -> str:
    if path.name.startswith("._"):
        return ""
    return next((ending for ending in IMAGE_ENDINGS if path.name.lower().endswith(ending)), "")
