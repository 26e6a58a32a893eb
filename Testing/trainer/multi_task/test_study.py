"""A whole multi-task experiment on tiny data: done once, resumed, reported, published."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from matplotlib.image import imread

from MultiTaskSegLib.runtime.model.model_file import read_manifest
from Testing.trainer.multi_task.tiny_study import CT, FLAIR, PAPER_ARM, SHORT_ARMS, write_config, write_data
from trainer.cli import main
from trainer.data.provenance import Provenance
from trainer.multi_task import case_picture, steps
from trainer.multi_task.design import Design
from trainer.multi_task.publication import publish
from trainer.multi_task.settings import read_multi_task
from trainer.paper_network.network_file import load_paper_model

# Lesions, and two labels: that is all that the figures tell apart.
DATASETS = (FLAIR, CT)
ARMS = ["dedicated", "transfer", "shared", "joint", "joint-finetuned", "paper"]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The folder of a finished experiment and what it found."""
    folder = tmp_path_factory.mktemp("study")
    write_data(folder / "data")
    # Pictures of the one must not be published.
    info = folder / "data" / CT / "dataset.json"
    info.write_text(json.dumps(json.loads(info.read_text()) | {"released_weights_may_use": False}))
    arms = SHORT_ARMS + PAPER_ARM
    write_config(folder / "study.toml", arms=arms, seeds="[0]", labelled="[4]", data=DATASETS)
    words = ["experiment", "multi-task", "--config", str(folder / "study.toml"), "-o", str(folder / "out")]
    status = main([*words, "--publish", str(folder / "docs")])
    found = json.loads((folder / "out" / "metrics.json").read_text())
    # The reason of a run that failed, not only that one did.
    assert (status, found["failures"], found["picture_failures"]) == (0, {}, {})
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
        assert (row["dice"]["value"] is None) == (row["arm"] in ("shared", "paper") and row["dataset"] == CT)


def test_every_arm_is_compared_with_the_reference_and_ours_with_every_other(done: tuple[Path, dict[str, Any]]) -> None:
    (regime,) = done[1]["regimes"]
    assert [one["arm"] for one in regime["against_reference"]] == ARMS[1:]
    assert [one["reference"] for one in regime["ours_against"]] == ["transfer", "shared", "joint-finetuned", "paper"]
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
    runs = done[0] / "out" / "runs"
    ours = [read_manifest(model)[0] for model in runs.glob(f"*/{steps.MODEL}")]
    published = [load_paper_model(model).manifest for model in runs.glob(f"*/{steps.PUBLISHED}")]
    assert (len(ours), len(published)) == (len(design.runs) - 1, 1)
    for manifest in (*ours, *published):
        provenance = Provenance.of(manifest)
        assert not any(provenance.saw(group) for tested in design.divisions[0].tested.values() for group in tested)


def test_the_report_and_the_published_page_show_figures_and_no_place_of_this_machine(
    done: tuple[Path, dict[str, Any]],
) -> None:
    folder = done[0]
    page = (folder / "out" / "report.html").read_text()
    # Two forests, reliability, compute, and cases of both datasets.
    assert page.count("<img ") == 4 + len(DATASETS)
    assert "4 patients with labels: joint against dedicated: Dice not worse on" in page
    path = next((folder / "docs").glob("multi-task-*-tiny-study.json"))
    published = json.loads(path.read_text())
    assert published["command"][:2] == ["experiment", "multi-task"]
    assert {"commit", "machine"} <= set(published)
    assert str(folder) not in path.read_text()
    text = (folder / "docs" / "multi-task.md").read_text()
    pictures = sorted(picture.name for picture in (folder / "docs").glob("*.png"))
    assert len(pictures) == 4
    assert all(f"]({name})" in text for name in pictures)
    dice = published["results"]["regimes"][0]["rows"][0]["dice"]["value"]
    assert f"{dice:.3f}" in text


def test_best_median_and_worst_case_of_every_dataset_are_drawn(done: tuple[Path, dict[str, Any]]) -> None:
    folder, found = done
    assert [entry["dataset"] for entry in found["cases"]] == list(DATASETS)
    assert [entry["may_be_published"] for entry in found["cases"]] == [True, False]
    for entry in found["cases"]:
        assert [row["place"] for row in entry["cases"]] == ["best", "median", "worst"]
        ours = [row["dice"]["joint"] for row in entry["cases"]]
        assert ours == sorted(ours, reverse=True)
        assert all(set(row["dice"]) == {"dedicated", "joint"} for row in entry["cases"])
        large, small = (folder / "out" / "cases" / part / entry["picture"] for part in ("", "small"))
        assert [2 * n for n in imread(small).shape[:2]] == [n // 2 * 2 for n in imread(large).shape[:2]]
    drawn = [path.name for path in (folder / "out" / "cases").glob("*.png")]
    assert sorted(drawn) == sorted(entry["picture"] for entry in found["cases"])


def test_cases_are_published_only_where_asked_for_and_permitted(
    done: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    folder, found = done
    (plain,) = (folder / "docs").glob("multi-task-*.json")
    assert json.loads(plain.read_text())["results"]["cases"] == []
    assert not list((folder / "docs").glob("*cases-*"))
    path, page = publish(found, [], tmp_path, folder / "out" / "cases" / "small")
    (entry,) = json.loads(path.read_text())["results"]["cases"]
    assert entry["dataset"] == FLAIR
    (picture,) = tmp_path.glob("*cases-*")
    assert picture.name in page.read_text()
    assert picture.read_bytes() == (folder / "out" / "cases" / "small" / entry["picture"]).read_bytes()
    publish(found, [], tmp_path)
    assert not picture.exists()


def test_cases_cannot_be_published_without_a_place(
    done: tuple[Path, dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--config", str(done[0] / "study.toml"), "-o", str(done[0] / "out"), "--publish-cases"]
    assert main(["experiment", "multi-task", *words]) == 2
    assert "--publish-cases without --publish" in capsys.readouterr().err


def test_a_network_that_is_gone_costs_the_picture_and_nothing_else(
    done: tuple[Path, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, found = done
    models = [run / steps.MODEL for run in (folder / "out" / "runs").glob(f"dedicated.{CT}.*")]
    pictures = {path: path.read_bytes() for path in (folder / "out" / "cases").rglob("*.png")}
    for model in models:
        model.rename(model.with_name("gone"))
    monkeypatch.setattr(case_picture, "DRAWN_BY", case_picture.DRAWN_BY + 1)
    words = ["experiment", "multi-task", "--config", str(folder / "study.toml"), "-o", str(folder / "out")]
    try:
        assert main(words) == 0
        again = json.loads((folder / "out" / "metrics.json").read_text())
        assert [entry["dataset"] for entry in again["cases"]] == [FLAIR]
        assert set(again["picture_failures"]) == {CT}
        assert f"There is no picture of cases of {CT}" in (folder / "out" / "report.html").read_text()
        assert again["regimes"] == found["regimes"]
    finally:
        for model in models:
            model.with_name("gone").rename(model)
        for path in (folder / "out" / "cases").rglob("*.png"):
            path.unlink()
        for path, content in pictures.items():
            path.write_bytes(content)


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
    monkeypatch.setattr(case_picture, "contender_of", never)
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
