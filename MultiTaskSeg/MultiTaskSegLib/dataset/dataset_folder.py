"""Adds labelled images to an nnU-Net v2 folder: all of them or none, and never over what is there."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from MultiTaskSegLib.dataset import dataset_file, groups_file
from MultiTaskSegLib.dataset.dataset_file import (
    PATIENTS_KEY,
    DatasetFile,
    new_dataset_file,
    read_dataset_file,
    write_dataset_file,
)
from MultiTaskSegLib.dataset.label_map import label_map
from MultiTaskSegLib.dataset.label_match import matched_structures, require_channels
from MultiTaskSegLib.dataset.patient_group import KEY_FILE, group_of, key_check
from MultiTaskSegLib.dataset.training_case import Addition, TrainingCase
from MultiTaskSegLib.runtime.errors import DatasetError, ResourceError
from MultiTaskSegLib.runtime.image.sitk_image import write_image

IMAGES, LABELS = "imagesTr", "labelsTr"
STAGING = ".adding-"
LONGEST_NAME = 80
LEFTOVER_S = 24 * 3600.0


def add_cases(folder: Path, cases: Sequence[TrainingCase], key: bytes) -> Addition:
    """Add cases to a dataset, which is made when it is not there.

    Args:
        folder: an nnU-Net v2 dataset, or a new or empty folder.
        cases: labelled images.
        key: with which names of patients are made, see `group_of`; a patient who is a group of the dataset under the
            plain identifier stays in that one.

    Raises:
        DatasetError: labels or channels do not match, segments overlap, an image is in the dataset already, or the
            dataset cannot be used.
        ResourceError: the folder cannot be written.
    """
    folder = Path(folder).absolute()
    with _told(folder):
        return _added(folder, cases, key)


def _added(folder: Path, cases: Sequence[TrainingCase], key: bytes) -> Addition:
    known = read_dataset_file(folder)
    if not cases:
        raise DatasetError("there is nothing to add", file=folder, remedy="Correct a segment first")
    dataset = known or new_dataset_file(cases[0], folder)
    prepared = [_labelled(case, dataset, folder) for case in cases]
    names = _names(folder, dataset, cases)
    made = _groups(folder, cases, names, key)
    check = _required_key(folder, dataset, {group_of(case.patient, key) for case in cases} & {*made.values()}, key)
    groups = {**_rows_owed(folder, dataset), **made}
    with _made(folder):
        _write(folder, dataset, list(zip(names, cases, prepared, strict=True)), groups, check)
    return Addition(folder, tuple(names), known is None)


def case_files(folder: Path, ending: str) -> dict[str, Path]:
    """The first image of each case, by name."""
    suffix = f"_0000{ending}"
    images = (folder / IMAGES).glob(f"*{suffix}") if (folder / IMAGES).is_dir() else ()
    return {path.name.removesuffix(suffix): path for path in sorted(images)}


def _labelled(case: TrainingCase, dataset: DatasetFile, folder: Path) -> NDArray[np.uint8]:
    require_channels(case, dataset, folder)
    return label_map(matched_structures(case, dataset, folder), dataset, folder)


def _names(folder: Path, dataset: DatasetFile, cases: Sequence[TrainingCase]) -> list[str]:
    """A free name for each case.

    Raises:
        DatasetError: an image is in the dataset already, or is given twice.
    """
    there = case_files(folder, dataset.ending)
    labels = (folder / LABELS).glob(f"*{dataset.ending}") if (folder / LABELS).is_dir() else ()
    taken = {*there, *(path.name.removesuffix(dataset.ending).removesuffix(".seg") for path in labels)}
    _require_other_images(folder, cases, there)
    names: list[str] = []
    for case in cases:
        stem = _safe(case.name)
        names.append(_free(stem, {*taken, *names}))
    return names


def _require_other_images(folder: Path, cases: Sequence[TrainingCase], there: Mapping[str, Path]) -> None:
    """Refuse an image twice, under whatever name: as another patient it would be learnt and measured with."""
    for number, case in enumerate(cases):
        image = case.channels[0]
        known = next((name for name, path in there.items() if _has_image(name, path, case)), None)
        if known is not None:
            raise DatasetError(
                f"this image is in the dataset already, as the case {known}; nothing is overwritten",
                file=folder,
                remedy="To replace it, remove the files of that case first",
            )
        if any(_has_same_voxels(image, earlier.channels[0]) for earlier in cases[:number]):
            raise DatasetError(
                f"the image {case.name} is given twice", file=folder, remedy="Choose one of its segmentations"
            )


def _has_image(name: str, path: Path, case: TrainingCase) -> bool:
    """Whether a file holds the image of a case. Its voxels are read only where name or place let it be so."""
    image, reader = case.channels[0], sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        if reader.GetSize() != image.GetSize():
            return False
        is_there = np.allclose(reader.GetOrigin(), image.GetOrigin(), atol=max(image.GetSpacing()))
        is_alike = _stem(name) == _stem(_safe(case.name))
        return (is_there or is_alike) and _has_same_voxels(reader.Execute(), image)
    except RuntimeError as error:
        raise DatasetError(
            f"the image of the case {name} cannot be read", file=path, remedy="Repair or remove that case"
        ) from error


def _has_same_voxels(one: sitk.Image, other: sitk.Image) -> bool:
    return one.GetSize() == other.GetSize() and np.array_equal(
        sitk.GetArrayViewFromImage(one), sitk.GetArrayViewFromImage(other)
    )


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


def _safe(name: str) -> str:
    """A name for files of any system.

    >>> _safe("Head: T1 (2)"), _safe("...")
    ('Head_T1_2', 'case')
    """
    kept = "".join(letter if letter.isalnum() or letter in "-." else "_" for letter in name)
    words = [word for word in kept.split("_") if word]
    return "_".join(words)[:LONGEST_NAME].strip("._-") or "case"


def _stem(name: str) -> str:
    """A name without the number that tells it from others."""
    stem, _, number = name.rpartition("_")
    return (stem if stem and number.isdigit() else name).casefold()


def _free(stem: str, taken: Collection[str]) -> str:
    known = {name.casefold() for name in taken}
    number, name = 1, stem
    while name.casefold() in known:
        number += 1
        name = f"{stem}_{number}"
    return name
