"""Images that a model is looked at with in every precision, and those from which 8 bits learn their ranges."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from MultiTaskSegLib.runtime.errors import DatasetError
from MultiTaskSegLib.runtime.image.image_file import read_image
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.model.manifest import Manifest
from trainer.data.dataset import Dataset
from trainer.data.provenance import Provenance, unseen
from trainer.data.spread import evenly
from trainer.layout.case import Case
from trainer.ood.catalogue import KNOWN, Entry, foreign_images, spoilt_images
from trainer.ood.fault.artefact import ARTEFACT_KINDS, PLANAR_ARTEFACT_KINDS

# Of a file; larger ones take minutes and say no more.
LARGEST_FOREIGN_VOXELS = 3_000_000


@dataclass(frozen=True)
class Images:
    """What is looked at.

    Attributes:
        held_out: cases of patients that the model has never seen, by task.
        spoilt: held-out images with artefacts.
        foreign: images of nothing that the model knows.
    """

    held_out: dict[str, tuple[Dataset, list[Case]]]
    spoilt: list[Entry]
    foreign: list[Volume]


@dataclass(frozen=True)
class Counts:
    """How many: held-out images and spoilt ones of each task, and foreign ones in all."""

    held_out: int
    spoilt: int
    foreign: int


def chosen_images(manifest: Manifest, datasets: Sequence[Dataset], roots: Sequence[Path], counts: Counts) -> Images:
    """Evenly spaced over what there is.

    Args:
        manifest: of the model, which says whom it has seen.
        datasets: of the model's tasks.
        roots: folders of foreign images.
        counts: how many.

    Raises:
        DatasetError: a task has no held-out case.
    """
    kinds = PLANAR_ARTEFACT_KINDS if manifest.is_planar else ARTEFACT_KINDS
    held_out, spoilt = {}, list[Entry]()
    for dataset in datasets:
        cases = evenly(unseen(dataset, manifest), counts.held_out)
        if not cases:
            raise DatasetError("has no held-out case", file=dataset.directory, remedy="Give the whole dataset")
        held_out[dataset.name] = (dataset, cases)
        own = [fault for case in cases[:1] for fault in spoilt_images(_entry(dataset, case), kinds)]
        spoilt += evenly(own, counts.spoilt)
    return Images(held_out, spoilt, list(_foreign(roots, manifest.is_planar, counts.foreign)))


def calibration_cases(manifest: Manifest, dataset: Dataset, count: int) -> list[Case]:
    """Cases of patients whom the model was trained on: what is measured on held-out ones is then new to both."""
    provenance = Provenance.of(manifest)
    return evenly([case for case in dataset.cases if provenance.saw(case.group)], count)


def _entry(dataset: Dataset, case: Case) -> Entry:
    where = (dataset.name, case.name, case.group, dataset.name, case.image, case.label)
    return Entry(KNOWN, *where, reader=case.reader, label_names=dataset.labels)


def _foreign(roots: Sequence[Path], is_planar: bool, count: int) -> Iterator[Volume]:
    """The first suitable image of each folder, then the second of each, and so on."""
    by_folder: dict[Path, list[Path]] = {}
    for root in roots:
        for folder, path in foreign_images(root):
            by_folder.setdefault(folder, []).append(path)
    turns = max(map(len, by_folder.values()), default=0)
    found = 0
    for path in (paths[turn] for turn in range(turns) for paths in by_folder.values() if turn < len(paths)):
        if found == count:
            return
        volume = read_image(path)
        if volume.is_planar == is_planar and volume.voxels.size <= LARGEST_FOREIGN_VOXELS:
            found += 1
            yield volume
