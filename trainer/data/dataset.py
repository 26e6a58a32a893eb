"""Labelled datasets: folders in every layout that is known, and views of them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from MultiTaskSegLib.runtime.errors import DatasetError, UsageError
from trainer.context.body_region import REGION_WORDS, infer_region, may_overlap, regions_in
from trainer.context.modality import FAMILIES, UNKNOWN, families_in
from trainer.layout.case import Case
from trainer.layout.class_folders import ClassFolderLayout
from trainer.layout.lesion_scans import LESION_LAYOUTS
from trainer.layout.listing import Layout, Listing
from trainer.layout.mask_folders import MaskFolderLayout
from trainer.layout.nnunet import NnunetLayout
from trainer.layout.region_labels import RegionLabels
from trainer.layout.run_length import RunLengthLayout
from trainer.layout.view import PLANES, classes_by_name, sliced
from trainer.synthesis.label_map_layout import LabelMapLayout

NNUNET = NnunetLayout()
# The first that recognises a folder reads it; folders of classes come last, because any folder could be a class.
LAYOUTS: tuple[Layout, ...] = (
    NNUNET, LabelMapLayout(), *LESION_LAYOUTS, RunLengthLayout(), MaskFolderLayout(), ClassFolderLayout(),
)  # fmt: skip
VIEW_MARK = "::"
BY_NAME = "classes"
WITHOUT = "without="


@dataclass(frozen=True)
class Dataset:
    """A labelled dataset on disk.

    Attributes:
        directory: the dataset's folder.
        name: the folder's name, for example ``Dataset101_HippocampusT1``, and the words of the view.
        modality: as in ``dataset.json``, for example ``T1`` or ``CT``.
        region: body region, from ``dataset.json`` (key ``anatomy``) or inferred from names.
        labels: label name by value, without the background; `RegionLabels` where they may overlap.
        cases: sorted by name.
        info: the whole ``dataset.json``.
        has_masks: whether labels are drawn on the images; False where each image as a whole has a class, its label map
            then holds the class's value everywhere.
        inputs: names of the channels of an image, in order; none for a single one.
    """

    directory: Path
    name: str
    modality: str
    region: str
    labels: Mapping[int, str]
    cases: tuple[Case, ...]
    info: dict[str, Any] = field(default_factory=dict)
    has_masks: bool = True
    inputs: tuple[str, ...] = ()

    @property
    def are_regions(self) -> bool:
        """Whether labels may overlap."""
        return isinstance(self.labels, RegionLabels)

    @property
    def channel_families(self) -> tuple[str, ...]:
        """By channel, ``MR``, ``CT``, ``X-ray`` ...: modalities that can show the same structures alike.

        Empty (not known) for images without labels, of which nothing depends on it but the scale of intensities.

        Raises:
            DatasetError: the words of a modality name no family, or several, and ``dataset.json`` does not say it.
        """
        return tuple(self._family(name) for name in self.inputs or (self.modality,))

    def _family(self, modality: str) -> str:
        said = self.info.get("modality_family")
        found = families_in(modality) if said is None else tuple(f for f in FAMILIES if f == said)
        if len(found) == 1:
            return found[0]
        if said is None and not found and not self.labels:
            return UNKNOWN
        word = f"modality {modality!r}" if said is None else f"'modality_family' {said!r}"
        raise DatasetError(
            f"the {word} of dataset {self.name} can be {' or '.join(found)}" if found else
            f"the {word} of dataset {self.name} is not known",
            file=self.directory / "dataset.json",
            remedy=f"Correct it, or add \"modality_family\": one of {', '.join(FAMILIES)}",
        )  # fmt: skip

    def require_known_region(self) -> None:
        """Refuse an ``anatomy`` that names no region: what else may be visible in the images depends on it.

        Raises:
            DatasetError: none of its words is known.
        """
        if self.info.get("anatomy") and not regions_in(str(self.info["anatomy"])):
            raise DatasetError(
                f"the 'anatomy' {self.info['anatomy']!r} of dataset {self.name} is not known",
                file=self.directory / "dataset.json",
                remedy=f"Use a word for one of {', '.join(REGION_WORDS)}, or leave 'anatomy' out",
            )

    @property
    def groups(self) -> list[str]:
        """Sorted distinct groups."""
        return sorted({case.group for case in self.cases})

    def may_share_structures(self, other: Dataset) -> bool:
        """Whether structures of ``other`` may be visible here without being labelled.

        True for the same modality family and body regions whose images overlap, and when either is not known: then a
        voxel that this dataset calls background may well belong to a label of the other one.

        Raises:
            DatasetError: a modality is not known.
        """
        own, others = set(self.channel_families), set(other.channel_families)
        return (bool(own & others) or UNKNOWN in own | others) and may_overlap(self.region, other.region)


def read_dataset(directory: Path, split: str = "imagesTr", *, several: bool = False) -> Dataset:
    """Read a dataset folder; unless slices are asked for, the images themselves are not opened.

    Args:
        directory: the folder; after ``::``, words separated by commas ask for a view: ``axial``, ``coronal`` or
            ``sagittal`` for the slices of volumes as 2-D images, ``classes`` for the first word of each case's name as
            the class of the image, ``without=FILE`` leaves out the groups that a text file names line by line, any
            other word is the sequence to read where there are several (``FLAIR``).
        split: ``imagesTr`` or ``imagesTs`` (labels then come from ``labelsTr`` or ``labelsTs``).
        several: whether whoever asks can work with images of several channels and with regions that overlap.

    Raises:
        DatasetError: the folder is in no known layout, or cannot be used as it is.
        UsageError: the view asks for two sequences.
    """
    folder, words = split_view(directory)
    dataset = viewed(find_layout(folder).read(folder, split, sequence_word(words, folder)), directory)
    if not several:
        _require_plain(dataset)
    return dataset


def _require_plain(dataset: Dataset) -> None:
    if dataset.inputs or dataset.are_regions:
        has = f"images of {len(dataset.inputs)} channels" if dataset.inputs else "regions that may overlap"
        raise DatasetError(
            f"dataset {dataset.name} has {has}, which this command does not take",
            file=dataset.directory,
            remedy="Train, fine-tune, evaluate, refer to or calibrate with it; give others here",
        )


def read_datasets(directories: Sequence[Path], split: str = "imagesTr", *, several: bool = False) -> list[Dataset]:
    """Read several folders that are used together.

    Args:
        directories: as for `read_dataset`.
        split, several: likewise.

    Raises:
        DatasetError, UsageError: a folder cannot be used, or two datasets have the same name.
    """
    datasets = [read_dataset(Path(directory), split, several=several) for directory in directories]
    require_different_names(datasets)
    return datasets


def datasets_with_masks(
    directories: Sequence[Path], split: str = "imagesTr", *, several: bool = False
) -> list[Dataset]:
    """Read several folders in whose images something is drawn, to train on it or to measure it.

    Args:
        directories, split, several: as for `read_datasets`.

    Raises:
        DatasetError, UsageError: as there, or a dataset has no masks.
    """
    datasets = read_datasets(directories, split, several=several)
    for dataset in datasets:
        require_masks(dataset)
    return datasets


def require_different_names(datasets: Sequence[Dataset]) -> None:
    """Refuse datasets of one name, of which all but one would be passed over or mixed up.

    Raises:
        DatasetError: two have the same name.
    """
    counts = Counter(dataset.name for dataset in datasets)
    twice = [dataset for dataset in datasets if counts[dataset.name] > 1]
    if twice:
        raise DatasetError(
            f"two datasets have the same name, {twice[0].name}",
            file=twice[1].directory,
            remedy="Rename a folder, or give it once",
        )


def viewed(listing: Listing, directory: Path) -> Dataset:
    """What a folder holds, looked at as the words after ``::`` ask for.

    Args:
        listing: of the folder.
        directory: with the words, as for `read_dataset`.

    Raises:
        DatasetError: the view does not fit the images, or leaves none.
    """
    folder, words = split_view(directory)
    for plane in PLANES:
        if plane in words:
            listing = sliced(listing, plane)
    if BY_NAME in words:
        listing = classes_by_name(listing, folder)
    excluded = _excluded(words)
    cases = tuple(sorted((c for c in listing.cases if c.group not in excluded), key=lambda case: case.name))
    if listing.cases and not cases:
        raise DatasetError("every group is left out", file=folder, remedy="Leave out fewer groups")
    return Dataset(
        folder, dataset_name(directory), listing.modality, _region(folder, listing), listing.labels, cases,
        listing.info, listing.has_masks, listing.inputs,
    )  # fmt: skip


def find_layout(directory: Path) -> Layout:
    """The layout of a folder.

    Raises:
        DatasetError: there is no such folder, or no layout recognises it.
    """
    for layout in LAYOUTS:
        if layout.recognises(directory):
            return layout
    known = "; ".join(layout.name for layout in LAYOUTS)
    what = (
        "dataset.json is missing, and no other layout fits" if directory.is_dir() else "the dataset folder is missing"
    )
    raise DatasetError(what, file=directory, remedy=f"Give a folder in one of these layouts: {known}")


def split_view(directory: Path) -> tuple[Path, tuple[str, ...]]:
    """The folder and the words of its view.

    >>> split_view(Path("data/Brain::axial,T1"))[1]
    ('axial', 'T1')
    """
    folder, _, words = str(directory).partition(VIEW_MARK)
    return Path(folder), tuple(word.strip() for word in words.split(",") if word.strip())


def dataset_name(directory: Path) -> str:
    """The name of the dataset that `read_dataset` would give, without looking at the folder.

    >>> dataset_name(Path("data/Brain::axial,T1")), dataset_name(Path("data/Brain::without=groups.txt"))
    ('Brain_axial_T1', 'Brain')
    """
    folder, words = split_view(directory)
    return "_".join([folder_name(folder), *(word for word in words if not word.startswith(WITHOUT))])


def folder_name(folder: Path) -> str:
    """The name of a folder, also of one that is given as ``.`` or ``..``; a link keeps its own.

    >>> folder_name(Path("data/Brain/imagesTr/..")), folder_name(Path(".")) == Path.cwd().name
    ('Brain', True)
    """
    return Path(os.path.abspath(folder)).name


def require_masks(dataset: Dataset) -> None:
    """Refuse a dataset that cannot teach where something is.

    Raises:
        DatasetError: its images have classes but no masks.
    """
    if not dataset.has_masks:
        raise DatasetError(
            f"dataset {dataset.name} has classes of images but no masks",
            file=dataset.directory,
            remedy="Use it for 'pretrain --task classification', or give a dataset with masks",
        )


def sequence_word(words: tuple[str, ...], directory: Path) -> str:
    """The word that names a sequence; empty where none does.

    Raises:
        UsageError: there are two.
    """
    sequences = [word for word in words if word not in (*PLANES, BY_NAME) and not word.startswith(WITHOUT)]
    if len(sequences) > 1:
        raise UsageError(
            f"the view asks for {' and '.join(sequences)}", file=directory, remedy="Give one sequence after '::'"
        )
    return sequences[0] if sequences else ""


def _excluded(words: tuple[str, ...]) -> set[str]:
    groups: set[str] = set()
    for path in (Path(word.removeprefix(WITHOUT)) for word in words if word.startswith(WITHOUT)):
        try:
            groups |= {line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()}
        except (OSError, ValueError) as error:
            raise DatasetError(f"the list of groups cannot be read ({error})", file=path) from error
    return groups


def _region(directory: Path, listing: Listing) -> str:
    description = str(listing.info.get("description", ""))
    return str(listing.info.get("anatomy", "")) or infer_region(folder_name(directory), description)
