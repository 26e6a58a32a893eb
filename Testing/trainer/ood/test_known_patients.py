"""``experiment p-value``: the p-values of a finished model on unseen patients, as figures and as a page."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from MultiTaskSegLib.runtime.errors import DatasetError
from MultiTaskSegLib.runtime.ood.score_law import ScoreLaw
from MultiTaskSegLib.runtime.predictor import Predictor
from Testing.trainer.evaluation.known_answer import BALLS, CUBES, write_answers, write_model
from trainer import cli
from trainer.ood.known_patients import measure_p_values
from trainer.ood.published_aside import uniformity_words


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "tiny.mts.safetensors")


@pytest.fixture(scope="module")
def folders(model: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    parent = tmp_path_factory.mktemp("data")
    balls = write_answers(model, parent / BALLS, ("p0", "p1", "p2", "p3", "p4"))
    return [balls, write_answers(model, parent / CUBES, ("q0", "q1", "q2"), seed=7)]


def test_unseen_patients_alone_are_checked_and_the_page_says_what_was_found(
    model: Path, folders: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["experiment", "p-value", "-m", str(model), "--data", *map(str, folders), "-o", str(tmp_path / "p.json")]
    assert cli.main([*words, "--publish", str(tmp_path)]) == 0
    found = json.loads((tmp_path / "p.json").read_text(encoding="utf-8"))
    by_task = found["p_value_within_tasks"]
    # Five and three patients, of whom two and one were held out.
    assert {name: own["patients"] for name, own in by_task.items()} == {BALLS: 2, CUBES: 1}
    assert found["known_images"] == 3
    assert found["model"] == Predictor.load(model).model.digest
    assert "In none of 2 tasks a departure is found" in capsys.readouterr().out
    (published,) = tmp_path.glob("p-value-*.json")
    content = json.loads(published.read_text(encoding="utf-8"))
    assert content.pop("machine")["cores"] >= 1
    assert content == found
    page = (tmp_path / "ood-benchmark-p-value.md").read_text(encoding="utf-8")
    assert f"| {BALLS} | 2 |" in page
    assert "3 images of patients whom the model" in page
    assert str(tmp_path) not in page


@pytest.mark.parametrize("given", [(0,), (0, 2)])
def test_what_has_nobody_to_be_counted_among_is_refused(
    model: Path, folders: list[Path], tmp_path: Path, given: tuple[int, ...]
) -> None:
    other = write_answers(model, tmp_path / BALLS, ("p0",)).rename(tmp_path / "Other")
    chosen = [[*folders, other][number] for number in given]
    with pytest.raises(DatasetError, match="no task Other" if 2 in given else "one task"):
        measure_p_values(Predictor.load(model), chosen, tmp_path / "p.json")


def test_a_task_that_lies_farther_out_is_named() -> None:
    found: dict[str, Any] = {
        "Dataset001_Near": {"p": 0.4}, "Dataset002_Far": {"p": 0.01}, "Dataset003_Alone": {"p": None}
    }  # fmt: skip
    assert "In 1 of 2 tasks they are not uniform: Far." in uniformity_words(found)


def test_a_shift_of_one_task_is_found(
    model: Path, folders: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = Predictor.load(model)
    number = iter(range(1, 100))
    monkeypatch.setattr("trainer.ood.known_patients.unseen", lambda dataset, manifest: dataset.cases)
    monkeypatch.setattr(predictor, "check", lambda volume: SimpleNamespace(score=float(next(number))))
    found = measure_p_values(predictor, folders, tmp_path / "p.json")
    # The cubes come last and score highest.
    assert found["p_value_within_tasks"][CUBES]["mean_p_value"] == pytest.approx(1 / 6)
    # Of 56 ways to choose the three of eight who are shifted, two are as far, for either task.
    assert max(own["p"] for own in found["p_value_within_tasks"].values()) < 0.15


def test_of_a_model_with_laws_the_p_values_of_its_verdicts_are_tested(
    model: Path, folders: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = Predictor.load(model)
    laws = (ScoreLaw(0.0, 0.1, 30.0, 5),) * 2
    ood = replace(predictor.manifest.ood, tail_share=0.02, score_laws=laws)
    monkeypatch.setattr(predictor, "model", replace(predictor.model, manifest=replace(predictor.manifest, ood=ood)))
    number = iter(range(1, 100))
    monkeypatch.setattr("trainer.ood.known_patients.unseen", lambda dataset, manifest: dataset.cases)
    monkeypatch.setattr(predictor, "check", lambda volume: SimpleNamespace(score=1.0, p_value=0.1 * next(number)))
    found = measure_p_values(predictor, folders, tmp_path / "p.json")
    assert found["rule"] == "law"
    assert found["p_value_within_tasks"][BALLS]["mean_p_value"] == pytest.approx(0.3)
    assert found["p_value_within_tasks"][CUBES]["mean_p_value"] == pytest.approx(0.7)
    assert "come from the law" in uniformity_words(found["p_value_within_tasks"], is_counted=False)
