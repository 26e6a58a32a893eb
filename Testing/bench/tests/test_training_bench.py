"""What the benchmark asks its processes for, and what it makes of their answers."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from Testing.bench import training, training_process
from Testing.bench.training_process import NNUNET, OWN, FailedRun, has_module, measured
from Testing.bench.training_table import training_table

NAME = "Dataset101_HippocampusT1"


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """Processes that answer at once, and what they were asked."""
    asked: list[tuple[str, dict[str, Any]]] = []

    def answer(
        module: str, request: dict[str, Any], folder: Path, environment: dict[str, str], python: str = ""
    ) -> dict[str, Any]:
        asked.append((module, request))
        assert environment["OMP_NUM_THREADS"] == "1"
        if request.get("stage") == "prepare":
            return {"preparation_cpu_s": 7.0}
        dice, cpu_s = (0.8, 1000.0) if module == NNUNET else (0.9, 100.0)
        points = [{"step": n, "cpu_s": cpu_s * n / 10, "dice": dice * n / 10} for n in range(1, 11)]
        facts = {"step_cpu_s": 1.0, "step_wall_s": 2.0, "loader_wait_share": 0.01, "weights_sha256": "a", "steps": 10}
        plan = {"configuration": "3d_fullres", "patch": [40, 56, 40], "batch": 9, "parameters": 5_000_000}
        return {"points": points, **facts, **plan}

    monkeypatch.setattr(training, "measured", answer)
    monkeypatch.setattr(training, "content_of", lambda directory: f"content of {directory.name}")
    return asked


def outcome(tmp_path: Path, *more: str) -> dict[str, Any]:
    (tmp_path / "data" / NAME).mkdir(parents=True)
    words = ["--data-root", str(tmp_path / "data"), "--datasets", NAME, "--work", str(tmp_path / "work")]
    assert training.main([*words, "--json", str(tmp_path / "found.json"), *more]) == 0
    result: dict[str, Any] = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    return result


def test_our_limit_is_a_share_of_what_the_other_trainer_really_used(
    requests: list[tuple[str, dict[str, Any]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "has_module", lambda python, name: True)
    found = outcome(tmp_path, "--budget-s", "900", "--own-shares", "0.25", "1", "--plot", str(tmp_path / "found.svg"))
    own = [request for module, request in requests if module == OWN and request["shares"]]
    assert [request["budget_cpu_s"] for request in own] == [250.0, 1000.0]
    assert [request["budget_cpu_s"] for module, request in requests if request.get("stage") == "train"] == [900.0]
    # What was measured on other data of the same folder is another request.
    assert {request["content"] for _, request in requests} == {f"content of {NAME}"}
    of = found["datasets"][NAME]
    # 95 % of 0.8 is 0.76: ours is there at 0.81 after 90 s, theirs at 0.8 after 1000 s.
    assert of["ours"][0]["against_nnunet"]["ratio_of_total"] == pytest.approx(0.09)
    assert of["same_weights_to_the_bit"] is True
    assert (tmp_path / "found.svg").stat().st_size > 1000
    text = "\n".join(training_table(found))
    assert "Final Dice 0.8000, so 95 % are 0.7600" in text
    assert "| 0.9000 | 90 | 0.090 | 0.090 |" in text


def test_without_the_other_trainer_the_comparison_is_skipped_and_this_is_said(
    requests: list[tuple[str, dict[str, Any]]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(training, "has_module", lambda python, name: False)
    found = outcome(tmp_path)
    assert "'nnunetv2' is not installed" in capsys.readouterr().err
    assert {module for module, _ in requests} == {OWN}
    assert found["datasets"][NAME]["nnunet"] is None
    assert "against_nnunet" not in found["datasets"][NAME]["ours"][0]
    assert "not reached" not in "\n".join(training_table(found))


def test_other_weights_from_one_run_would_be_noticed(
    requests: list[tuple[str, dict[str, Any]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "has_module", lambda python, name: False)
    plain = training.measured

    def answer(module: str, request: dict[str, Any], *rest: Any) -> dict[str, Any]:
        return plain(module, request, *rest) | {"weights_sha256": str(request["settings"].get("workers"))}

    monkeypatch.setattr(training, "measured", answer)
    found = outcome(tmp_path)
    assert found["datasets"][NAME]["same_weights_to_the_bit"] is False
    assert "different weights" in "\n".join(training_table(found))


def test_a_run_is_not_repeated_unless_its_request_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[list[str]] = []

    def start(command: list[str], log: Path, environment: dict[str, str]) -> None:
        started.append(command)
        asked = json.loads(Path(command[-1]).read_text(encoding="utf-8"))
        Path(asked["output"]).write_text(json.dumps({"seed": asked["seed"]}), encoding="utf-8")

    monkeypatch.setattr(training_process, "_run", start)
    answers = [measured(OWN, {"seed": seed}, tmp_path, {}) for seed in (1, 1, 2)]
    assert [answer["seed"] for answer in answers] == [1, 1, 2]
    assert len(started) == 2


def test_a_process_that_fails_says_why_and_leaves_no_result(tmp_path: Path) -> None:
    with pytest.raises(FailedRun, match="No module named"):
        measured("Testing.bench.no_such_module", {}, tmp_path, {})
    assert not (tmp_path / "result.json").exists()


def test_a_module_is_found_where_it_is_installed() -> None:
    assert has_module(sys.executable, "torch")
    assert not has_module(sys.executable, "no_such_module_anywhere")
