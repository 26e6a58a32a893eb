"""The table says the same in all its files, and nothing in it is run by who opens it."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from MultiTaskSegLib.cohort.overview.table import cohort_columns, write_csv, write_parquet
from MultiTaskSegLib.cohort.result.case_record import CaseRecord

HOSTILE = ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"]
ODD = ["a,b", 'a"b', "a\nb", "ä 肝", "a=b", "'quoted'"]


def cells(path: Path, title: str) -> list[str]:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        return [row[title] for row in csv.DictReader(stream)]


def test_no_text_is_a_formula_and_figures_stay_figures(tmp_path: Path):
    rows = [CaseRecord(name, "", site=name, score=-1.5) for name in HOSTILE]
    write_csv(cohort_columns(rows), tmp_path / "a.csv")
    for title in ("case", "site"):
        assert cells(tmp_path / "a.csv", title) == [f"'{name}" for name in HOSTILE]
    assert cells(tmp_path / "a.csv", "score") == ["-1.5"] * len(rows)


def test_every_other_text_is_read_back_as_it_was(tmp_path: Path):
    write_csv(cohort_columns([CaseRecord(name, "", reason=name) for name in ODD]), tmp_path / "a.csv")
    assert cells(tmp_path / "a.csv", "reason") == ODD


def test_parquet_holds_every_text_as_it_is(tmp_path: Path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    write_parquet(cohort_columns([CaseRecord(name, "") for name in (*HOSTILE, *ODD)]), tmp_path / "a.parquet")
    assert parquet.read_table(tmp_path / "a.parquet")["case"].to_pylist() == [*HOSTILE, *ODD]


def test_the_answer_stands_beside_the_verdict_and_is_text_in_both_files_also_where_nobody_knows_it(tmp_path: Path):
    rows = [CaseRecord("a", "", verdict="in distribution", quality="look here"), CaseRecord("b", "")]
    columns = cohort_columns(rows)
    titles = [title for title, _ in columns]
    assert titles.index("quality") == titles.index("verdict") + 1
    write_csv(columns, tmp_path / "a.csv")
    assert cells(tmp_path / "a.csv", "quality") == ["look here", ""]
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    write_parquet(columns, tmp_path / "a.parquet")
    assert parquet.read_table(tmp_path / "a.parquet")["quality"].to_pylist() == ["look here", ""]


def test_the_thorough_check_has_columns_of_its_own_and_one_for_each_structure_that_was_looked_at_again(tmp_path: Path):
    looked = CaseRecord("a", "", volumes_ml={"l": 1.0, "r": 2.0}, thorough="look here", agreement=0.8)
    rows = [replace(looked, agreements={"l": 0.7, "lost": 0.0}), CaseRecord("b", "")]
    columns = dict(cohort_columns(rows))
    assert (columns["thorough"], columns["agreement"]) == (["look here", ""], [0.8, None])
    assert (columns["l agreement"], columns["lost agreement"]) == ([0.7, None], [0.0, None])
    assert "r agreement" not in columns
    assert not [title for title in dict(cohort_columns(rows[1:])) if title.endswith(" agreement")]
    assert columns["verdict"] == ["", ""]
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    write_parquet(cohort_columns(rows), tmp_path / "a.parquet")
    assert parquet.read_table(tmp_path / "a.parquet").to_pydict() == columns
