"""Prepared cases on disk: memory-mapped voxels, labels and label positions."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.image.preparation import prepare
from trainer.data.planning import TaskPlan
from trainer.data.prepared_label import read_prepared
from trainer.layout.case import Case

POINTS_PER_LABEL = 400


@dataclass(frozen=True)
class PreparedCase:
    """A case on its profile's grid.

    Attributes:
        case: where it came from.
        voxels: float16 ``(Z, Y, X)`` in [0, 1], memory-mapped.
        labels: uint8 ``(Z, Y, X)`` with the task's output labels, memory-mapped.
        points: by output label, int16 ``(n, 3)`` voxel indices ``(z, y, x)`` drawn from it; absent labels are missing.
    """

    case: Case
    voxels: NDArray[np.float16]
    labels: NDArray[np.uint8]
    points: dict[int, NDArray[np.int16]]


def prepare_cases(
    task: TaskPlan, cases: Sequence[Case], folder: Path, advance: Callable[[], None] | None = None
) -> list[PreparedCase]:
    """Prepare cases in parallel, reusing what an earlier run left in ``folder``.

    Raises:
        DatasetError: image and label differ in shape.
        InputError: a file cannot be read.
    """
    target = folder / task.name
    target.mkdir(parents=True, exist_ok=True)

    def one(case: Case) -> Path:
        """Path of the case's files, which are written when they are not there."""
        path = target / f"{case.name}.{_fingerprint(task, case)}.npz"
        if not path.with_suffix(".voxels.npy").is_file():
            _write(task, case, path)
        if advance is not None:
            advance()
        return path

    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        paths = list(pool.map(one, cases))
    # One after the other: numpy parses the header of each file, and parsing in several threads at once can raise a
    # SystemError in CPython 3.11 (gh-106905).
    return [_open(case, path) for case, path in zip(cases, paths, strict=True)]


def _fingerprint(task: TaskPlan, case: Case) -> str:
    """Changes whenever the source files or the preparation change."""
    key = json.dumps([asdict(task.profile), task.label_values, str(case.image), case.fingerprint()])
    return hashlib.sha256(key.encode()).hexdigest()[:12]


def _write(task: TaskPlan, case: Case, path: Path) -> None:
    if task.label_names:
        prepared, labels = read_prepared(case, task.profile, lambda stored: output_labels(task, stored))
    else:
        prepared = prepare(case.read_image(), task.profile)
        labels = np.zeros(prepared.voxels.shape, dtype=np.uint8)
    rng = np.random.default_rng(int(hashlib.sha256(case.name.encode()).hexdigest()[:8], 16))
    points = {str(v): _points(labels, v, rng) for v in np.unique(labels) if v}
    # The voxels come last: their presence says that the case is complete.
    _save(path.with_suffix(".labels.npy"), labels)
    temporary = path.with_suffix(".partial.npz")
    np.savez(temporary, **points)  # type: ignore[arg-type]  # numpy's stubs take every key for allow_pickle
    os.replace(temporary, path)
    _save(path.with_suffix(".voxels.npy"), prepared.voxels.astype(np.float16))


def output_labels(task: TaskPlan, stored: NDArray[np.integer]) -> NDArray[np.uint8]:
    """The dataset's label values to the task's output labels 1, 2, ...; undeclared values become background."""
    table = np.zeros(256, dtype=np.uint8)
    for index, values in enumerate(task.label_values, start=1):
        table[list(values)] = index
    declared_range = np.where((stored >= 0) & (stored < len(table)), stored, 0)
    mapped: NDArray[np.uint8] = table[declared_range.astype(np.uint8)]
    return mapped


def _points(labels: NDArray[np.uint8], value: int, rng: np.random.Generator) -> NDArray[np.int16]:
    found = np.argwhere(labels == value)
    chosen = rng.choice(len(found), size=min(POINTS_PER_LABEL, len(found)), replace=False)
    return found[np.sort(chosen)].astype(np.int16)


def _save(path: Path, array: NDArray[np.generic]) -> None:
    temporary = path.with_suffix(".partial.npy")
    np.save(temporary, array)
    os.replace(temporary, path)


def _open(case: Case, path: Path) -> PreparedCase:
    with np.load(path) as archive:
        points = {int(key): archive[key] for key in archive.files}
    voxels = np.load(path.with_suffix(".voxels.npy"), mmap_mode="r")
    labels = np.load(path.with_suffix(".labels.npy"), mmap_mode="r")
    return PreparedCase(case, voxels, labels, points)
