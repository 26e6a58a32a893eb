"""The published results: page and file agree, and say nothing about the machine."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from MultiTaskSegLib.runtime.errors import DatasetError, UsageError
from trainer import cli
from trainer.report.published_json import compact
from trainer.uncertainty.publication import PAGE, markdown, publish, published_page

RESULTS = Path(__file__).resolve().parents[3] / "docs" / "results"
PUBLISHED = sorted(RESULTS.glob("calibration-*.json"))


def entry(value: float | None, interval: list[float] | None = None) -> dict[str, Any]:
    return {"value": value, "interval": interval}


FIGURES = {
    name: entry(0.25, [0.125, 0.5])
    for name in (
        "ring_ece", "ring_ece_mean_of_cases", "ring_mce", "ring_ace", "ideal_ring_ece", "predicted_ring_ece",
        "whole_ece", "whole_brier", "near_auroc", "whole_auroc", "near_aurc", "seconds",
        "expected_dice_spearman_within_tasks",
        *(f"{form}_{what}" for form in (
            "expected_dice", "expected_dice_linear", "expected_dice_isotonic", "mean_confidence"
        ) for what in ("spearman", "error")),
    )
}  # fmt: skip


def result(name: str, created: str) -> dict[str, Any]:
    """A result as the experiment writes it, as far as the page is concerned."""
    form = {"uncalibrated": FIGURES, "surface_temperature": FIGURES | {"ring_ece": entry(None)}}
    scalings = {key: [{"temperature": 1.5, "surface_temperature": None}] for key in form}
    return {
        "schema": "multitaskseg-calibration/1",
        "created": created,
        "command": "python -m trainer experiment calibration",
        "commit": "abc",
        "model": {"name": name, "sha256": "0" * 64},
        "ensemble": [],
        "versions": {"numpy": "2.0"},
        "tasks": {
            "Dataset001_Balls": {
                "calibration": form, "scalings": scalings, "estimators": {"single_pass": FIGURES | {"passes": 1}},
                "cross_fitted": True, "reliability": {"surface_temperature": {"ring": [[0.0] * 10] * 3}},
            }
        },
        "forms": form,
        "estimators": {"single_pass": {"figures": FIGURES}},
        "choice": {"best": "single_pass", "auroc_beyond_chance_per_second": {"single_pass": 0.75}},
        "bars": [{"what": "ring ECE", **entry(0.04), "limit": 0.05, "at_least": False, "met": True}],
    }  # fmt: skip


def write(path: Path, value: dict[str, Any]) -> Path:
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def test_results_of_several_models_become_one_file_with_the_newest_date(tmp_path: Path) -> None:
    one = write(tmp_path / "a.json", result("first", "2026-01-02T03:04:05+00:00"))
    two = write(tmp_path / "b.json", result("second", "2026-02-03T04:05:06+00:00"))
    path = publish([one, two], tmp_path / "out")
    assert path.name == "calibration-2026-02-03.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    assert [model["model"]["name"] for model in content["results"]] == ["first", "second"]
    assert content["results"][0]["estimators"] == result("first", "")["estimators"]
    page = (tmp_path / "out" / PAGE).read_text(encoding="utf-8")
    assert page == markdown(content, path.name)
    assert "## first" in page
    assert "## second" in page


def test_results_of_other_models_from_the_same_day_are_not_overwritten(tmp_path: Path) -> None:
    day = "2026-01-02T03:04:05"
    one, two = (write(tmp_path / f"{name}.json", result(name, day)) for name in ("first", "second"))
    path = publish([one], tmp_path / "out")
    before = path.read_bytes()
    with pytest.raises(UsageError, match="results of first would be gone"):
        publish([two], tmp_path / "out")
    assert path.read_bytes() == before
    assert publish([two, one], tmp_path / "out") == path
    names = [own["model"]["name"] for own in json.loads(path.read_text(encoding="utf-8"))["results"]]
    assert names == ["second", "first"]
    publish([two, one], tmp_path / "out")


def test_of_several_results_of_one_model_none_is_lost(tmp_path: Path) -> None:
    one = write(tmp_path / "a.json", result("first", "2026-01-02T03:04:05"))
    two = write(tmp_path / "b.json", result("first", "2026-01-02T04:05:06") | {"commit": "def"})
    path = publish([one, two], tmp_path / "out")
    before = path.read_bytes()
    with pytest.raises(UsageError, match="results of first would be gone"):
        publish([two], tmp_path / "out")
    assert path.read_bytes() == before


def test_what_is_in_the_place_of_published_results_and_is_none_is_not_overwritten(tmp_path: Path) -> None:
    one = write(tmp_path / "a.json", result("first", "2026-01-02T03:04:05"))
    place = tmp_path / "calibration-2026-01-02.json"
    for text in (one.read_text(encoding="utf-8"), "{"):
        place.write_text(text, encoding="utf-8")
        with pytest.raises(DatasetError, match="Remove the file"):
            publish([one], tmp_path)
        assert place.read_text(encoding="utf-8") == text


def test_what_is_published_already_is_no_result_of_a_run(tmp_path: Path) -> None:
    path = publish([write(tmp_path / "a.json", result("first", "2026-01-02T03:04:05"))], tmp_path / "out")
    with pytest.raises(DatasetError, match="not a result of the experiment"):
        publish([path], tmp_path / "out")


def test_every_row_of_a_table_has_as_many_cells_as_its_head(tmp_path: Path) -> None:
    path = publish([write(tmp_path / "a.json", result("first", "2026-01-02T03:04:05"))], tmp_path / "out")
    page = markdown(json.loads(path.read_text(encoding="utf-8")), path.name)
    tables = [block.strip() for block in page.split("\n\n") if block.startswith("|")]
    assert len(tables) == 8
    for block in tables:
        assert len({line.count("|") for line in block.split("\n")}) == 1


def test_what_could_not_be_measured_is_a_dash(tmp_path: Path) -> None:
    path = publish([write(tmp_path / "a.json", result("first", "2026-01-02T03:04:05"))], tmp_path / "out")
    page = (path.parent / PAGE).read_text(encoding="utf-8")
    assert "| surface temperature | – |" in page
    assert not re.search(r"\bnan\b|None", page)


def test_numbers_are_rounded_and_lists_stay_in_one_line() -> None:
    value = {"a": [0.123456789, float("nan"), 3], "b": {"c": [[1.0, 2.0], [3.0]]}, "d": [{"e": "ü"}], "f": []}
    text = compact(value)
    assert json.loads(text) == {"a": [0.123457, None, 3], "b": {"c": [[1.0, 2.0], [3.0]]}, "d": [{"e": "ü"}], "f": []}
    assert '"a": [0.123457, null, 3],' in text
    assert '"c": [[1.0, 2.0], [3.0]]' in text


@pytest.mark.parametrize("text", ["{", "[]", '{"schema": "something else"}'])
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DatasetError, match=r"a\.json"):
        publish([path], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_command_says_what_it_wrote(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "a.json", result("first", "2026-01-02T03:04:05"))
    assert cli.main(["experiment", "calibration-page", str(path), "-o", str(tmp_path)]) == 0
    assert "calibration-2026-01-02.json" in capsys.readouterr().out


def test_the_published_page_is_the_one_that_its_file_gives() -> None:
    assert (RESULTS / PAGE).read_text(encoding="utf-8") == published_page(PUBLISHED[-1])


def test_published_results_name_no_place_on_any_machine() -> None:
    for path in (*PUBLISHED, RESULTS / PAGE):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"[\"' ](/|[A-Z]:\\\\)\w+[/\\]", text)
