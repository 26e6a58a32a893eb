"""Prepared cases on disk: voxels, labels and label positions, of which training reads what it needs."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from MultiTaskSegLib.runtime.errors import DatasetError, ResourceError
from MultiTaskSegLib.runtime.image.preparation import prepare
from trainer.data.data_fingerprint import case_content
from trainer.data.label_resampling import LABELS_BY
from trainer.data.memory_room import MemoryRoom
from trainer.data.planning import TaskPlan
from trainer.data.preparation_memory import preparation_bytes
from trainer.data.prepared_label import PREPARED_BY, read_prepared
from trainer.data.stored_array import StoredArray, Voxels
from trainer.identity.file_content import MEMORY_NAME, FileContents
from trainer.identity.fingerprint import fingerprint
from trainer.layout.case import Case
from trainer.layout.recently_read import forget_volumes
from trainer.machine.processor import usable_cores

POINTS_PER_LABEL = 400
# Changes whenever files that an earlier version wrote must not be used any more; see also `PREPARED_BY`.
FILE_VERSION = 3
ENDING = ".prepared.safetensors"
VOXELS, LABELS, POINTS, FINGERPRINT = "voxels", "labels", "points.", "fingerprint"
NAME_DIGITS = 16


@dataclass(frozen=True)
class PreparedCase:
    """A case on its profile's grid.

    Attributes:
        case: where it came from.
        voxels: float16 ``(Z, Y, X)`` in [0, 1].
        labels: uint8 ``(Z, Y, X)`` with the task's output labels.
        points: by output label, int16 ``(n, 3)`` voxel indices ``(z, y, x)`` drawn from it; absent labels are missing.
        fingerprint: of the content of its files and of how they were prepared.
    """

    case: Case
    voxels: Voxels
    labels: Voxels
    points: dict[int, NDArray[np.int16]]
    fingerprint: str = ""


def prepare_cases(
    task: TaskPlan, cases: Sequence[Case], folder: Path, advance: Callable[[], None] | None = None
) -> list[PreparedCase]:
    """Prepare cases, reusing what an earlier run left in ``folder``, which several runs may share.

    As many cases are prepared side by side as there are cores and as fit into memory. What is on disk belongs to the
    content of the case's files and to the preparation, whatever the files are called and whenever they were written.

    Raises:
        DatasetError: a label map does not lie on its image's grid or holds values that are not declared, or files were
            changed while they were read.
        InputError: a file cannot be read.
        ResourceError: a file cannot be written.
    """
    target = folder / task.name
    target.mkdir(parents=True, exist_ok=True)
    contents = FileContents(folder / MEMORY_NAME)

    def one(case: Case, room: MemoryRoom) -> PreparedCase:
        """The case, which is prepared if it is not there."""
        mark = _fingerprint(task, case, contents)
        path = target / f"{case.name}.{mark[:NAME_DIGITS]}{ENDING}"
        found = _open(case, path, mark)
        if found is None:
            with room.taken(preparation_bytes(case, task.profile)):
                found = _made(task, case, path, mark)
            _require_unchanged(case, path, mark, _fingerprint(task, case, contents))
        if advance is not None:
            advance()
        return found

    try:
        with MemoryRoom.of_machine() as room, ThreadPoolExecutor(usable_cores()) as pool:
            return list(pool.map(one, cases, repeat(room)))
    finally:
        forget_volumes()
        contents.keep()


def _fingerprint(task: TaskPlan, case: Case, contents: FileContents) -> str:
    """Changes whenever the content of the source files or the preparation changes."""
    preparation = [FILE_VERSION, PREPARED_BY, LABELS_BY, asdict(task.profile), task.label_values]
    # The name decides which positions of a label are kept.
    return fingerprint([*preparation, case.name, case_content(case, contents)])


def _require_unchanged(case: Case, path: Path, before: str, after: str) -> None:
    if after != before:
        path.unlink(missing_ok=True)
        raise DatasetError(
            f"the files of case {case.name} were changed while they were read", file=case.image, remedy="Start again"
        )


def _made(task: TaskPlan, case: Case, path: Path, mark: str) -> PreparedCase:
    try:
        _write(task, case, path, mark)
    except ResourceError:
        # Another process was faster and is reading its own: Windows does not replace a file that is open.
        found = _open(case, path, mark)
        if found is None:
            raise
        return found
    found = _open(case, path, mark)
    assert found is not None
    return found


def _write(task: TaskPlan, case: Case, path: Path, mark: str) -> None:
    if task.label_names:
        prepared, labels = read_prepared(
            case, task.profile, task.dataset.labels, lambda stored: output_labels(task, stored)
        )
    else:
        prepared = prepare(case.read_image(), task.profile)
        labels = np.zeros(prepared.voxels.shape, dtype=np.uint8)
    rng = np.random.default_rng(int(hashlib.sha256(case.name.encode()).hexdigest()[:8], 16))
    tensors: dict[str, NDArray[Any]] = {f"{POINTS}{v}": label_points(labels, v, rng) for v in np.unique(labels) if v}
    tensors |= {VOXELS: prepared.voxels.astype(np.float16), LABELS: labels}
    _save(path, {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, mark)


def output_labels(task: TaskPlan, stored: NDArray[np.integer]) -> NDArray[np.uint8]:
    """The dataset's label values to the task's output labels 1, 2, ...; what the task does not learn is background."""
    table = np.zeros(256, dtype=np.uint8)
    for index, values in enumerate(task.label_values, start=1):
        table[list(values)] = index
    declared_range = np.where((stored >= 0) & (stored < len(table)), stored, 0)
    mapped: NDArray[np.uint8] = table[declared_range.astype(np.uint8)]
    return mapped


def label_points(labels: NDArray[np.uint8], value: int, rng: np.random.Generator) -> NDArray[np.int16]:
    """Some positions ``(n, 3)`` of a label that is there."""
    found = np.flatnonzero(labels == value)
    chosen = rng.choice(len(found), size=min(POINTS_PER_LABEL, len(found)), replace=False)
    return np.stack(np.unravel_index(found[np.sort(chosen)], labels.shape), axis=1).astype(np.int16)


def _save(path: Path, tensors: dict[str, NDArray[np.generic]], mark: str) -> None:
    """Write a case under a name of its own first: another process may be preparing the same one.

    The bytes are not forced to the disk, which would take longer than to prepare a small case again: a file that a
    power cut has left cut off is noticed when it is opened.
    """
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".partial-") as folder:
            temporary = Path(folder) / "case"
            save_file(tensors, temporary, metadata={FINGERPRINT: mark})
            os.replace(temporary, path)
    except (OSError, SafetensorError) as error:
        raise ResourceError(
            f"the prepared case cannot be written ({error})", file=path, remedy="Check permissions and free disk space"
        ) from error


def _open(case: Case, path: Path, mark: str) -> PreparedCase | None:
    """A case on disk; None when it is not there, not whole, or another one."""
    if not path.is_file():
        return None
    try:
        with safe_open(str(path), framework="numpy") as file:
            if (file.metadata() or {}).get(FINGERPRINT) != mark:
                return None
            names = list(file.keys())
            points = {int(n.removeprefix(POINTS)): file.get_tensor(n) for n in names if n.startswith(POINTS)}
            voxels, labels = (StoredArray(path, n, tuple(file.get_slice(n).get_shape())) for n in (VOXELS, LABELS))
    except (OSError, SafetensorError):
        return None
    return PreparedCase(case, voxels, labels, dict(sorted(points.items())), mark)
