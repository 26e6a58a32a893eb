"""Prepared cases on disk: right, reused, and made anew when anything changed."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from MultiTaskSegLib.runtime.errors import DatasetError
from MultiTaskSegLib.runtime.image.image_file import read_image
from MultiTaskSegLib.runtime.image.preparation import prepare
from MultiTaskSegLib.runtime.image.profile import Intensity
from Testing.trainer.synthetic_dataset import BallDataset
from trainer.config import TrainingConfig
from trainer.data.case_cache import POINTS_PER_LABEL, output_labels, prepare_cases
from trainer.data.dataset import read_dataset
from trainer.data.planning import TaskPlan, make_plan

BALLS = BallDataset("Balls", patients=3, label_values=(3, 7))


@pytest.fixture
def task(tmp_path: Path) -> TaskPlan:
    dataset = read_dataset(BALLS.write(tmp_path))
    return make_plan([dataset], TrainingConfig(channels=(4, 6))).tasks[0]


def stamps(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


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
            assert (found.labels[tuple(points.T)] == value).all()
            assert len(points) == min(POINTS_PER_LABEL, int((found.labels == value).sum()))
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
    assert (getattr(after, changed) != getattr(before, changed)).any()
    np.testing.assert_array_equal(getattr(after, kept), getattr(before, kept))


def test_another_profile_is_prepared_anew(task: TaskPlan, tmp_path: Path) -> None:
    before = prepare_cases(task, task.dataset.cases, tmp_path / "cache")[0]
    other = replace(task, profile=replace(task.profile, intensity=Intensity("percentile", 20.0, 80.0)))
    after = prepare_cases(other, task.dataset.cases, tmp_path / "cache")[0]
    assert (after.voxels != before.voxels).any()


def test_a_case_whose_preparation_was_cut_off_is_prepared_again(task: TaskPlan, tmp_path: Path) -> None:
    expected = np.array(prepare_cases(task, task.dataset.cases, tmp_path / "cache")[0].voxels)
    for path in (tmp_path / "cache").rglob("case_00.*.voxels.npy"):
        path.unlink()
    np.testing.assert_array_equal(prepare_cases(task, task.dataset.cases, tmp_path / "cache")[0].voxels, expected)


@pytest.mark.parametrize("cut_at", ["labels", "points", "voxels"])
def test_a_case_that_was_being_written_when_the_power_went_is_prepared_again(
    task: TaskPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut_at: str
) -> None:
    cases, folder = task.dataset.cases[:1], tmp_path / "cache"
    whole = prepare_cases(task, cases, tmp_path / "whole")[0]
    plain = os.replace

    def cut(source: Path, target: Path) -> None:
        # The points are the file whose name has no word for its content.
        words = [word for word in ("labels", "voxels") if word in Path(target).name] or ["points"]
        if words == [cut_at]:
            raise KeyboardInterrupt
        plain(source, target)

    with monkeypatch.context() as context:
        context.setattr(os, "replace", cut)
        with pytest.raises(KeyboardInterrupt):
            prepare_cases(task, cases, folder)
    found = prepare_cases(task, cases, folder)[0]
    np.testing.assert_array_equal(found.labels, whole.labels)
    np.testing.assert_array_equal(found.voxels, whole.voxels)
    assert {v: p.tolist() for v, p in found.points.items()} == {v: p.tolist() for v, p in whole.points.items()}


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
