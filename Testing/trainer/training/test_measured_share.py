"""A training from folders to a model whose measuring had little time: what was left out is said everywhere."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from MultiTaskSegLib.runtime.model.model_card import model_card
from MultiTaskSegLib.runtime.model.model_file import load_model
from Testing.trainer.synthetic_dataset import BallDataset
from trainer.config import TrainingConfig
from trainer.measuring import plan
from trainer.report import progress
from trainer.report.run_folder import RunFolder
from trainer.report.run_progress import RunProgress
from trainer.training import train_model as whole
from trainer.training.train_model import measured_text, train_model
from trainer.training.training import Budget

CONFIG = TrainingConfig(
    channels=(3, 4), fit_matrix=16, workers=0, threads=1, validations=0, minimum_validation_groups=4,
    ood_layers=("encoder0",), measuring_share=1e-9,
)  # fmt: skip
NAME = "Dataset001_Discs"


def test_cases_that_were_left_out_are_said_and_the_run_is_over_only_when_the_model_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LOG_INTERVAL_S", 0.0)
    for name in ("LEAST_HELD_OUT", "LEAST_HELD_OUT_TOGETHER"):
        monkeypatch.setattr(plan, name, 2)
    for name in ("LEAST_KNOWN", "LEAST_KNOWN_TOGETHER"):
        monkeypatch.setattr(plan, name, 3)
    announced_s: list[float] = []
    done_s: list[float] = []
    follow, did = RunProgress.follow, RunProgress.did

    def following(self: RunProgress, note: str, expected_s: float | None = None) -> None:
        announced_s.extend([] if expected_s is None else [expected_s])
        follow(self, note, expected_s)

    def doing(self: RunProgress, expected_s: float, note: str) -> None:
        done_s.append(expected_s)
        did(self, expected_s, note)

    monkeypatch.setattr(RunProgress, "follow", following)
    monkeypatch.setattr(RunProgress, "did", doing)
    folder = BallDataset(NAME, shape=(1, 16, 16), patients=12).write(tmp_path)
    output, stream = tmp_path / "m.mts.safetensors", io.StringIO()
    manifest = train_model([folder], output, CONFIG, Budget(steps=2), stream=stream)
    # Each case of five once, those held out once more for their Dice; the maps; the file.
    assert len(done_s) == 5 + 2 + 2
    assert [sum(done_s)] == pytest.approx(announced_s)
    assert manifest.training["measured"] == {NAME: {"known": [3, 8], "held_out": [2, 4]}}
    (task,) = manifest.tasks
    assert (task.training_cases, task.held_out_cases) == (8, 2)
    assert "trained on 8 cases, measured on 2 others" in model_card(manifest, "x")
    model = load_model(output)
    assert len(model.reference.tasks) == 3
    assert len(model.reference.calibration_scores) == 2
    run = RunFolder(output)
    assert json.loads((run.path / "metrics.json").read_text(encoding="utf-8"))["measured"] == {
        NAME: {"known": [3, 8], "held_out": [2, 4]}
    }
    assert "2 of 4 held-out cases, 3 of 8 known images" in run.report.read_text(encoding="utf-8")
    lines = [line for line in stream.getvalue().splitlines() if not line.startswith("preparing")]
    assert all(line.startswith("training:") and "unknown" not in line for line in lines)
    assert ["100 %" in line for line in lines] == [False] * (len(lines) - 1) + [True]
    notes = " ".join(lines)
    for what in (
        "validating", f"looking at {NAME}, 3 of 3", f"measuring {NAME}, 2 of 2", f"measuring labels of {NAME}",
        "writing the model",
    ):  # fmt: skip
        assert what in notes


def test_a_run_in_which_nothing_was_left_out_says_so() -> None:
    assert measured_text({"A": {"known": [4, 4], "held_out": [2, 2]}}) == "All cases were measured."


@pytest.mark.parametrize("budget", [Budget(steps=1), Budget(minutes=0.001)])
def test_that_measuring_takes_more_than_its_share_is_said_where_it_is_worth_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, budget: Budget
) -> None:
    folder = BallDataset(NAME, shape=(1, 16, 16), patients=12).write(tmp_path)
    for told_from_s in (1e-6, 1e6):
        monkeypatch.setattr(whole, "TOLD_FROM_S", told_from_s)
        stream = io.StringIO()
        train_model([folder], tmp_path / "m.mts.safetensors", CONFIG, budget, stream=stream)
        words = [line for line in stream.getvalue().splitlines() if "more than measuring_share" in line]
        assert len(words) == (told_from_s < 1)
