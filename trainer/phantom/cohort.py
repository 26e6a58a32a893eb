"""Phantom cohorts as nnU-Net v2 raw folders, complete or absent."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from MultiTaskSegLib.runtime.errors import DatasetError
from MultiTaskSegLib.runtime.image.sitk_image import to_sitk, write_image
from MultiTaskSegLib.runtime.machine.atomic_file import named_after_target
from trainer.phantom.task import TASKS, Exam, PhantomTask, draw_exams


def write_cohort(directory: Path, seed: int, cases: int = 16, test_cases: int = 4) -> list[Path]:
    """Writes one dataset folder per phantom task.

    Args:
        directory: parent of the dataset folders; created when missing.
        seed: decides every voxel.
        cases: labelled training cases per task (``imagesTr``, ``labelsTr``).
        test_cases: cases per task of persons that no training case shows (``imagesTs``, ``labelsTs``).

    Returns:
        The dataset folders, in the order of `trainer.phantom.task.TASKS`.

    Raises:
        DatasetError: a folder of that name is already there.
    """
    folders = []
    for task in TASKS:
        training = draw_exams(task, seed, cases)
        # Persons are numbered; a person comes at most twice, so number `cases` is not among the training cases.
        testing = draw_exams(task, seed, test_cases, first_person=cases)
        folders.append(write_dataset(Path(directory) / task.dataset, task, training, testing))
    return folders


def write_dataset(directory: Path, task: PhantomTask, training: list[Exam], testing: list[Exam]) -> Path:
    """Renders and writes one dataset. Under its final name the folder is complete or absent.

    Args:
        directory: the dataset folder; must not exist.
        task: what the cases show.
        training: for ``imagesTr`` and ``labelsTr``.
        testing: for ``imagesTs`` and ``labelsTs``; may be empty.

    Raises:
        DatasetError: the folder is already there.
        ResourceError: a file cannot be written.
    """
    if directory.exists():
        raise DatasetError("the folder exists already", file=directory, remedy="Remove it or choose another folder")
    partial = directory.with_name(f".{directory.name}.partial-{os.getpid()}")
    try:
        with named_after_target(partial, directory):
            rows = _write_split(partial, "Tr", training) + _write_split(partial, "Ts", testing)
            (partial / "dataset.json").write_text(json.dumps(_info(task, training), indent=1) + "\n", encoding="utf-8")
            with (partial / "cases.csv").open("w", newline="", encoding="utf-8") as stream:
                csv.writer(stream).writerows([("case", "group", "shape", "foreground_voxels", "labels"), *rows])
            partial.rename(directory)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return directory


def _write_split(folder: Path, split: str, exams: Iterable[Exam]) -> list[tuple[str, str, str, int, str]]:
    rows = []
    for exam in exams:
        picture = exam.render()
        for kind, name in (("images", f"{exam.name}_0000.nii.gz"), ("labels", f"{exam.name}.nii.gz")):
            array = picture.volume.voxels.astype(np.int16) if kind == "images" else picture.labels
            write_image(to_sitk(array, picture.volume), folder / f"{kind}{split}" / name)
        shape = "x".join(str(length) for length in picture.volume.shape[::-1])
        values = " ".join(str(value) for value in np.unique(picture.labels))
        rows.append((exam.name, exam.group, shape, int(np.count_nonzero(picture.labels)), values))
    return rows


def _info(task: PhantomTask, training: list[Exam]) -> dict[str, object]:
    return {
        "channel_names": {"0": task.modality},
        "labels": {"background": 0, **task.labels},
        "numTraining": len(training),
        "file_ending": ".nii.gz",
        "name": task.dataset,
        "description": f"synthetic {task.prefix} phantom, made by code from a seed",
        "anatomy": task.region,
        "reference": "MultiTaskSeg phantom cohort",
        "licence": "CC0-1.0",
        "released_weights_may_use": True,
    }
