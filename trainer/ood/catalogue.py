"""The images of the benchmark by family: which known, which foreign, and how each comes about."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from MultiTaskSegLib.runtime.errors import DatasetError
from MultiTaskSegLib.runtime.image.image_file import IMAGE_IO, image_ending, read_image
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.imported.imported_predictor import ImportedPredictor
from MultiTaskSegLib.runtime.predictor import Predictor
from trainer.data.dataset import Dataset
from trainer.data.provenance import checked_datasets, require_unseen, unknown_to_check
from trainer.data.spread import evenly
from trainer.identity.file_content import FileContents
from trainer.layout.case import FILES, Case, CaseReader
from trainer.ood.fault.artefact import ARTEFACT_KINDS, PLANAR_ARTEFACT_KINDS, SEVERITIES, Artefact, apply_artefact
from trainer.ood.fault.geometry_fault import Labels
from trainer.ood.fault.matched_geometry import match_geometry

TRAINING, KNOWN, REAL, LEFT_OUT, MATCHED, ARTEFACT = "training", "known", "real", "left-out", "matched", "artefact"
Subject = Predictor | ImportedPredictor
FOREIGN_FAMILIES = (REAL, LEFT_OUT, MATCHED, ARTEFACT)
IMAGES_PER_SOURCE = 24
MATCHED_PER_SOURCE = 6


@dataclass(frozen=True)
class Entry:
    """One image.

    Attributes:
        family: ``training``, ``known`` (held-out images of the model's tasks) or one of `FOREIGN_FAMILIES`.
        source: dataset, folder, or kind of artefact: what an AUROC is given for.
        group: patient or source image.
        task: of known and spoilt images, else empty.
        image, label: files.
        artefact: fault to apply, for spoilt images.
        like: known image whose grid to take, for geometry-matched images.
        reader: how the files are read.
        label_names: the dataset's names by value, where there is a label.
    """

    family: str
    source: str
    name: str
    group: str
    task: str
    image: Path
    label: Path | None = None
    artefact: Artefact | None = None
    like: Case | None = None
    reader: CaseReader = FILES
    label_names: Mapping[int, str] = field(default_factory=dict)

    @property
    def case(self) -> Case:
        """The image as it is on disk."""
        return Case(self.name, self.image, self.label, self.group, self.reader)

    @property
    def cases(self) -> tuple[Case, ...]:
        """Whatever is read: the image, and the one whose grid it takes."""
        return (self.case,) if self.like is None else (self.case, self.like)

    @property
    def key(self) -> str:
        """File name that no other entry has."""
        like = None if self.like is None else self.like.image
        parts: list[object] = [self.family, self.source, self.group, self.name, like, self.artefact, self.image]
        readers = [self.reader] if self.like is None else [self.reader, self.like.reader]
        parts += [reader for reader in readers if reader != FILES]
        digest = hashlib.sha256(repr([str(p) for p in parts]).encode()).hexdigest()[:12]
        return f"{self.family.replace(' ', '_')}-{digest}"

    def load(self) -> tuple[Volume, Labels | None]:
        """Read the image and its labels and do to them what the entry says."""
        case = self.case
        volume = case.read_image()
        labels = case.read_labels_on(volume)[0] if self.label is not None else None
        if self.like is not None:
            return match_geometry(volume, self.like.read_image()), None
        return (volume, labels) if self.artefact is None else apply_artefact(self.artefact, volume, labels)


def catalogue(
    predictor: Subject, datasets: Sequence[Dataset], foreign_roots: Sequence[Path], artefact_cases: int
) -> list[Entry]:
    """All images for one model.

    Args:
        predictor: says which datasets are known and which of their patients were held out.
        datasets: those of the model's tasks are known; the others are foreign, ``left-out``, but for images of
            patients whom a training of the network has seen.
        foreign_roots: folders with foreign images.
        artefact_cases: held-out cases per task that are spoilt by every artefact.

    Raises:
        DatasetError: there is no known or no foreign image, or a task lacks images to fit the check on.
    """
    tasks = {task.name for task in predictor.manifest.tasks}
    task_of = {dataset.name: _task_of(dataset, predictor) for dataset in datasets}
    known = [dataset for dataset in datasets if task_of[dataset.name]]
    sides = [_known(dataset, task_of[dataset.name], predictor) for dataset in known]
    foreign = [e for d in datasets if not task_of[d.name] for e in _left_out(d, predictor)]
    foreign += [e for root in foreign_roots for e in _real(root, predictor)]
    if not sides or not foreign:
        raise DatasetError("one side of the benchmark has no image for this model", remedy="Check --in and --ood")
    _require_every_task(tasks, known, sides)
    likes = [held_out[0].case for _, held_out in sides if held_out]
    kinds = PLANAR_ARTEFACT_KINDS if predictor.manifest.is_planar else ARTEFACT_KINDS
    return [
        *(entry for training, held_out in sides for entry in (*training, *held_out)),
        *foreign,
        *_matched(foreign, likes),
        *(
            e
            for _, held_out in sides
            for case in _one_per_group(held_out, artefact_cases)
            for e in spoilt_images(case, kinds)
        ),
    ]


def require_unseen_by(members: Sequence[Predictor], entries: Sequence[Entry]) -> None:
    """Refuse further networks of an ensemble that have seen patients who are held out, or foreign, for the first.

    Raises:
        ModelError: one has, or its file does not say whom it has seen.
    """
    cases = [entry.case for entry in entries if entry.family in (KNOWN, LEFT_OUT)]
    for member in members:
        require_unseen(cases, member.manifest)


def require_foreign(entries: Sequence[Entry], contents: FileContents) -> None:
    """Refuse foreign images that are images of a task, whatever the file is called.

    Args:
        entries: of a model.
        contents: knows what files hold.

    Raises:
        DatasetError: there is one.
    """
    if not any(entry.family == REAL for entry in entries):
        return
    known = {contents.of(entry.image): entry for entry in entries if entry.family in (TRAINING, KNOWN)}
    for entry in entries:
        if entry.family == REAL and (own := known.get(contents.of(entry.image))):
            raise DatasetError(
                f"a foreign image is image {own.name} of dataset {own.source}",
                file=entry.image,
                remedy="Name folders in --ood whose images no task knows",
            )


def foreign_images(root: Path) -> Iterator[tuple[Path, Path]]:
    """Folder and path of every image below ``root``; label files (``_label``) are left out.

    Raises:
        DatasetError: there is no such folder.
    """
    if not root.is_dir():
        raise DatasetError("there is no such folder", file=root, remedy="Correct --ood")
    for path in sorted(root.rglob("*")):
        if path.is_file() and image_ending(path) in IMAGE_IO and "_label" not in path.name:
            yield path.parent, path


def _task_of(dataset: Dataset, predictor: Subject) -> str:
    """The task that a dataset's images are known images of; nothing where they are foreign."""
    tasks = [task.name for task in predictor.manifest.tasks]
    if dataset.name in checked_datasets(predictor.manifest):
        return tasks[0]
    return dataset.name if dataset.name in tasks else ""


def _require_every_task(
    tasks: Collection[str], known: Sequence[Dataset], sides: Sequence[tuple[list[Entry], list[Entry]]]
) -> None:
    """Say before anything is measured what would stop the benchmark when all is."""
    entries = [entry for training, held_out in sides for entry in (*training, *held_out)]
    if missing := sorted(set(tasks) - {entry.task for entry in entries}):
        raise DatasetError(f"no folder for {', '.join(missing)}", remedy="Give the dataset of every task in --in")
    directories = {dataset.name: dataset.directory for dataset in known}
    for task in sorted(tasks):
        own = [entry for entry in entries if entry.task == task]
        if len({e.group for e in own if e.family == TRAINING}) < 2 or all(e.family == TRAINING for e in own):
            raise DatasetError(
                "fewer than two patients that were trained on, or none that was held out",
                file=directories[own[0].source],
                remedy="Give the whole dataset that the model was trained on",
            )
    if len({entry.group for _, held_out in sides for entry in held_out}) < 2:
        raise DatasetError(
            "all held-out images are of one patient, so that nobody is left to choose a limit for it",
            remedy="Train with more held-out groups (minimum_validation_groups)",
        )


def _known(dataset: Dataset, task: str, predictor: Subject) -> tuple[list[Entry], list[Entry]]:
    held_out = {case.name for case in unknown_to_check(dataset, predictor.manifest)}

    def entry(case: Case, family: str) -> Entry:
        """The case as it is."""
        where = (dataset.name, case.name, case.group, task, case.image, case.label)
        return Entry(family, *where, reader=case.reader, label_names=dataset.labels)

    training = [entry(case, TRAINING) for case in dataset.cases if case.name not in held_out]
    return training, [entry(case, KNOWN) for case in dataset.cases if case.name in held_out]


def _left_out(dataset: Dataset, predictor: Subject) -> list[Entry]:
    if dataset.cases[0].read_image().is_planar != predictor.manifest.is_planar:
        return []
    # A model can have been trained on tasks that it left out since, and so can one that it was started from.
    foreign = unknown_to_check(dataset, predictor.manifest)
    cases = [Entry(LEFT_OUT, dataset.name, c.name, c.group, "", c.image, reader=c.reader) for c in foreign]
    return evenly(cases, IMAGES_PER_SOURCE)


def _real(root: Path, predictor: Subject) -> list[Entry]:
    return [
        Entry(REAL, folder.name, path.name, path.stem, "", path)
        for folder, path in foreign_images(root)
        if read_image(path).is_planar == predictor.manifest.is_planar
    ]


def _matched(foreign: Sequence[Entry], likes: Sequence[Case]) -> Iterator[Entry]:
    for source in dict.fromkeys(entry.source for entry in foreign):
        for entry in evenly([e for e in foreign if e.source == source], MATCHED_PER_SOURCE):
            for like in likes:
                yield Entry(
                    MATCHED, entry.source, entry.name, entry.group, "", entry.image, like=like, reader=entry.reader
                )


def _one_per_group(entries: Sequence[Entry], count: int) -> list[Entry]:
    return list({entry.group: entry for entry in reversed(entries)}.values())[::-1][:count]


def spoilt_images(case: Entry, kinds: Sequence[str]) -> Iterator[Entry]:
    """A known image with every kind of artefact in every severity; the same image always gets the same faults."""
    for kind in kinds:
        seed = int(hashlib.sha256(f"{case.name} {kind}".encode()).hexdigest()[:7], 16)
        for severity in SEVERITIES:
            fault = Artefact(kind, severity, seed)
            yield replace(case, family=ARTEFACT, source=kind, artefact=fault)
