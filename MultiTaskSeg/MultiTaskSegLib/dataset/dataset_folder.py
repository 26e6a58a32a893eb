"""Adds labelled images to an nnU-Net v2 folder: all of them or none, and never over what is there."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from MultiTaskSegLib.dataset import dataset_file, groups_file
from MultiTaskSegLib.dataset.case_name import free_name, safe_name
from MultiTaskSegLib.dataset.dataset_file import (
    PATIENTS_KEY,
    DatasetFile,
    new_dataset_file,
    read_dataset_file,
    write_dataset_file,
)
from MultiTaskSegLib.dataset.folder_lock import locked
from MultiTaskSegLib.dataset.known_image import refused_images
from MultiTaskSegLib.dataset.label_map import label_map
from MultiTaskSegLib.dataset.label_match import matched_structures, require_channels
from MultiTaskSegLib.dataset.patient_group import KEY_FILE, group_of, key_check
from MultiTaskSegLib.dataset.training_case import Addition, TrainingCase
from MultiTaskSegLib.runtime.errors import DatasetError, ResourceError
from MultiTaskSegLib.runtime.image.sitk_image import write_image

IMAGES, LABELS = "imagesTr", "labelsTr"
STAGING = ".adding-"
LEFTOVER_S = 24 * 3600.0


def add_cases(folder: Path, cases: Sequence[TrainingCase], key: bytes, *, leave_out_known: bool = False) -> Addition:
    """Add cases to a dataset, which is made when it is not there. Whoever else is adding to it is waited for.

    Args:
        folder: an nnU-Net v2 dataset, or a new or empty folder.
        cases: labelled images.
        key: with which names of patients are made, see `group_of`; a patient who is a group of the dataset under the
            plain identifier stays in that one.
        leave_out_known: leave out cases whose image is in the dataset already, or is given twice, and add the others;
            where none is left, that is an error all the same.

    Raises:
        DatasetError: labels or channels do not match, segments overlap, an image is in the dataset already, or the
            dataset cannot be used.
        ResourceError: the folder cannot be written, or another program is adding to it for long.
    """
    folder = Path(folder).absolute()
    if not cases:
        raise DatasetError("there is nothing to add", file=folder, remedy="Correct a segment first")
    with _told(folder):
        if folder.is_file():
            read_dataset_file(folder)  # says that it is no dataset; there is no place for a lock
        with locked(folder):
            return _added(folder, cases, key, leave_out_known)


def _added(folder: Path, cases: Sequence[TrainingCase], key: bytes, leave_out_known: bool) -> Addition:
    known = read_dataset_file(folder)
    refused = _refused(folder, known, cases)
    if leave_out_known:
        cases = [case for number, case in enumerate(cases) if number not in refused]
    if not cases:
        raise next(iter(refused.values()))
    dataset = known or new_dataset_file(cases[0], folder)
    prepared = [_labelled(case, dataset, folder) for case in cases]
    if refused and not leave_out_known:
        raise next(iter(refused.values()))
    names = _names(folder, dataset, cases)
    made = _groups(folder, cases, names, key)
    check = _required_key(folder, dataset, {group_of(case.patient, key) for case in cases} & {*made.values()}, key)
    groups = {**_rows_owed(folder, dataset), **made}
    with _made(folder):
        _write(folder, dataset, list(zip(names, cases, prepared, strict=True)), groups, check)
    return Addition(folder, tuple(names), known is None, {number: error.what for number, error in refused.items()})


def _refused(folder: Path, known: DatasetFile | None, cases: Sequence[TrainingCase]) -> dict[int, DatasetError]:
    there = {} if known is None else case_files(folder, known.ending)
    return refused_images(folder, cases, there)


def case_files(folder: Path, ending: str) -> dict[str, Path]:
    """The first image of each case, by name."""
    suffix = f"_0000{ending}"
    images = (folder / IMAGES).glob(f"*{suffix}") if (folder / IMAGES).is_dir() else ()
    return {path.name.removesuffix(suffix): path for path in sorted(images)}


def _labelled(case: TrainingCase, dataset: DatasetFile, folder: Path) -> NDArray[np.uint8]:
    require_channels(case, dataset, folder)
    return label_map(matched_structures(case, dataset, folder), dataset, folder)


def _names(folder: Path, dataset: DatasetFile, cases: Sequence[TrainingCase]) -> list[str]:
    """A free name for each case."""
    there = case_files(folder, dataset.ending)
    labels = (folder / LABELS).glob(f"*{dataset.ending}") if (folder / LABELS).is_dir() else ()
    taken = {*there, *(path.name.removesuffix(dataset.ending).removesuffix(".seg") for path in labels)}
    names: list[str] = []
    for case in cases:
        names.append(free_name(safe_name(case.name), {*taken, *names}))
    return names


def _rows_owed(folder: Path, dataset: DatasetFile) -> dict[str, str]:
    """Groups of the cases that are there, where no file says them: with such a file, each case needs a row."""
    has_file = (folder / groups_file.FILE).is_file()
    return {} if has_file else {name: name for name in case_files(folder, dataset.ending)}


def _groups(folder: Path, cases: Sequence[TrainingCase], names: Sequence[str], key: bytes) -> dict[str, str]:
    rows = groups_file.read_groups(folder)
    known = set(rows.values())
    groups = {}
    for case, name in zip(cases, names, strict=True):
        patient = case.patient.strip()
        if not patient:
            groups[name] = rows.get(name) or name  # what somebody wrote of a case that is being replaced
        else:
            groups[name] = patient if patient in known else group_of(patient, key)
    return groups


def _required_key(folder: Path, dataset: DatasetFile, made: Collection[str], key: bytes) -> str:
    """The check of the key, where names of patients were made with it.

    Raises:
        DatasetError: those of the dataset were made with another one: a patient of it would be taken for a new one.
    """
    check, noted = key_check(key), str(dataset.info.get(PATIENTS_KEY) or "")
    if made and noted not in ("", check):
        raise DatasetError(
            f"the names of this dataset's patients were made with another {KEY_FILE} than yours, so that it cannot be"
            " told who is in it already",
            file=folder,
            remedy=f"Put that {KEY_FILE} beside your models; if it is lost, write your own names of all patients into"
            f" {groups_file.FILE} and take '{PATIENTS_KEY}' out of {dataset_file.FILE}",
        )
    return check if made else ""


def _write(
    folder: Path,
    dataset: DatasetFile,
    labelled: Sequence[tuple[str, TrainingCase, NDArray[np.uint8]]],
    groups: dict[str, str],
    patients_key: str,
) -> None:
    count = len(case_files(folder, dataset.ending)) + len(labelled)
    _sweep(folder)
    staging = Path(tempfile.mkdtemp(dir=folder, prefix=STAGING))
    try:
        moves = []
        for name, case, labels in labelled:
            for number, image in enumerate(case.channels):
                moves.append((staging / f"{name}_{number:04d}{dataset.ending}", folder / IMAGES))
                write_image(image, moves[-1][0])
            (staging / LABELS).mkdir(exist_ok=True)
            moves.append((staging / LABELS / f"{name}{dataset.ending}", folder / LABELS))
            write_image(_on_grid(labels, case.channels[0]), moves[-1][0])
        with _kept(folder / groups_file.FILE), _kept(folder / dataset_file.FILE):
            # First: who is killed in between leaves a row without a case, and never a case without its patient.
            groups_file.add_groups(folder, groups)
            with _moved(moves):
                write_dataset_file(folder, dataset, count, patients_key)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _sweep(folder: Path) -> None:
    """Remove what somebody left who was killed while adding; nothing that is being added is so old."""
    for path in folder.glob(f"{STAGING}*"):
        if time.time() - path.stat().st_mtime > LEFTOVER_S:
            shutil.rmtree(path, ignore_errors=True)


def _on_grid(labels: NDArray[np.uint8], image: sitk.Image) -> sitk.Image:
    drawn = sitk.GetImageFromArray(labels)
    drawn.CopyInformation(image)
    return drawn


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    """What the system refuses, in words.

    Raises:
        ResourceError: instead of an `OSError`.
    """
    try:
        yield
    except OSError as error:
        raise ResourceError(
            f"the dataset cannot be read or written ({error.strerror or error}); nothing was added",
            file=error.filename or folder,
            remedy="Check permissions and free disk space",
        ) from error


@contextmanager
def _made(folder: Path) -> Iterator[None]:
    """The folder with its two parts; where the block fails, what was made is removed again."""
    new = [path for path in (folder, folder / IMAGES, folder / LABELS) if not path.exists()]
    try:
        for path in new:
            path.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        for path in reversed(new):
            shutil.rmtree(path, ignore_errors=True)
        raise


@contextmanager
def _moved(moves: Sequence[tuple[Path, Path]]) -> Iterator[None]:
    """Files in their places, where nothing may be; where the block fails, they are taken away again."""
    done: list[Path] = []
    try:
        for source, target_folder in moves:
            target = target_folder / source.name
            with target.open("xb"):  # the place is taken: whoever else comes finds it so
                done.append(target)
            source.replace(target)
        yield
    except BaseException:
        for target in done:
            target.unlink(missing_ok=True)
        raise


@contextmanager
def _kept(path: Path) -> Iterator[None]:
    """Where the block fails, a file is as it was before."""
    before = path.read_bytes() if path.is_file() else None
    try:
        yield
    except BaseException:
        if before is None:
            path.unlink(missing_ok=True)
        elif path.read_bytes() != before:
            path.write_bytes(before)
        raise
