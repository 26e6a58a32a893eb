"""A matrix does every run once, survives failures and interruptions, and loses nothing."""

from __future__ import annotations

import builtins
import importlib.util
import json
import os
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from MultiTaskSegLib.runtime.errors import UsageError
from Testing.trainer.experiment.counted import calls
from trainer.experiment.executor import RAY_STATISTICS, ProcessExecutor, SequentialExecutor, make_executor
from trainer.experiment.matrix import MatrixResult, expand, run_matrix
from trainer.experiment.run import Run, make_jobs

HERE = "Testing.trainer.experiment.counted"


def squares(*values: int) -> list[Run]:
    return [Run(f"square-{x}", f"{HERE}:square", {"x": x}) for x in values]


def do(runs: list[Run], root: Path, executor: Any = None) -> MatrixResult:
    return run_matrix(runs, root, executor or SequentialExecutor(), lambda line: None)


def test_every_run_is_done_once_and_reused_afterwards(tmp_path: Path):
    first = do(squares(2, 3), tmp_path)
    second = do(squares(2, 3, 4), tmp_path)
    assert {name: m["y"] for name, m in second.metrics.items()} == {"square-2": 4, "square-3": 9, "square-4": 16}
    assert (first.reused, second.reused) == ((), ("square-2", "square-3"))
    assert [calls(second.folders[name]) for name in second.metrics] == [1, 1, 1]


def test_a_folder_holds_the_parameters_and_the_metrics(tmp_path: Path):
    folder = do(squares(5), tmp_path).folders["square-5"]
    config, metrics = (json.loads((folder / name).read_text()) for name in ("config.json", "metrics.json"))
    assert config["parameters"] == metrics["parameters"] == {"x": 5}
    assert metrics["metrics"]["y"] == 25


def test_the_commit_is_that_of_the_code_that_did_the_run_not_of_the_code_that_reports_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("trainer.experiment.outcome.source_commit", lambda: "old")
    do(squares(2), tmp_path)
    monkeypatch.setattr("trainer.experiment.outcome.source_commit", lambda: "new")
    assert do(squares(2), tmp_path).commits == ("old",)
    assert do(squares(2, 3), tmp_path).commits == ("old", "new")


def test_other_parameters_are_another_run_and_the_old_one_stays(tmp_path: Path):
    old = do([Run("a", f"{HERE}:square", {"x": 1})], tmp_path)
    new = do([Run("a", f"{HERE}:square", {"x": 2})], tmp_path)
    again = do([Run("a", f"{HERE}:square", {"x": 1})], tmp_path)
    assert [r.metrics["a"]["y"] for r in (old, new, again)] == [1, 4, 1]
    assert [r.reused for r in (old, new, again)] == [(), (), ("a",)]


def test_a_changed_run_makes_those_that_need_it_anew(tmp_path: Path):
    def pair(x: int) -> list[Run]:
        return [Run("base", f"{HERE}:square", {"x": x}), Run("top", f"{HERE}:square", {"x": 7}, ("base",))]

    assert do(pair(1), tmp_path).metrics["top"]["inputs"] == 1
    assert do(pair(2), tmp_path).reused == ()
    assert do(pair(1), tmp_path).reused == ("base", "top")


def test_a_failed_run_is_reported_stops_only_those_that_need_it_and_is_tried_again(tmp_path: Path):
    runs = [
        Run("bad", f"{HERE}:fail_once"),
        Run("above", f"{HERE}:square", {"x": 1}, ("bad",)),
        Run("wrong", f"{HERE}:wrong"),
        *squares(3),
    ]
    lines: list[str] = []
    first = run_matrix(runs, tmp_path, SequentialExecutor(), lines.append)
    assert list(first.metrics) == ["square-3"]
    assert first.failures["bad"] == "nothing to see: data. Look again."
    assert first.failures["above"] == "it needs bad, which failed"
    assert first.failures["wrong"] == "KeyError: 'missing'"
    assert any("bad failed" in line for line in lines)
    second = do(runs, tmp_path)
    assert set(second.metrics) == {"square-3", "bad", "above"}
    assert calls(second.folders["square-3"]) == 1
    assert not (second.folders["bad"] / "failure.json").exists()


def test_an_interrupted_matrix_goes_on_where_it_stood(tmp_path: Path):
    runs = [*squares(2), Run("long", f"{HERE}:interrupted_once"), *squares(3)]
    with pytest.raises(KeyboardInterrupt):
        do(runs, tmp_path)
    result = do(runs, tmp_path)
    assert result.reused == ("square-2",)
    assert result.failures == {}
    # The same folder: what the interrupted call left there is still there.
    assert result.metrics["long"]["calls"] == 2


def test_damaged_metrics_are_made_again(tmp_path: Path):
    folder = do(squares(2), tmp_path).folders["square-2"]
    (folder / "metrics.json").write_text('{"schema": "multitaskseg-run/1"')
    assert do(squares(2), tmp_path).reused == ()
    assert calls(folder) == 2


def test_processes_give_what_one_after_the_other_gives_and_a_crash_takes_no_other_with_it(tmp_path: Path):
    runs = [*squares(2, 3), Run("crash", f"{HERE}:crash"), Run("top", f"{HERE}:square", {"x": 5}, ("square-2",))]
    result = do(runs, tmp_path, ProcessExecutor(2))
    assert {name: m["y"] for name, m in result.metrics.items()} == {"square-2": 4, "square-3": 9, "top": 25}
    assert "without a result" in result.failures["crash"]
    assert len({m["process"] for m in result.metrics.values()}) == 3


@pytest.mark.parametrize(
    "runs, words",
    [
        ([Run("a", f"{HERE}:square"), Run("a", f"{HERE}:square")], "same name"),
        ([Run("a/b", f"{HERE}:square")], "cannot be called"),
        ([Run("a", f"{HERE}:square", {}, ("b",))], "not there"),
        ([Run("a", f"{HERE}:square", {}, ("b",)), Run("b", f"{HERE}:square", {}, ("a",))], "circle"),
        ([Run("a", f"{HERE}:square", {"x": Path("x")})], "plain values"),
        ([Run("a", f"{HERE}:square", {"x": float("nan")})], "plain values"),
        ([Run("a", f"{HERE}:nothing")], "no function"),
        ([Run("a", "no.such.module:nothing")], "no function"),
    ],
)
def test_a_matrix_that_cannot_be_done_is_refused_before_anything_begins(tmp_path: Path, runs: list[Run], words: str):
    with pytest.raises(UsageError, match=words):
        do([*squares(2), *runs], tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_the_executor_is_stopped_whatever_happens(tmp_path: Path):
    stopped: list[str] = []

    class Noted(SequentialExecutor):
        def stop(self) -> None:
            stopped.append("stopped")

    do(squares(2), tmp_path, Noted())
    with pytest.raises(UsageError):
        do([Run("a/b", f"{HERE}:square")], tmp_path, Noted())
    with pytest.raises(KeyboardInterrupt):
        do([Run("long", f"{HERE}:interrupted_once")], tmp_path, Noted())
    assert len(stopped) == 3


def test_the_order_of_parameters_does_not_make_another_run(tmp_path: Path):
    one, two = ({"x": 1, "y": 2}, {"y": 2, "x": 1})
    jobs = [make_jobs([Run("a", f"{HERE}:square", p)], tmp_path)["a"].folder for p in (one, two)]
    assert jobs[0] == jobs[1]


def test_a_part_of_the_matrix_is_complete_before_the_next_begins(tmp_path: Path):
    summary = Run("sum-0", f"{HERE}:square", {}, ("part-0",))
    runs = [Run("part-0", f"{HERE}:square"), summary, Run("part-1", f"{HERE}:square")]
    assert list(make_jobs(runs, tmp_path)) == ["part-0", "sum-0", "part-1"]
    assert list(make_jobs([summary, runs[2], runs[0]], tmp_path)) == ["part-1", "part-0", "sum-0"]


def test_seeds_are_an_axis_like_any_other():
    cells = expand({"source": ["a", "b"], "seed": [0, 1, 2]})
    assert len(cells) == 6
    assert cells[:2] == [{"source": "a", "seed": 0}, {"source": "a", "seed": 1}]


@pytest.mark.parametrize(
    "kind, jobs, address", [("threads", 1, None), ("processes", 0, None), ("processes", 1, "auto")]
)
def test_an_executor_that_does_not_exist_is_refused(kind: str, jobs: int, address: str | None):
    with pytest.raises(UsageError):
        make_executor(kind, jobs, address)


def test_without_ray_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    genuine = builtins.__import__

    def without_ray(name: str, *rest: Any, **named: Any) -> Any:
        if name == "ray":
            raise ImportError("No module named 'ray'")
        return genuine(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without_ray)
    with pytest.raises(UsageError, match=r"Ray is not installed.*\[cluster\]"):
        make_executor("ray")


def test_a_ray_that_is_started_sends_no_statistics(monkeypatch: pytest.MonkeyPatch):
    found: list[str | None] = []
    pretended = types.ModuleType("ray")
    pretended.init = lambda **_: found.append(os.environ.get(RAY_STATISTICS))  # type: ignore[attr-defined]
    pretended.remote = lambda **_: lambda run: run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ray", pretended)
    monkeypatch.setenv(RAY_STATISTICS, "1")
    make_executor("ray")
    assert found == ["0"]


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")
def test_ray_itself_takes_the_word_for_statistics_as_meant(monkeypatch: pytest.MonkeyPatch):
    names = ("ray._common.usage.usage_lib", "ray._private.usage.usage_lib")  # earlier versions: the second
    usage = importlib.import_module(names[0] if importlib.util.find_spec("ray._common.usage") else names[1])
    monkeypatch.setenv(RAY_STATISTICS, "0")
    assert not usage.usage_stats_enabled()


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")
def test_ray_gives_what_one_after_the_other_gives(tmp_path: Path):
    runs = [*squares(2, 3), Run("crash", f"{HERE}:crash"), Run("top", f"{HERE}:square", {"x": 5}, ("square-2",))]
    result = do(runs, tmp_path, make_executor("ray"))
    assert {name: m["y"] for name, m in result.metrics.items()} == {"square-2": 4, "square-3": 9, "top": 25}
    assert "without a result" in result.failures["crash"]
    assert do(runs[:2], tmp_path).reused == ("square-2", "square-3")
