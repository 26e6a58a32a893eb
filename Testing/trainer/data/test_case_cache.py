"""Prepared cases on disk: right, reused, and made anew when anything changed."""

from __future__ import annotations

import os
import shutil
import threading
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from MultiTaskSegLib.runtime.errors import DatasetError, ResourceError
from MultiTaskSegLib.runtime.image.image_file import read_image
from MultiTaskSegLib.runtime.image.preparation import prepare
from MultiTaskSegLib.runtime.image.profile import Intensity
from Testing.trainer.synthetic_dataset import BallDataset
from trainer.config import TrainingConfig
from trainer.data import case_cache
from trainer.data.case_cache import ENDING, POINTS_PER_LABEL, output_labels, prepare_cases
from trainer.data.dataset import read_dataset
from trainer.data.memory_room import MemoryRoom
from trainer.data.planning import TaskPlan, make_plan
from trainer.data.preparation_memory import preparation_bytes

BALLS = BallDataset("Balls", patients=3, label_values=(3, 7))


@pytest.fixture
def task(tmp_path: Path) -> TaskPlan:
    dataset = read_dataset(BALLS.write(tmp_path))
    return make_plan([dataset], TrainingConfig(channels=(4, 6))).tasks[0]


def stamps(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.rglob(f"*{ENDING}")}


def test_a_prepared_case_holds_the_prepared_voxels_and_the_output_labels(task: TaskPlan, tmp_path: Path) -> None:
    prepared = prepare_cases(task, task.dataset.cases, tmp_path / "cache")
    assert [p.case for p in prepared] == list(task.dataset.cases)
    for number, found in enumerate(prepared):
        expected = prepare(read_image(found.case.image), task.profile).voxels
        np.testing.assert_array_equal(found.voxels, expected.astype(np.float16))
        stored = BALLS.case(number)[1]
        np.testing.assert_array_equal(found.labels, np.select([stored == 3, stored == 7], [1, 2]))


def test_points_lie_in_their_label_and_are_not_too_many(task: TaskPlan, tmp_path: Path) -> None:
    for found in prepare_cases(task, task.dataset.cases, tmp_path / "cache"):
        assert set(found.points) == {1, 2}
        for value, points in found.points.items():
            labels = np.asarray(found.labels)
            assert (labels[tuple(points.T)] == value).all()
            assert len(points) == min(POINTS_PER_LABEL, int((labels == value).sum()))
            assert len(np.unique(points, axis=0)) == len(points)


def test_a_second_call_reads_what_the_first_one_wrote(task: TaskPlan, tmp_path: Path) -> None:
    first = prepare_cases(task, task.dataset.cases, tmp_path / "cache")
    written = stamps(tmp_path / "cache")
    second = prepare_cases(task, task.dataset.cases, tmp_path / "cache")
    assert stamps(tmp_path / "cache") == written
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a.voxels, b.voxels)
        np.testing.assert_array_equal(a.labels, b.labels)
        assert all((a.points[v] == b.points[v]).all() for v in a.points)


@pytest.mark.parametrize("side", ["image", "label"])
def test_a_changed_file_is_prepared_anew(task: TaskPlan, tmp_path: Path, side: str) -> None:
    before = prepare_cases(task, task.dataset.cases, tmp_path / "cache")[0]
    first, second = task.dataset.cases[:2]
    source, target = getattr(second, side), getattr(first, side)
    target.write_bytes(source.read_bytes())
    os.utime(target, ns=(1, 1))
    after = prepare_cases(task, task.dataset.cases, tmp_path / "cache")[0]
    changed, kept = ("voxels", "labels") if side == "image" else ("labels", "voxels")
    assert (np.asarray(getattr(after, changed)) != np.asarray(getattr(before, changed))).any()
    np.testing.assert_array_equal(getattr(after, kept), getattr(before, kept))
    assert after.fingerprint != before.fingerprint


def test_files_that_were_copied_or_touched_are_not_prepared_again(task: TaskPlan, tmp_path: Path) -> None:
    before = prepare_cases(task, task.dataset.cases, tmp_path / "cache")
    written = stamps(tmp_path / "cache")
    copy = shutil.copytree(tmp_path / "Balls", tmp_path / "elsewhere" / "Balls")
    task.dataset.cases[0].image.touch()
    moved = replace(task, dataset=read_dataset(copy))
    after = prepare_cases(moved, moved.dataset.cases, tmp_path / "cache")
    assert [case.fingerprint for case in after] == [case.fingerprint for case in before]
    assert stamps(tmp_path / "cache") == written


def test_another_profile_is_prepared_anew(task: TaskPlan, tmp_path: Path) -> None:
    before = prepare_cases(task, task.dataset.cases, tmp_path / "cache")[0]
    other = replace(task, profile=replace(task.profile, intensity=Intensity("percentile", 20.0, 80.0)))
    after = prepare_cases(other, task.dataset.cases, tmp_path / "cache")[0]
    assert (np.asarray(after.voxels) != np.asarray(before.voxels)).any()
    assert after.fingerprint != before.fingerprint


def test_labels_that_were_resampled_in_another_way_are_prepared_anew(
    task: TaskPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    prepare_cases(task, task.dataset.cases, cache)
    first = stamps(cache)
    monkeypatch.setattr("trainer.data.case_cache.LABELS_BY", "the nearest voxel")
    prepare_cases(task, task.dataset.cases, cache)
    assert len(stamps(cache)) == 2 * len(first)


@pytest.mark.parametrize("kept", [0, 7, 100, 0.5, -1])
def test_a_case_that_was_cut_off_on_disk_is_prepared_again(task: TaskPlan, tmp_path: Path, kept: float) -> None:
    expected = np.array(prepare_cases(task, task.dataset.cases, tmp_path / "cache")[0].voxels)
    (path,) = (tmp_path / "cache").rglob(f"case_00.*{ENDING}")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole)) if isinstance(kept, float) else kept])
    np.testing.assert_array_equal(prepare_cases(task, task.dataset.cases, tmp_path / "cache")[0].voxels, expected)
    assert path.stat().st_size == len(whole)


def test_a_prepared_case_under_the_name_of_another_is_not_believed(task: TaskPlan, tmp_path: Path) -> None:
    expected = np.array(prepare_cases(task, task.dataset.cases, tmp_path / "cache")[0].voxels)
    first, second = (next((tmp_path / "cache").rglob(f"case_0{n}.*{ENDING}")) for n in (0, 1))
    shutil.copy(second, first)
    np.testing.assert_array_equal(prepare_cases(task, task.dataset.cases, tmp_path / "cache")[0].voxels, expected)


def test_a_case_that_was_being_written_when_the_power_went_is_prepared_again(
    task: TaskPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases, folder = task.dataset.cases[:1], tmp_path / "cache"
    whole = prepare_cases(task, cases, tmp_path / "whole")[0]

    def cut(tensors: dict[str, np.ndarray], path: Path, **words: object) -> None:
        Path(path).write_bytes(b"half of it")
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(case_cache, "save_file", cut)
        with pytest.raises(KeyboardInterrupt):
            prepare_cases(task, cases, folder)
    assert not list(folder.rglob(f"*{ENDING}"))
    found = prepare_cases(task, cases, folder)[0]
    np.testing.assert_array_equal(found.labels, whole.labels)
    np.testing.assert_array_equal(found.voxels, whole.voxels)
    assert {v: p.tolist() for v, p in found.points.items()} == {v: p.tolist() for v, p in whole.points.items()}


def test_a_case_that_another_process_has_just_put_there_and_holds_open_is_taken(
    task: TaskPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = os.replace

    def faster(source: Path, target: Path) -> None:
        if not str(target).endswith(ENDING):
            return plain(source, target)
        shutil.copy(source, target)
        raise PermissionError(13, "The process cannot access the file")

    whole = prepare_cases(task, task.dataset.cases[:1], tmp_path / "whole")[0]
    monkeypatch.setattr(case_cache.os, "replace", faster)
    found = prepare_cases(task, task.dataset.cases[:1], tmp_path / "cache")[0]
    np.testing.assert_array_equal(found.voxels, whole.voxels)


def test_a_case_that_is_changed_while_it_is_read_is_not_kept_as_what_it_was(
    task: TaskPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = case_cache.read_prepared

    def changed(case: Any, *arguments: Any) -> Any:
        case.image.write_bytes(task.dataset.cases[1].image.read_bytes())
        return plain(case, *arguments)

    with monkeypatch.context() as context:
        context.setattr(case_cache, "read_prepared", changed)
        with pytest.raises(DatasetError, match="case_00 were changed while"):
            prepare_cases(task, task.dataset.cases[:1], tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob(f"*{ENDING}"))


def test_a_full_disk_is_said(task: TaskPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object, **words: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(case_cache, "save_file", full)
    with pytest.raises(ResourceError, match="No space left"):
        prepare_cases(task, task.dataset.cases, tmp_path / "cache")


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open descriptors are counted through /proc")
def test_no_file_stays_open_however_many_cases_there_are(task: TaskPlan, tmp_path: Path) -> None:
    def open_files() -> int:
        return len(os.listdir("/proc/self/fd"))

    before = open_files()
    cases = [replace(case, name=f"{case.name}_{n}") for n in range(20) for case in task.dataset.cases]
    prepared = prepare_cases(task, cases, tmp_path / "cache")
    kept = [(case.voxels[0:1, 0:1, 0:1], np.asarray(case.labels)) for case in prepared]
    assert len(kept) == 60
    assert open_files() == before


def test_cases_are_prepared_side_by_side_only_as_far_as_memory_reaches(
    task: TaskPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running, most, wanted, changed = [0], [0], [0], threading.Condition()
    plain = case_cache.read_prepared

    def counted(*arguments: Any) -> Any:
        with changed:
            running[0] += 1
            most[0] = max(most[0], running[0])
            changed.notify_all()
            assert changed.wait_for(lambda: most[0] >= wanted[0], timeout=20)
        # Time for one too many to come.
        time.sleep(0.01)
        with changed:
            running[0] -= 1
        return plain(*arguments)

    cases = [replace(case, name=f"{case.name}_{n}") for n in range(3) for case in task.dataset.cases]
    one = preparation_bytes(cases[0], task.profile)
    monkeypatch.setattr(case_cache, "read_prepared", counted)
    monkeypatch.setattr(case_cache, "usable_cores", lambda: 5)
    for room, expected in ((one // 2, 1), (int(2.5 * one), 2), (None, 5)):
        monkeypatch.setattr(case_cache.MemoryRoom, "of_machine", lambda room=room: nullcontext(MemoryRoom(room)))
        most[0], wanted[0] = 0, expected
        prepare_cases(task, cases, tmp_path / f"cache-{expected}")
        assert most[0] == expected


def test_undeclared_label_values_become_background(task: TaskPlan) -> None:
    stored = np.array([-3, 0, 1, 3, 7, 8, 255, 256, 259, 263, 70000], dtype=np.int32)
    np.testing.assert_array_equal(output_labels(task, stored), [0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0])


def test_a_value_beyond_255_does_not_become_the_label_255(task: TaskPlan) -> None:
    last = replace(task, label_values=((255,), (1,)))
    np.testing.assert_array_equal(output_labels(last, np.array([255, 256, 1000, -1])), [1, 0, 0, 0])


def test_all_labels_are_foreground_of_a_shared_head(task: TaskPlan) -> None:
    shared = replace(task, label_values=((3, 7),))
    np.testing.assert_array_equal(output_labels(shared, np.array([0, 3, 5, 7])), [0, 1, 0, 1])


def test_a_label_of_another_shape_is_refused(task: TaskPlan, tmp_path: Path) -> None:
    other = read_dataset(BallDataset("Other", shape=(8, 8, 8)).write(tmp_path))
    case = replace(task.dataset.cases[0], label=other.cases[0].label)
    with pytest.raises(DatasetError, match=r"shape \(8, 8, 8\)"):
        prepare_cases(task, [case], tmp_path / "cache")


def test_every_case_is_reported_as_progress(task: TaskPlan, tmp_path: Path) -> None:
    told: list[int] = []
    prepare_cases(task, task.dataset.cases, tmp_path / "cache", lambda: told.append(1))
    assert len(told) == 3
