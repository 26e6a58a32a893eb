"""Published figures: short lines, six digits, and what was written is what is read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from trainer.report.published_json import compact, write_published


@pytest.mark.parametrize(
    "value, expected",
    [
        (0.1234564, "0.123456"),
        (0.1234567, "0.123457"),
        (123456.4, "123456.0"),
        (1234567.0, "1234570.0"),
        (1234567, "1234567"),
    ],
)
def test_numbers_have_six_digits_and_counts_all_of_them(value: float, expected: str) -> None:
    assert compact([value]) == compact((value,)) == f"[{expected}]"


@pytest.mark.parametrize("length, lines", [(81, 1), (82, 3)])
def test_an_object_of_up_to_90_characters_is_one_line(length: int, lines: int) -> None:
    text = compact({"a": "x" * length})
    assert len(json.dumps({"a": "x" * length})) == length + 9
    assert len(text.splitlines()) == lines


def test_a_list_with_objects_has_a_line_for_each_and_one_of_numbers_is_one_line() -> None:
    assert len(compact(list(range(200))).splitlines()) == 1
    assert compact([{"a": 1}, {"b": 2}]) == '[\n {"a": 1},\n {"b": 2}\n]'


def test_what_is_returned_is_what_a_reader_finds(tmp_path: Path) -> None:
    content = {"figure": 1 / 3, "missing": float("nan"), "nested": {"rows": [{"x": 2 / 3}]}, "name": "é"}
    found = write_published(tmp_path / "f.json", content)
    assert found == {"figure": 0.333333, "missing": None, "nested": {"rows": [{"x": 0.666667}]}, "name": "é"}
    assert json.loads((tmp_path / "f.json").read_text(encoding="utf-8")) == found
