"""What a run says about the cost of its training, however often it was interrupted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from trainer.multi_task import steps
from trainer.report.run_folder import RunFolder
from trainer.training.checkpoint import save_checkpoint


def cost(folder: Path, monkeypatch: pytest.MonkeyPatch, reached: tuple[int, int], clock_s: Iterator[float]) -> Any:
    """Of a training that begins and ends at these steps."""
    found = iter(reached)
    monkeypatch.setattr(steps, "checkpoint_step", lambda path: next(found))
    monkeypatch.setattr(steps, "_processor_s", lambda: next(clock_s))
    return steps.spent(RunFolder(folder / steps.MODEL), folder, lambda: None)


def test_the_cost_is_kept_of_a_run_that_failed_when_it_was_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "runs" / "one"
    folder.mkdir(parents=True)
    first = cost(folder, monkeypatch, (0, 10), iter((5.0, 25.0)))
    assert first == {"steps": 10.0, "cpu_s": 20.0}
    assert cost(folder, monkeypatch, (10, 10), iter((0.0, 0.5))) == first


def test_of_an_interrupted_training_the_rest_tells_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "runs" / "one"
    folder.mkdir(parents=True)
    assert cost(folder, monkeypatch, (6, 10), iter((0.0, 8.0))) == {"steps": 10.0, "cpu_s": 20.0}


def test_what_comes_once_after_the_steps_is_not_counted_for_those_before_the_interruption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "runs" / "one"
    folder.mkdir(parents=True)
    run = RunFolder(folder / steps.MODEL)
    # Two seconds a step: interrupted before the last one, whose attempt also fits temperatures for eighteen.
    for step in (5, 10):
        run.append({"step": step, "elapsed_s": 2.0 * step})
    monkeypatch.setattr(steps, "_clock_s", iter((100.0, 120.0)).__next__)
    found = cost(folder, monkeypatch, (9, 10), iter((0.0, 20.0)))
    # Not 200, which the share of the steps would tell.
    assert found == {"steps": 10.0, "cpu_s": 38.0}


def test_a_training_that_ended_just_before_its_cost_was_kept_is_estimated_from_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "runs" / "one"
    folder.mkdir(parents=True)
    RunFolder(folder / steps.MODEL).append({"step": 10, "elapsed_s": 20.0})
    monkeypatch.setattr(steps, "_clock_s", iter((100.0, 104.0)).__next__)
    assert cost(folder, monkeypatch, (10, 10), iter((0.0, 8.0))) == {"steps": 10.0, "cpu_s": 48.0}


def test_steps_that_are_done_once_more_after_a_kill_are_no_gain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "runs" / "one"
    folder.mkdir(parents=True)
    run, clock_s = RunFolder(folder / steps.MODEL), iter((0.0, 8.0))
    monkeypatch.setattr(steps, "_processor_s", lambda: next(clock_s))
    # Killed long after its last checkpoint, as the log tells.
    save_checkpoint(run.checkpoint, {"step": 6}, {})
    run.append({"step": 9, "loss": 1.0})

    def train() -> None:
        save_checkpoint(run.checkpoint, {"step": 10}, {})

    assert steps.spent(run, folder, train) == {"steps": 10.0, "cpu_s": 20.0}
