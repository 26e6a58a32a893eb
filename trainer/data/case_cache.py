"""Prepared cases on disk: voxels, labels and label positions, of which training reads what it needs."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from MultiTaskSegLib.runtime.errors import DatasetError, ResourceError
from MultiTaskSegLib.runtime.image.preparation import prepare
from MultiTaskSegLib.runtime.model.structure import to_plain
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
        voxels: float16 ``(Z, Y, X)`` in [0, 1], of the first channel.
        labels: uint8 ``(Z, Y, X)`` with the task's output labels; of regions with the dataset's own values, of which
            each may belong to several regions.
        points: by label in ``labels``, int16 ``(n, 3)`` voxel indices ``(z, y, x)`` drawn from it; none if
            it is absent.
        fingerprint: of the content of its files and of how they were prepared.
        further: the other channels, like ``voxels``.
    """

    case: Case
    voxels: Voxels
    labels: Voxels
    points: dict[int, NDArray[np.int16]]
    fingerprint: str = ""
    further: tuple[Voxels, ...] = ()

    def network_input(self) -> NDArray[np.float32]:
        """All of it as the network takes it: ``(Z, Y, X)``, of several channels ``(C, Z, Y, X)``."""
        first = np.asarray(self.voxels, dtype=np.float32)
        if not self.further:
            return first
        return np.stack([first, *(np.asarray(channel, dtype=np.float32) for channel in self.further)])


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
    preparation = [FILE_VERSION, PREPARED_BY, LABELS_BY, to_plain(task.profile), task.label_values]
    if task.are_regions:
        preparation.append("regions")
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
        labels = np.zeros(prepared.grid_shape, dtype=np.uint8)
    rng = np.random.default_rng(int(hashlib.sha256(case.name.encode()).hexdigest()[:8], 16))
    tensors: dict[str, NDArray[Any]] = {f"{POINTS}{v}": label_points(labels, v, rng) for v in np.unique(labels) if v}
    channels = prepared.voxels.reshape(-1, *prepared.grid_shape)
    tensors |= {_name(number): channel.astype(np.float16) for number, channel in enumerate(channels)}
    tensors[LABELS] = labels
    _save(path, {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, mark)


def _name(channel: int) -> str:
    return f"{VOXELS}.{channel}" if channel else VOXELS


def output_labels(task: TaskPlan, stored: NDArray[np.integer]) -> NDArray[np.uint8]:
    """The dataset's label values to the task's output labels 1, 2, ...; what the task does not learn is background.

    Of regions, which may overlap, the values stay as they are.
    """
    table = np.zeros(256, dtype=np.uint8)
    if task.are_regions:
        known = [value for values in task.label_values for value in values]
        table[known] = known
    for index, values in enumerate(() if task.are_regions else task.label_values, start=1):
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
            wanted = [LABELS, *(_name(number) for number in range(1 + len(case.further)))]
            labels, voxels, *further = (StoredArray(path, n, tuple(file.get_slice(n).get_shape())) for n in wanted)
    except (OSError, SafetensorError):
        return None
    return PreparedCase(case, voxels, labels, dict(sorted(points.items())), mark, tuple(further))
