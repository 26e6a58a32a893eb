"""Maps, drawn voxels and statistics of cases on disk, so that an interrupted experiment goes on where it was."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.machine.atomic_file import atomic_path
from MultiTaskSegLib.runtime.model.manifest import TaskInfo
from MultiTaskSegLib.runtime.model.structure import to_plain
from trainer.calibration.scaling import FitVoxels, Scaling, draw_fit_voxels
from trainer.calibration.temperature import LabelledLogits
from trainer.data.data_fingerprint import case_content
from trainer.data.label_resampling import LABELS_BY
from trainer.data.labelled_case import LabelledCase, read_labelled_case
from trainer.data.prepared_label import PREPARED_BY
from trainer.identity.file_content import MEMORY_NAME, FileContents
from trainer.identity.fingerprint import fingerprint
from trainer.layout.case import Case
from trainer.uncertainty.case_statistics import CaseStatistics, case_statistics
from trainer.uncertainty.estimator import Estimator

# Change whenever what an earlier version has stored must not be used any more.
STORE_VERSION = 3
STATISTICS_VERSION = 1
NAME_DIGITS = 16
FIT_REGIONS = ("informative", "surface", "interior")


class CaseStore:
    """Computes what is not there yet. Files are named after everything that their content depends on: what the files of
    the case hold, whatever they are called; the task with its labels; the estimator; and the calibration.

    Args:
        folder: of the experiment; probability maps (large, removed at the end) and small files lie in it.
        label_names: the datasets' label names by value, by task.
    """

    def __init__(self, folder: Path, label_names: Mapping[str, Mapping[int, str]]) -> None:
        self._label_names = label_names
        self._maps, self._small = folder / "maps", folder / "cases"
        self._contents = FileContents(folder / MEMORY_NAME)
        self._open: tuple[object, LabelledCase] | None = None

    def fit_voxels(self, estimator: Estimator, case: Case, task: TaskInfo) -> FitVoxels:
        """Voxels of a case from which calibrations are fitted."""
        path = self._path(self._small, estimator, case, task, "voxels")
        if not path.is_file():
            chance = np.random.default_rng(int(hashlib.sha256(case.name.encode()).hexdigest()[:8], 16))
            log_probabilities, _ = self._map(estimator, case, task)
            _save_voxels(path, draw_fit_voxels(log_probabilities, self._case(case, task).truth, chance))
        return _load_voxels(path)

    def statistics(
        self, estimator: Estimator, case: Case, task: TaskInfo, scalings: Sequence[Scaling], with_ideal: bool
    ) -> CaseStatistics:
        """Statistics of a case under several calibrations; see `case_statistics`."""
        depends_on = [[asdict(scaling) for scaling in scalings], with_ideal, STATISTICS_VERSION]
        path = self._path(self._small, estimator, case, task, "statistics", depends_on)
        if not path.is_file():
            log_probabilities, seconds = self._map(estimator, case, task)
            case_statistics(self._case(case, task), log_probabilities, scalings, seconds, with_ideal).save(path)
        return CaseStatistics.load(path)

    def remove_maps(self) -> None:
        """Free the disk; what is needed to repeat the report stays."""
        self._contents.keep()
        shutil.rmtree(self._maps, ignore_errors=True)

    def _map(self, estimator: Estimator, case: Case, task: TaskInfo) -> tuple[NDArray[np.float16], float]:
        path = self._path(self._maps, estimator, case, task, "map")
        if not path.is_file():
            labelled = self._case(case, task)
            started_s = time.perf_counter()
            log_probabilities = estimator.log_probabilities(labelled)
            seconds = time.perf_counter() - started_s
            with atomic_path(path) as temporary, temporary.open("wb") as stream:
                np.savez(stream, log_probabilities=log_probabilities.astype(np.float16), seconds=np.float64(seconds))
        with np.load(path, allow_pickle=False) as archive:
            return archive["log_probabilities"], float(archive["seconds"])

    def _case(self, case: Case, task: TaskInfo) -> LabelledCase:
        """The case last used stays open: its estimators come one after the other."""
        wanted = (case, task, case_content(case, self._contents))
        if self._open is None or self._open[0] != wanted:
            self._open = (wanted, read_labelled_case(case, task, self._label_names[task.name]))
        return self._open[1]

    def _path(
        self, root: Path, estimator: Estimator, case: Case, task: TaskInfo, what: str, depends_on: Any = None
    ) -> Path:
        labels = [[label.name, label.value] for label in task.labels]
        meant = [task.name, to_plain(task.profile), task.channel_start, labels, task.single_component]
        names = list(self._label_names[task.name].items())
        content = [case.name, names, case_content(case, self._contents)]
        mark = fingerprint(
            [STORE_VERSION, PREPARED_BY, LABELS_BY, dict(estimator.settings), meant, content, depends_on]
        )
        return root / estimator.name / task.name / f"{case.name}.{what}.{mark[:NAME_DIGITS]}.npz"


def _save_voxels(path: Path, voxels: FitVoxels) -> None:
    arrays: dict[str, NDArray[Any]] = {}
    for name in FIT_REGIONS:
        part: LabelledLogits = getattr(voxels, name)
        arrays |= {f"{name}_logits": part.logits, f"{name}_labels": part.labels, f"{name}_weights": part.weight}
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, **arrays)  # type: ignore[arg-type]  # numpy's stubs take every key for allow_pickle


def _load_voxels(path: Path) -> FitVoxels:
    with np.load(path, allow_pickle=False) as archive:
        parts = [
            LabelledLogits(archive[f"{name}_logits"], archive[f"{name}_labels"], archive[f"{name}_weights"])
            for name in FIT_REGIONS
        ]
    return FitVoxels(*parts)
