"""The whole experiment on a model that was trained for a few steps, and what its results promise."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from MultiTaskSegLib.runtime.errors import DatasetError
from MultiTaskSegLib.runtime.predictor import Predictor
from Testing.trainer.synthetic_dataset import BallDataset
from trainer import cli
from trainer.calibration.scaling import FORMS
from trainer.config import TrainingConfig
from trainer.data.dataset import read_dataset
from trainer.training.train_model import train_model
from trainer.training.training import Budget
from trainer.uncertainty import case_store, experiment
from trainer.uncertainty.experiment import CalibrationOptions, run_calibration, usable_cases

CONFIG = TrainingConfig(
    seed=1, channels=(4, 6), patches_per_group=2, groups_per_step=2, patch_voxels=1024, workers=0, warmup_steps=2,
    validations=0, minimum_validation_groups=3, threads=1, learning_rate=1e-2, ema_decay=0.8,
    mirror_axes={"Dataset001_BallT1": "x"},
)  # fmt: skip
SHAPE = (6, 12, 12)
BALLS = BallDataset("Dataset001_BallT1", shape=SHAPE, label_values=(2, 5), patients=9)
HOLES = BallDataset("Dataset002_HoleCine", (1.0, 1.0, 2.5), SHAPE, 9, region="chest", offset=300.0, contrast=-200.0)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    parent = tmp_path_factory.mktemp("data")
    return BALLS.write(parent), HOLES.write(parent)


@pytest.fixture(scope="module")
def models(folders: tuple[Path, ...], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    parent = tmp_path_factory.mktemp("models")
    paths = [parent / f"member{seed}.mts.safetensors" for seed in (1, 2)]
    for seed, path in enumerate(paths, start=1):
        train_model(folders, path, replace(CONFIG, seed=seed), Budget(steps=40), stream=io.StringIO())
    return paths


@pytest.fixture(scope="module")
def options(models: list[Path], folders: tuple[Path, ...]) -> CalibrationOptions:
    return CalibrationOptions(models[0], folders, (models[1],), passes=2, rounds=20)


@pytest.fixture(scope="module")
def done(options: CalibrationOptions, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    output = tmp_path_factory.mktemp("out")
    return output, run_calibration(options, output, io.StringIO())


def written(output: Path) -> dict[str, Any]:
    metrics: dict[str, Any] = json.loads((output / "metrics.json").read_text(encoding="utf-8"))
    return metrics


def test_all_estimators_and_forms_are_measured_where_they_apply(done: tuple[Path, dict[str, Any]]) -> None:
    metrics = written(done[0])
    assert set(metrics["estimators"]) == {"single_pass", "mirror_tta", "mc_dropout", "ensemble"}
    assert metrics["estimators"]["mirror_tta"]["tasks"] == [BALLS.name]
    for name in (BALLS.name, HOLES.name):
        task = metrics["tasks"][name]
        assert set(task["calibration"]) == {"uncalibrated", "shipped", *FORMS}
        assert task["cases"] == task["groups"] == 3
        assert len(task["scalings"]["surface_temperature"]) == 3
        assert len(task["scalings"]["uncalibrated"]) == 1
    assert set(metrics["tasks"][HOLES.name]["estimators"]) == {"single_pass", "mc_dropout", "ensemble"}
    passes = {name: e["passes"] for name, e in metrics["tasks"][BALLS.name]["estimators"].items()}
    assert passes == {"single_pass": 1, "mirror_tta": 2, "mc_dropout": 2, "ensemble": 2}


def test_results_say_what_they_were_made_with_but_not_where(
    done: tuple[Path, dict[str, Any]], options: CalibrationOptions, folders: tuple[Path, ...]
) -> None:
    metrics = written(done[0])
    assert metrics["model"]["sha256"] == Predictor.load(options.model).model.digest
    assert metrics["arguments"]["data"] == [BALLS.name, HOLES.name]
    assert metrics["command"].startswith("python -m trainer experiment calibration -m member1.mts.safetensors --data")
    for name in ("metrics.json", "report.html"):
        text = (done[0] / name).read_text(encoding="utf-8")
        assert str(folders[0].parent) not in text
        assert str(options.model.parent) not in text


def test_the_report_stands_alone(done: tuple[Path, dict[str, Any]]) -> None:
    page = (done[0] / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/png") == 4
    assert 'src="http' not in page
    without_pictures = re.sub(r'src="data:image/png;base64,[^"]*"', "", page)
    assert re.search(r"\bnan\b", without_pictures.lower()) is None


def test_bars_are_judged_by_the_figures_beside_them(done: tuple[Path, dict[str, Any]]) -> None:
    metrics = written(done[0])
    assert len(metrics["bars"]) == 2 + 3
    for bar in metrics["bars"]:
        assert bar["met"] == (bar["value"] >= bar["limit"] if bar["at_least"] else bar["value"] <= bar["limit"])
    ring = metrics["tasks"][BALLS.name]["calibration"]["surface_temperature"]["ring_ece"]["value"]
    assert metrics["bars"][0]["value"] == ring


def test_a_second_run_measures_nothing_again_and_says_the_same(
    done: tuple[Path, dict[str, Any]], options: CalibrationOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = written(done[0])

    def forbidden(*_: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr(case_store, "read_labelled_case", forbidden)
    run_calibration(options, done[0], io.StringIO())
    after, own = written(done[0]), ("created", "machine")  # how busy the machine is, it says too
    assert {k: v for k, v in before.items() if k not in own} == {k: v for k, v in after.items() if k not in own}
    assert not (done[0] / "maps").exists()


def test_an_interrupted_run_keeps_what_it_has(
    options: CalibrationOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = replace(options, ensemble=(), passes=1)

    def broken(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(experiment.CaseStore, "statistics", broken)
        with pytest.raises(KeyboardInterrupt):
            run_calibration(plain, tmp_path, io.StringIO())
    assert list((tmp_path / "maps").rglob("*.npz"))

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("the network ran again")

    monkeypatch.setattr("trainer.uncertainty.estimator.task_logits", forbidden)
    with pytest.raises(AssertionError, match="ran again"):
        run_calibration(plain, tmp_path, io.StringIO())
    assert len(list((tmp_path / "cases" / "single_pass" / BALLS.name).glob("*.statistics.*"))) == 3


def test_progress_counts_every_case_of_every_task_once(options: CalibrationOptions, tmp_path: Path) -> None:
    stream = io.StringIO()
    run_calibration(replace(options, ensemble=(), passes=1), tmp_path, stream)
    # Two steps for each case: 3 estimators for 3 balls, 2 for 3 holes.
    assert "(30/30)" in stream.getvalue().splitlines()[-1]


def test_only_cases_that_no_member_was_trained_on_are_used(
    models: list[Path], folders: tuple[Path, ...], tmp_path: Path
) -> None:
    other = tmp_path / "other.mts.safetensors"
    train_model(folders, other, replace(CONFIG, split_seed=5), Budget(steps=1), stream=io.StringIO())
    dataset = read_dataset(folders[0])
    one, two = Predictor.load(models[0]), Predictor.load(other)
    own, shared = usable_cases(dataset, [one]), [case.name for case in dataset.cases]
    assert len(own) == 3
    try:
        shared = [case.name for case in usable_cases(dataset, [one, two])]
    except DatasetError:
        shared = []
    expected = {case.name for case in own} & {case.name for case in usable_cases(dataset, [two])}
    assert set(shared) == expected
    assert len(shared) < 3


def test_a_dataset_that_is_no_task_of_the_model_is_refused(options: CalibrationOptions, tmp_path: Path) -> None:
    stranger = BallDataset("Dataset009_Knee", shape=SHAPE, patients=3).write(tmp_path)
    with pytest.raises(DatasetError, match="no task 'Dataset009_Knee'"):
        run_calibration(replace(options, data=(stranger,)), tmp_path / "out", io.StringIO())


def test_the_command_line_hands_everything_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[tuple[CalibrationOptions, Path]] = []
    bar = {"what": "ring ECE of X", "value": 0.04, "interval": None, "limit": 0.05, "at_least": False, "met": True}

    def run(options: CalibrationOptions, output: Path) -> dict[str, Any]:
        asked.append((options, output))
        return {"bars": [bar]}

    monkeypatch.setattr(experiment, "run_calibration", run)
    line = (
        "experiment calibration -m a --data b c -o out --ensemble d e --passes 4 --dropout-rate 0.2 --mirror t --seed 3"
    )
    assert cli.main(line.split()) == 0
    expected = CalibrationOptions(Path("a"), (Path("b"), Path("c")), (Path("d"), Path("e")), 4, 0.2, ("t",), 3)
    assert asked == [(expected, Path("out"))]
    assert "ring ECE of X: 0.040 (bar ≤ 0.05, met)" in capsys.readouterr().out


def test_the_correlation_within_tasks_is_the_mean_of_the_tasks_own(done: tuple[Path, dict[str, Any]]) -> None:
    metrics = written(done[0])
    for name, estimator in metrics["estimators"].items():
        own = [
            task["estimators"].get(name, task["estimators"]["single_pass"])["expected_dice_spearman"]["value"]
            for task in metrics["tasks"].values()
        ]
        defined = [value for value in own if value is not None]
        found = estimator["figures"]["expected_dice_spearman_within_tasks"]["value"]
        assert found == (pytest.approx(sum(defined) / len(defined)) if defined else None)


def test_an_estimator_that_applies_to_no_task_has_no_figures(options: CalibrationOptions, tmp_path: Path) -> None:
    metrics = run_calibration(replace(options, data=options.data[1:], ensemble=(), passes=1), tmp_path, io.StringIO())
    assert list(metrics["estimators"]) == ["single_pass", "mc_dropout"]
