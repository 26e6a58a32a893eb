"""What is kept of a case is used again for the same question, and for no other."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from MultiTaskSegLib.runtime.model.manifest import TaskInfo
from Testing.runtime.tiny_model import tiny_manifest
from Testing.trainer.synthetic_dataset import BallDataset
from trainer.calibration.scaling import Scaling
from trainer.data.dataset import read_dataset
from trainer.data.labelled_case import LabelledCase
from trainer.layout.case import Case
from trainer.uncertainty.case_store import CaseStore


class Counting:
    """An estimator that counts how often it is asked."""

    name = "counting"

    def __init__(self, sharpness: float = 1.0) -> None:
        self.settings = {"sharpness": sharpness}
        self.asked = 0
        self._sharpness = sharpness

    def passes(self, task: TaskInfo) -> int:
        """One."""
        return 1

    def log_probabilities(self, case: LabelledCase) -> np.ndarray:
        """Brighter voxels are more likely foreground."""
        self.asked += 1
        logit = self._sharpness * (4 * case.prepared.voxels - 2)
        return np.stack([-np.logaddexp(0, logit), -np.logaddexp(0, -logit)]).astype(np.float32)


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return read_dataset(BallDataset("Dataset001_Ball", patients=3).write(tmp_path / "data")).cases[0]


TASK = tiny_manifest().tasks[1]
NAMES = {TASK.name: {1: "cube"}, "another": {1: "cube"}}


def test_the_estimator_is_asked_once_for_everything(case: Case, tmp_path: Path) -> None:
    store, estimator = CaseStore(tmp_path, NAMES), Counting()
    store.fit_voxels(estimator, case, TASK)
    store.statistics(estimator, case, TASK, [Scaling()], False)
    store.statistics(estimator, case, TASK, [Scaling(2.0)], False)
    assert estimator.asked == 1


def test_another_calibration_is_measured_anew(case: Case, tmp_path: Path) -> None:
    store, estimator = CaseStore(tmp_path, NAMES), Counting()
    plain, warm = (store.statistics(estimator, case, TASK, [Scaling(t)], False) for t in (1.0, 3.0))
    assert not np.array_equal(plain.reliability, warm.reliability)
    with_ideal = store.statistics(estimator, case, TASK, [Scaling()], True)
    assert with_ideal.squared_error[0, 3, 0] > 0 == plain.squared_error[0, 3, 0]


def test_another_estimator_task_or_image_is_asked_anew(case: Case, tmp_path: Path) -> None:
    store, estimator, sharp = CaseStore(tmp_path, NAMES), Counting(), Counting(2.0)
    store.fit_voxels(estimator, case, TASK)
    store.fit_voxels(sharp, case, TASK)
    assert (estimator.asked, sharp.asked) == (1, 1)
    store.fit_voxels(estimator, case, replace(TASK, name="another"))
    assert estimator.asked == 2
    other = replace(TASK.labels[0], value=TASK.labels[0].value + 1)
    store.fit_voxels(estimator, case, replace(TASK, labels=(other,)))
    assert estimator.asked == 3
    # The dataset's numbers decide which voxels are the truth.
    CaseStore(tmp_path, {TASK.name: {1: "other", 2: "cube"}}).fit_voxels(estimator, case, TASK)
    assert estimator.asked == 4


@pytest.mark.parametrize("side", ["image", "label"])
def test_a_changed_file_is_asked_anew_also_in_the_same_process(case: Case, tmp_path: Path, side: str) -> None:
    store, estimator = CaseStore(tmp_path, NAMES), Counting()
    before = store.fit_voxels(estimator, case, TASK)
    path: Path = getattr(case, side)
    state, other = path.stat(), path.with_name(path.name.replace("case_00", "case_01"))
    path.write_bytes(other.read_bytes())
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    after = store.fit_voxels(estimator, case, TASK)
    assert estimator.asked == 2
    part = "logits" if side == "image" else "labels"
    assert not np.array_equal(getattr(before.informative, part), getattr(after.informative, part))


def test_a_file_that_was_copied_or_touched_is_not_asked_again(case: Case, tmp_path: Path) -> None:
    estimator = Counting()
    CaseStore(tmp_path, NAMES).fit_voxels(estimator, case, TASK)
    case.image.touch()
    moved = replace(case, image=Path(shutil.copy(case.image, tmp_path / "moved.nii.gz")))
    CaseStore(tmp_path, NAMES).fit_voxels(estimator, case, TASK)
    CaseStore(tmp_path, NAMES).fit_voxels(estimator, moved, TASK)
    assert estimator.asked == 1


def test_small_results_outlive_the_maps(case: Case, tmp_path: Path) -> None:
    store, estimator = CaseStore(tmp_path, NAMES), Counting()
    before = store.fit_voxels(estimator, case, TASK)
    kept = store.statistics(estimator, case, TASK, [Scaling()], False)
    store.remove_maps()
    after = CaseStore(tmp_path, NAMES).fit_voxels(estimator, case, TASK)
    np.testing.assert_array_equal(before.surface.logits, after.surface.logits)
    again = CaseStore(tmp_path, NAMES).statistics(estimator, case, TASK, [Scaling()], False)
    np.testing.assert_array_equal(kept.errors, again.errors)
    assert estimator.asked == 1
