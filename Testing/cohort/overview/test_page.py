"""The page is in time order, shows the worst first, and lets nothing in a name run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from MultiTaskSegLib.cohort.overview.page import cohort_page
from MultiTaskSegLib.cohort.overview.worst_cases import SHOWN, worst
from MultiTaskSegLib.cohort.result.case_record import FAILED, CaseRecord
from MultiTaskSegLib.cohort.result.settings import CHECK, SEGMENT, CohortSettings
from MultiTaskSegLib.verdict_words import FOREIGN, KNOWN

SETTINGS = CohortSettings(CHECK, "<tiny>", "ab" * 32)
ROW = CaseRecord("a", "a.nii", verdict=KNOWN, score=1.0, limit=2.0, p_value=0.5, seconds=1.0)


def test_the_furthest_come_first_then_those_of_which_least_is_expected():
    far = [replace(ROW, case=f"far{k:02d}", score=2.0 + k) for k in range(SHOWN + 3)]
    poor = replace(ROW, case="poor", score=0.1, expected_dice={"liver": 0.2, "spleen": 0.9})
    better = replace(ROW, case="better", score=0.1, expected_dice={"liver": 0.5})
    failed = CaseRecord("failed", "", FAILED)
    found = [row.case for row in worst([better, *far, failed, poor])]
    assert found == [f"far{k:02d}" for k in range(SHOWN + 2, 2, -1)] + ["poor", "better"]


def test_what_the_thorough_check_sends_one_to_comes_before_what_is_expected_to_be_poor(tmp_path: Path):
    one = CaseRecord("good", "", verdict=KNOWN, expected_dice={"liver": 0.1}, thorough="good", agreement=0.95)
    lost = replace(one, case="nothing found", thorough="do not use", agreement=None, expected_dice={})
    less, more = (
        replace(one, case=name, thorough="look here", agreement=agreement)
        for name, agreement in (("less", 0.8), ("more", 0.85))
    )
    failed = replace(one, case="failed", thorough="", agreement=None, expected_dice={"liver": 0.2})
    rows = [one, more, failed, less, lost]
    assert [row.case for row in worst(rows)] == ["nothing found", "less", "more", "good", "failed"]
    settings = CohortSettings(SEGMENT, "tiny", "ab" * 32, thorough=True)
    page = cohort_page(rows, settings, tmp_path)
    assert "<td>look here</td><td>2</td>" in page
    assert "<td>could not be made</td><td>1</td>" in page
    assert "then least agreement of further looks, then least expected Dice" in page
    assert f"<td>{KNOWN}</td><td>5</td>" in page  # the verdicts are counted for themselves
    plain = cohort_page([replace(one, thorough="", agreement=None)], replace(settings, thorough=False), tmp_path)
    assert "thorough" not in plain
    assert "agreement of" not in plain


@pytest.mark.parametrize(
    ("dates", "labels"),
    [
        (("2026-01-03", "2026-01-01"), ["2026-01-01", "2026-01-02", "2026-01-03"]),
        (("2025-11-30", "2026-01-01"), ["2025-11", "2025-12", "2026-01"]),
        (("2001-01-01", "2003-12-31", "2026-05-05"), ["2001", "2003", "2026"]),
    ],
)
def test_time_runs_by_day_month_or_year(tmp_path: Path, dates: tuple[str, ...], labels: list[str]):
    rows = [replace(ROW, case=date, date=date, verdict=FOREIGN) for date in dates]
    page = cohort_page(rows, SETTINGS, tmp_path)
    assert f'<text x="0" y="132">{labels[0]}</text>' in page
    assert f">{labels[-1]}</text>" in page
    for label in {date[: len(labels[0])] for date in dates}:
        assert f"<title>{label}: 1 {FOREIGN}</title>" in page


def test_whatever_a_name_holds_is_text(tmp_path: Path):
    nasty = "<script>alert(1)</script>"
    rows = [replace(ROW, case=nasty, volumes_ml={nasty: 1.0}), CaseRecord(nasty, "", FAILED, nasty)]
    page = cohort_page(rows, SETTINGS, tmp_path)
    assert "<script" not in page
    assert "&lt;tiny&gt;" in page
    assert "No image says when it was made" in page


def test_without_any_finished_case_there_is_a_page_all_the_same(tmp_path: Path):
    page = cohort_page([CaseRecord("a", "", FAILED, "dark")], SETTINGS, tmp_path)
    assert "1 cases: 1 failed" in page
    assert "dark" in page
