"""What a run leaves in its folder is whole or not there, is its own, and says whether it succeeded."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from MultiTaskSegLib.runtime.errors import ResourceError
from MultiTaskSegLib.runtime.machine.folder_lock import FolderLock
from Testing.trainer.experiment.counted import calls
from trainer.experiment.executor import SequentialExecutor
from trainer.experiment.matrix import run_matrix
from trainer.experiment.outcome import execute, read_outcome
from trainer.experiment.run import Job, Run, make_jobs
from trainer.report.run_folder import LOCK_FILE

HERE = "Testing.trainer.experiment.counted"
SQUARE = Run("a", f"{HERE}:square", {"x": 3, "options": {"depth": [1, 2]}})


def job_of(run: Run, root: Path, *others: Run) -> Job:
    return make_jobs([*others, run], root)[run.name]


def test_a_write_that_breaks_off_leaves_no_outcome(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = job_of(SQUARE, tmp_path)
    genuine = Path.write_text

    def half_written(self: Path, text: str, *arguments: Any, **named: Any) -> int:
        if '"metrics"' not in text:
            return genuine(self, text, *arguments, **named)
        genuine(self, text[: len(text) // 2], *arguments, **named)
        raise OSError("no space left on device")

    with monkeypatch.context() as context:
        context.setattr(Path, "write_text", half_written)
        with pytest.raises(ResourceError, match="no space"):
            execute(job)
    assert not (job.folder / "metrics.json").exists()
    execute(job)
    outcome = read_outcome(job)
    assert outcome.metrics is not None
    assert outcome.metrics["y"] == 9


def test_a_run_that_failed_leaves_its_reason_and_no_metrics_and_is_not_reused(tmp_path: Path) -> None:
    run = Run("bad", f"{HERE}:fail_once")
    job = job_of(run, tmp_path)
    execute(job)
    assert not (job.folder / "metrics.json").exists()
    left = json.loads((job.folder / "failure.json").read_text())
    assert left["failure"] == "nothing to see: data. Look again."
    assert "fail_once" in left["traceback"]
    outcome = read_outcome(job)
    assert (outcome.metrics, outcome.failure) == (None, left["failure"])
    again = run_matrix([run], tmp_path, SequentialExecutor(), lambda line: None)
    assert (again.reused, again.failures, calls(job.folder)) == ((), {}, 2)


def test_a_run_at_which_a_process_of_a_killed_experiment_still_works_is_left_to_it(tmp_path: Path) -> None:
    job = job_of(SQUARE, tmp_path)
    former = FolderLock(job.folder, LOCK_FILE, "this run")
    result = run_matrix([SQUARE], tmp_path, SequentialExecutor(), lambda line: None)
    assert "is at work on this run" in result.failures["a"]
    assert calls(job.folder) == 0
    former.release()
    assert run_matrix([SQUARE], tmp_path, SequentialExecutor(), lambda line: None).failures == {}


def test_a_reason_of_an_earlier_try_does_not_outlive_the_next_one(tmp_path: Path) -> None:
    job = job_of(Run("long", f"{HERE}:interrupted_once"), tmp_path)
    job.folder.mkdir()
    known = {"schema": "multitaskseg-run/1", "digest": job.digest, "failure": "an old reason"}
    (job.folder / "failure.json").write_text(json.dumps(known))
    assert read_outcome(job).failure == "an old reason"
    with pytest.raises(KeyboardInterrupt):
        execute(job)
    outcome = read_outcome(job)
    assert (outcome.metrics, outcome.failure) == (None, "")


@pytest.mark.parametrize("key, value", [("digest", "0123456789"), ("schema", "multitaskseg-run/0")])
def test_an_outcome_of_another_run_or_another_format_is_none(key: str, value: str, tmp_path: Path) -> None:
    job = job_of(SQUARE, tmp_path)
    execute(job)
    path = job.folder / "metrics.json"
    assert read_outcome(job).metrics is not None
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    assert read_outcome(job).metrics is None
    path.write_text("[]")
    assert read_outcome(job).metrics is None


OTHERS = {
    "a value": replace(SQUARE, parameters={"x": 4, "options": {"depth": [1, 2]}}),
    "a value deep inside": replace(SQUARE, parameters={"x": 3, "options": {"depth": [1, 3]}}),
    "the order of a list": replace(SQUARE, parameters={"x": 3, "options": {"depth": [2, 1]}}),
    "one more": replace(SQUARE, parameters={**SQUARE.parameters, "y": None}),
    "one less": replace(SQUARE, parameters={"x": 3}),
    "the function": replace(SQUARE, function=f"{HERE}:wrong"),
    "a need": replace(SQUARE, needs=("b",)),
}


@pytest.mark.parametrize("what", OTHERS)
def test_whatever_a_run_depends_on_is_part_of_its_identity(what: str, tmp_path: Path) -> None:
    needed = Run("b", f"{HERE}:square", {"x": 1})
    plain, other = (job_of(run, tmp_path, needed) for run in (SQUARE, OTHERS[what]))
    assert plain.digest != other.digest
    assert plain.folder != other.folder
    assert plain.folder == tmp_path / f"a.{plain.digest}"


def test_a_change_two_runs_below_makes_another_run(tmp_path: Path) -> None:
    def top(x: int) -> Job:
        runs = [Run("base", f"{HERE}:square", {"x": x}), Run("middle", f"{HERE}:square", {}, ("base",))]
        return job_of(Run("top", f"{HERE}:square", {}, ("middle",)), tmp_path, *runs)

    assert top(1).digest == top(1).digest != top(2).digest
    assert top(1).inputs["middle"] != top(2).inputs["middle"]


def test_what_could_not_be_measured_is_null_for_every_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "trainer.experiment.outcome.load_function", lambda path: lambda parameters, folder, inputs: {"y": float("nan")}
    )
    job = job_of(SQUARE, tmp_path)
    execute(job)
    assert read_outcome(job).metrics == {"y": None}


def test_no_more_runs_begin_than_there_are_slots_and_none_before_what_it_needs(tmp_path: Path) -> None:
    class TwoSlots(SequentialExecutor):
        slots = 2
        most = 0

        def start(self, job: Job) -> None:
            assert all((folder / "metrics.json").is_file() for folder in job.inputs.values())
            super().start(job)
            self.most = max(self.most, len(self._waiting))

    executor = TwoSlots()
    runs = [Run(f"r{n}", f"{HERE}:square", {"x": n}) for n in range(5)]
    runs.append(Run("top", f"{HERE}:square", {"x": 9}, ("r3", "r4")))
    result = run_matrix(runs, tmp_path, executor, lambda line: None)
    assert len(result.metrics) == 6
    assert executor.most == 2
