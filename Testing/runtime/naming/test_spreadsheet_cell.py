"""Texts of strangers do not become formulas in spreadsheets."""

from __future__ import annotations

import pytest

from MultiTaskSegLib.runtime.naming.spreadsheet_cell import spreadsheet_cell


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_a_text_that_starts_like_a_formula_is_told_to_be_a_text(text):
    assert spreadsheet_cell(text) == f"'{text}"


@pytest.mark.parametrize("value", ["scan", "", "a=1", -1.5, 0, 7])
def test_other_texts_and_figures_stay_as_they_are(value):
    assert spreadsheet_cell(value) == value


def test_a_missing_figure_is_an_empty_cell():
    assert spreadsheet_cell(None) == ""
