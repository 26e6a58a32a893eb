"""A whole multi-task experiment on tiny data: done once, resumed, reported, published."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from MultiTaskSegLib.runtime.model.model_file import read_manifest
from Testing.trainer.multi_task.tiny_study import CT, FLAIR, write_config, write_data
from trainer.cli import main
from trainer.data.provenance import Provenance
from trainer.multi_task import steps
from trainer.multi_task.design import Design
from trainer.multi_task.settings import read_multi_task

# Lesions, and two labels: that is all that the figures tell apart.
DATASETS = (FLAIR, CT)
ARMS = ["dedicated", "transfer", "shared", "joint", "joint-finetuned"]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The folder of a finished experiment and what it found."""
    folder = tmp_path_factory.mktemp("study")
    write_data(folder / "data")
    write_config(folder / "study.toml", seeds="[0]", labelled="[4]", data=DATASETS)
    words = ["experiment", "multi-task", "--config", str(folder / "study.toml"), "-o", str(folder / "out")]
    status = main([*words, "--publish", str(folder / "docs")])
    found = json.loads((folder / "out" / "metrics.json").read_text())
    # The reason of a run that failed, not only that one did.
    assert (status, found["failures"]) == (0, {})
    return folder, found


def test_every_arm_is_measured_on_every_dataset_with_every_figure(done: tuple[Path, dict[str, Any]]) -> None:
    (regime,) = done[1]["regimes"]
    assert [(row["dataset"], row["arm"]) for row in regime["rows"]] == [
        (name, arm) for name in DATASETS for arm in ARMS
    ]
    for row in regime["rows"]:
        assert row["cases"] >= 3
        assert 0 <= row["foreground_dice"]["value"] <= 1
        assert 0 <= row["auroc"]["value"] <= 1
        assert 0 <= row["ring_ece"]["value"] <= 1
        assert (row["lesion_f1"]["value"] is not None) == (row["dataset"] == FLAIR)
        # A head that all tasks share does not tell the two labels of one dataset apart.
        assert (row["dice"]["value"] is None) == (row["arm"] == "shared" and row["dataset"] == CT)


def test_every_arm_is_compared_with_the_reference_and_ours_with_every_other(done: tuple[Path, dict[str, Any]]) -> None:
    (regime,) = done[1]["regimes"]
    assert [one["arm"] for one in regime["against_reference"]] == ARMS[1:]
    assert [one["reference"] for one in regime["ours_against"]] == ["transfer", "shared", "joint-finetuned"]
    joint = regime["against_reference"][2]["figures"]["dice"]
    rows = {(row["dataset"], row["arm"]): row["dice"]["value"] for row in regime["rows"]}
    for name in DATASETS:
        lead = rows[name, "joint"] - rows[name, "dedicated"]
        assert joint["by_dataset"][name]["value"] == pytest.approx(lead)
    ahead = sum(rows[name, "joint"] >= rows[name, "dedicated"] for name in DATASETS)
    assert (joint["not_worse"], joint["compared"]) == (ahead, len(DATASETS))
    assert regime["bars"][0]["met"] == (ahead == 2)


def test_the_networks_have_seen_nobody_who_is_tested(done: tuple[Path, dict[str, Any]]) -> None:
    design = Design(read_multi_task(done[0] / "study.toml"))
    models = sorted((done[0] / "out" / "runs").glob(f"*/{steps.MODEL}"))
    assert len(models) == len(design.runs)
    for model in models:
        provenance = Provenance.of(read_manifest(model)[0])
        assert not any(provenance.saw(group) for tested in design.division.tested.values() for group in tested)


def test_the_report_and_the_published_page_show_figures_and_no_place_of_this_machine(
    done: tuple[Path, dict[str, Any]],
) -> None:
    folder = done[0]
    page = (folder / "out" / "report.html").read_text()
    assert page.count("<img ") == 5
    assert "4 patients with labels: joint against dedicated: Dice not worse on" in page
    path = next((folder / "docs").glob("multi-task-*-tiny-study.json"))
    published = json.loads(path.read_text())
    assert published["command"][:2] == ["experiment", "multi-task"]
    assert {"commit", "machine"} <= set(published)
    assert str(folder) not in path.read_text()
    text = (folder / "docs" / "multi-task.md").read_text()
    pictures = sorted(picture.name for picture in (folder / "docs").glob("*.png"))
    assert len(pictures) == 5
    assert all(f"]({name})" in text for name in pictures)
    dice = published["results"]["regimes"][0]["rows"][0]["dice"]["value"]
    assert f"{dice:.3f}" in text


def test_the_cost_of_an_arm_holds_what_it_starts_from(done: tuple[Path, dict[str, Any]]) -> None:
    cost = done[1]["compute"]["4"]
    runs = {path.parent.name.rsplit(".", 1)[0]: json.loads(path.read_text())["metrics"]["training"]["cpu_s"]
            for path in (done[0] / "out" / "runs").glob("*/metrics.json")}  # fmt: skip
    assert cost["joint"] == pytest.approx(runs["joint.all.4.s0"])
    own = sum(runs[f"joint-finetuned.{name}.4.s0"] for name in DATASETS)
    assert cost["joint-finetuned"] == pytest.approx(own + runs["pretrained.all.4.s0"])


def test_the_same_command_trains_nothing_anew(
    done: tuple[Path, dict[str, Any]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder, found = done

    def never(*arguments: Any, **named: Any) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(steps, "finetune", never)
    assert main(["experiment", "multi-task", "--config", str(folder / "study.toml"), "-o", str(folder / "out")]) == 0
    again = json.loads((folder / "out" / "metrics.json").read_text())
    assert again["regimes"] == found["regimes"]


def test_a_run_that_fails_is_told_and_the_others_are_reported(
    done: tuple[Path, dict[str, Any]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = done[0]
    (broken,) = (folder / "out" / "runs").glob("joint.all.4.s0.*")
    (broken / "metrics.json").rename(broken / "kept.json")

    def failing(*arguments: Any, **named: Any) -> None:
        raise RuntimeError("planted")

    monkeypatch.setattr(steps, "finetune", failing)
    words = ["experiment", "multi-task", "--config", str(folder / "study.toml"), "-o", str(folder / "out")]
    try:
        assert main(words) == 4
        found = json.loads((folder / "out" / "metrics.json").read_text())
        assert set(found["failures"]) == {"joint.all.4.s0"}
        assert "planted" in capsys.readouterr().err
        (regime,) = found["regimes"]
        assert {row["arm"] for row in regime["rows"]} == set(ARMS) - {"joint"}
        assert not any(bar["met"] for bar in regime["bars"])
        assert (folder / "out" / "report.html").is_file()
    finally:
        (broken / "kept.json").rename(broken / "metrics.json")
