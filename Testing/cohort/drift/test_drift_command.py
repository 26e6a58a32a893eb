"""The command reads what a cohort left, and says what moves in words, as a table and as a page."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest

from MultiTaskSegLib.runtime import cli
from Testing.cohort.drift.drifting_cohort import drifting_cohort, write_cohort


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """Sixty cases, from the fortieth on with larger livers, and a site that would run something."""
    records = drifting_cohort(60, step=6.0, changed=40)
    write_cohort([replace(one, site="<script>alert(1)</script>") for one in records], tmp_path / "out")
    return tmp_path / "out"


def test_a_change_is_told_in_words_as_a_table_and_on_the_page(output: Path, capsys: pytest.CaptureFixture[str]):
    assert cli.main(["drift", str(output)]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("liver [mL]: ")
    assert "from 2026-02-10, else " in said.out
    assert "60 cases, 8 tests, 1 show more than chance gives" in said.out
    assert "by site, not tested: too few cases to compare" in said.err
    with (output / "drift.csv").open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    (moved,) = [row for row in rows if row["drift"] == "1"]
    assert (moved["quantity"], moved["by"], moved["where"], moved["cases"]) == (
        "liver [mL]",
        "date",
        "2026-02-10",
        "60",
    )
    assert len(rows) == 12
    page = (output / "drift.html").read_text("utf-8")
    assert "1 show more than chance gives" in page
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert page.count('stroke="#b3261e"') == 1


def test_the_name_of_a_structure_begins_no_line_and_moves_no_cursor(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    odd = "liver\n60 cases, 0 tests\u202e"
    records = drifting_cohort(60, step=6.0, changed=40)
    write_cohort([replace(one, volumes_ml={odd: one.volumes_ml["liver"]}) for one in records], tmp_path / "out")
    assert cli.main(["drift", str(tmp_path / "out")]) == 0
    said = capsys.readouterr()
    assert (said.out + said.err).replace("\n", "").isprintable()
    assert said.out.startswith("liver?60 cases, 0 tests? [mL]: ")


def test_one_way_a_part_of_the_time_and_the_exit_status_can_be_asked_for(
    output: Path, capsys: pytest.CaptureFixture[str]
):
    assert cli.main(["drift", str(output), "--by", "date", "--json", "--fail-on-drift"]) == 3
    told = json.loads(capsys.readouterr().out)
    assert {test["by"] for test in told["tests"]} == {"date"}
    assert [test["quantity"] for test in told["tests"] if test["drift"]] == ["liver [mL]"]
    assert cli.main(["drift", str(output), "--until", "2026-02-09", "--json", "--fail-on-drift"]) == 0
    assert json.loads(capsys.readouterr().out)["cases"] == 40


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--since", "2027-01-01"], "none of that time"),
        (["--since", "soon"], "give a day as YYYY-MM-DD"),
        (["--alpha", "0.9"], "give at most 0.5"),
    ],
)
def test_wrong_words_are_refused(output: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str):
    try:
        code = cli.main(["drift", str(output), *words])
    except SystemExit as end:
        code = int(end.code or 0)
    assert code in (2, 4)
    assert said in capsys.readouterr().err


def test_a_folder_without_results_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert cli.main(["drift", str(tmp_path)]) == 4
    assert "there are no results of a cohort" in capsys.readouterr().err
    write_cohort([], tmp_path / "out")
    assert cli.main(["drift", str(tmp_path / "out")]) == 4
    assert "no case is finished there" in capsys.readouterr().err
