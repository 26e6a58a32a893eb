"""The benchmark of faults in distributed trainings: what counts as equal, and what is not done twice."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from Testing.bench.distributed import __main__ as bench
from Testing.bench.distributed.faults import FULL, KILL, spoilt_run
from Testing.bench.distributed.torchrun_call import Training, equal

OUTCOME = {"state": {"step": 3, "averages": [torch.tensor([1.0, 2.0])]}, "log": [{"step": 3, "dice": None}]}


@pytest.mark.parametrize(
    "other",
    [
        {**OUTCOME, "log": []},
        {**OUTCOME, "state": {"step": 3, "averages": [torch.tensor([1.0, 2.0000002])]}},
        {**OUTCOME, "state": {"step": 3, "averages": [torch.tensor([1.0, 2.0], dtype=torch.float64)]}},
        {**OUTCOME, "state": {"step": 3}},
    ],
    ids=["shorter", "last bit", "type", "missing"],
)
def test_outcomes_are_equal_to_the_bit_or_not_at_all(other: dict[str, Any]) -> None:
    assert equal(OUTCOME, {**OUTCOME, "log": [{"step": 3, "dice": None}]})
    assert not equal(OUTCOME, other)


def faults(monkeypatch: pytest.MonkeyPatch, **spoilt: Any) -> list[tuple[str, int, int]]:
    """What is asked for: kind, faults and restarts, of runs that get at most three faults each."""
    asked: list[tuple[str, int, int]] = []

    def run(training: Training, kind: str, count: int, seed: int, whole: dict[str, Any]) -> dict[str, Any]:
        asked.append((kind, count, training.restarts))
        counts = dict.fromkeys(("of_torchrun", "in_training", "unreadable", "lost", "left_over", "silent"), 0)
        return {"kind": kind, "faults": min(count, 3), **counts, "equal": True, **spoilt}

    monkeypatch.setattr(bench, "spoilt_run", run)
    monkeypatch.setattr(bench, "_whole", lambda _folder: OUTCOME)
    return asked


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_run_that_does_not_end_is_ended_and_not_finished(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    agents: list[subprocess.Popen[bytes]] = []

    def begin(_: Training) -> subprocess.Popen[bytes]:
        agents.append(subprocess.Popen(["sleep", "60"]))
        return agents[-1]

    monkeypatch.setattr(Training, "begin", begin)
    monkeypatch.setattr("Testing.bench.distributed.faults.RUN_LIMIT_S", 0.5)
    found = spoilt_run(Training(tmp_path, "m"), KILL, 0, 0, OUTCOME)
    assert (found["finished"], found["equal"]) == (False, False)
    assert agents[0].poll() is not None


def test_faults_that_were_done_are_not_done_again_and_more_are_added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = faults(monkeypatch)
    words = ["--json", str(tmp_path / "f.json"), "--folder", str(tmp_path), "--requests", "0", "--full-disks", "1"]
    assert bench.main([*words, "--kills", "5"]) == 0
    assert asked == [(KILL, 4, 50), (KILL, 2, 50), (FULL, 1, 1)]
    asked.clear()
    capsys.readouterr()
    assert bench.main([*words, "--kills", "6"]) == 0
    assert asked == [(KILL, 1, 50)]
    assert json.loads(capsys.readouterr().out)[KILL]["faults"] == 6


@pytest.mark.parametrize("spoilt", [{"equal": False}, {"unreadable": 1}, {"lost": 1}, {"silent": 1}])
def test_a_run_that_was_harmed_fails_the_benchmark(
    spoilt: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults(monkeypatch, **spoilt)
    words = ["--json", str(tmp_path / "f.json"), "--folder", str(tmp_path), "--kills", "1"]
    assert bench.main([*words, "--requests", "0", "--full-disks", "0"]) == 1
