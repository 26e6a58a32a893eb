"""Further figures in the panel (ON STAND-IN WIDGETS AND A STAND-IN OF SEGMENT STATISTICS)."""

from __future__ import annotations

import sys

import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")

from Testing.slicer.stand_ins import segment_statistics


@pytest.fixture
def statistics(monkeypatch):
    monkeypatch.setitem(sys.modules, "SegmentStatistics", segment_statistics)


def titles(panel) -> list[str]:
    table = panel.ui.segmentTableWidget
    return [table.horizontalHeaderItem(column).text() for column in range(table.columnCount)]


def press(panel, title: str) -> None:
    next(action for action in panel._resultView._figures.menu.actions() if action.text() == title).trigger()


def test_a_tick_adds_a_column_with_figures_and_without_it_the_column_goes(panel, segment, statistics):
    assert panel.ui.figuresButton.isHidden()
    segment()
    assert not panel.ui.figuresButton.isHidden()
    before = titles(panel)
    press(panel, "Mean intensity")
    assert titles(panel) == [*before, "Mean intensity"]
    cells = [
        panel.ui.segmentTableWidget.item(row, len(before)).text() for row in range(panel.ui.segmentTableWidget.rowCount)
    ]
    assert any(float(cell) != 0 for cell in cells if cell)
    press(panel, "Mean intensity")
    assert titles(panel) == before


def test_the_table_is_saved_where_the_user_says(panel, segment, statistics, tmp_path):
    segment()
    panel._resultView._figures.save(str(tmp_path / "figures.csv"))
    assert (tmp_path / "figures.csv").read_text(encoding="utf-8-sig").startswith("Segment,")


def test_without_the_module_the_reason_is_said_and_no_tick_stays(panel, segment, monkeypatch):
    monkeypatch.setitem(sys.modules, "SegmentStatistics", None)
    segment()
    press(panel, "Roundness")
    assert "no module Segment Statistics" in panel.ui.regionLabel.text
    actions = panel._resultView._figures.menu.actions()
    assert not any(action.isChecked() for action in actions)
