"""Counts, colours and maps of OODCheck, and what a second check leaves of the first (ON STAND-IN WIDGETS)."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")

from MultiTaskSegLib import job
from MultiTaskSegLib.batch import BatchRow
from MultiTaskSegLib.runtime.errors import UsageError
from MultiTaskSegLib.runtime.ood.verdict import Verdict
from MultiTaskSegLib.scene.batch.batch_table import batch_rows_of, fill_batch_table
from MultiTaskSegLib.scene.image_record import ImageRecord
from MultiTaskSegLib.scene.result_record import write_record
from MultiTaskSegLib.verdict_words import verdict_words
from Testing.slicer import scene_samples as samples
from Testing.slicer.panel.test_lifecycle import observer_count

GREEN, AMBER, RED = "#1b7f3b", "#9a5b00", "#b3261e"
KNOWN = Verdict(False, 1.0, 1.5, 0.5, "heart", {"heart": 1.0})
UNUSUAL = Verdict(False, 1.4, 1.5, 0.05, "heart", {"heart": 1.4})
FOREIGN = Verdict(True, 3.0, 1.5, 0.01, "heart", {"heart": 3.0})


@pytest.fixture
def library(stand_ins, session):
    """A module of OODCheckLib by its name."""
    from Testing.slicer.stand_ins.panel import load_module

    load_module("OODCheck")
    return lambda name: importlib.import_module(f"OODCheckLib.{name}")


@pytest.mark.parametrize(
    ("verdicts", "colour", "words"),
    [
        ([KNOWN, KNOWN], GREEN, ("0 of 2 images", "0 unusual, 0 not checked")),
        ([KNOWN, UNUSUAL], AMBER, ("0 of 2 images", "1 unusual, 0 not checked")),
        ([KNOWN, None], AMBER, ("0 of 2 images", "0 unusual, 1 not checked")),
        ([FOREIGN, UNUSUAL, FOREIGN, None], RED, ("2 of 4 images", "1 unusual, 1 not checked")),
    ],
)
def test_the_summary_counts_each_kind_and_has_the_colour_of_the_worst(library, verdicts, colour, words):
    text = library("check_banner").summary_banner(verdicts)
    assert [shade for shade in (GREEN, AMBER, RED) if shade in text] == [colour]
    assert [word for word in words if word not in text] == []


def test_a_bar_is_green_up_to_the_limit_and_red_beyond(library):
    distances = {"below": 1.0, "at": 1.5, "beyond": 1.5001}
    text = library("distance_bars").distance_bars(Verdict(False, 1.0, 1.5, 0.5, "below", distances))
    rows = text.split('<tr><td width="40%">')[1:]
    assert [(GREEN in row, RED in row) for row in rows] == [(True, False), (True, False), (False, True)]


OWN_LIMITS = Verdict(
    False,
    1.0,
    1.5,
    0.5,
    "near",
    {"near": 1.0, "tight": 1.3, "wide": 1.6},
    limits={"near": 1.5, "tight": 1.2, "wide": 1.7},
)


def test_where_tasks_have_their_own_limits_each_bar_has_the_colour_of_its_own(library):
    text = library("distance_bars").distance_bars(OWN_LIMITS)
    rows = text.split('<tr><td width="40%">')[1:]
    assert [(GREEN in row, RED in row) for row in rows] == [(True, False), (False, True), (True, False)]
    assert "limit of the nearest: 1.50" in text


def test_the_chart_draws_each_task_s_own_limit_over_its_bar(library):
    plot = library("distance_plot")
    line = plot._limit_line(OWN_LIMITS)
    assert line["number"] == [0.4, 1.5, 1.5, 2.5, 2.5, 3.6]
    assert line["limit"] == [1.5, 1.5, 1.2, 1.2, 1.7, 1.7]
    common = plot._limit_line(Verdict(False, 1.0, 1.5, 0.5, "near", OWN_LIMITS.distances))
    assert (common["number"], common["limit"]) == ([0.4, 3.6], [1.5, 1.5])


@pytest.mark.parametrize(("count", "told"), [(8, ""), (10, "and 2 tasks farther away")])
def test_the_bars_tell_how_many_tasks_are_not_shown(library, count, told):
    distances = {f"task{number}": 1.0 + number for number in range(count)}
    text = library("distance_bars").distance_bars(Verdict(False, 1.0, 1.5, 0.5, "task0", distances))
    assert text.count("<table") == 1 + 8
    assert told in text
    assert ("farther away" in text) is bool(told)


def test_a_second_map_takes_the_place_of_the_first_and_nothing_of_it_stays(library, session):
    maps, volume = library("foreign_map"), samples.volume(shape=(2, 2, 2))
    rarity = np.linspace(0.0, 4.0, 8, dtype=np.float32).reshape(2, 2, 2)
    maps.add_foreign_map(volume, rarity)
    once = session.scene.GetNumberOfNodes()
    node = maps.add_foreign_map(volume, rarity)
    assert maps.foreign_map(volume) is node
    assert session.scene.GetNumberOfNodes() == once
    display = node.GetDisplayNode()
    assert (display.GetWindowLevelMin(), display.GetWindowLevelMax()) == (0.0, 4.0)
    assert (display.GetLowerThreshold(), display.GetUpperThreshold()) == (2.0, 4.0)


def test_a_row_of_a_second_batch_does_not_lead_to_an_image_of_the_first(library):
    results, table = library("result_table"), slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode")
    volume = samples.volume()
    fill_batch_table(table, [BatchRow("Scan", ood=KNOWN, volume_id=volume.GetID())])
    assert results.volume_of_row(table, 0) is volume
    fill_batch_table(table, [BatchRow("a.nrrd", ood=KNOWN, file="a.nrrd")])
    assert results.volume_of_row(table, 0) is None
    assert batch_rows_of(table)[0].file == "a.nrrd"


def test_the_cell_of_a_verdict_has_its_colour_and_others_have_none(library, stand_ins):
    table = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode")
    fill_batch_table(table, [BatchRow("x", verdict=verdict_words(ood), ood=ood) for ood in (KNOWN, UNUSUAL, FOREIGN)])
    fill_batch_table(table, [*batch_rows_of(table), BatchRow("x", error="damaged")])
    widget = stand_ins.QTableWidget()
    library("result_view").ResultView(widget, stand_ins.QPushButton(), print).show(table)
    cells = [widget.item(row, 1) for row in range(4)]
    assert [cell.text() for cell in cells] == ["in", "unusual", "OUT", "not checked"]
    assert [cell.background().color().name() for cell in cells[:3]] == [GREEN, AMBER, RED]
    no_brush = stand_ins.QTableWidgetItem("").background()
    assert cells[3].background() == widget.item(0, 0).background() == no_brush


def test_spreadsheets_are_told_that_the_saved_table_is_utf_8(library, tmp_path):
    table = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode")
    fill_batch_table(table, [BatchRow("ü", ood=KNOWN)])
    library("result_table").write_csv(table, tmp_path / "results.csv")
    assert (tmp_path / "results.csv").read_bytes().startswith(b"\xef\xbb\xbfimage,")


def test_a_batch_that_is_over_watches_the_scene_no_more(library, session):
    before = observer_count(session.scene)
    batch = library("check_batch").CheckBatch([library("image_item").ImageItem("x")], job.JobRunner([]), print, print)
    assert observer_count(session.scene) == before + 1
    batch.end()
    assert observer_count(session.scene) == before


def test_a_batch_is_refused_at_once_while_another_run_is_under_way(library, monkeypatch):
    runner = job.JobRunner([])
    monkeypatch.setattr(job, "_shared", runner)
    _held = runner.hold()
    with pytest.raises(UsageError, match="another run is under way"):
        library("check").start_batch([library("image_item").ImageItem("x", path=Path("x"))], None, "cpu", False)


def test_the_bars_are_in_the_order_of_their_lengths_and_the_nearest_task_is_marked(library):
    distances = {"far": 9.0, "Dataset003_near": 3.0, "short": 2.0}
    text = library("distance_bars").distance_bars(Verdict(True, 3.0, 1.5, 0.1, "Dataset003_near", distances))
    places = [text.index(words) for words in (">1 short<", ">2 near<", ";3.00 (nearest)<", ">3 far<")]
    assert places == sorted(places)
    assert "Dataset" not in text


def test_the_nearest_task_has_a_bar_however_many_are_shorter(library):
    distances = {f"task{number}": 1.0 + number for number in range(10)}
    verdict = Verdict(True, 10.0, 1.5, 0.1, "task9", distances)
    names = [task for task, _distance in library("distance_bars").shortest_first(verdict)]
    assert names == ["task0", "task1", "task2", "task3", "task4", "task5", "task6", "task9"]


@pytest.mark.parametrize(
    ("rare", "words"), [(0, "Nowhere foreign: 0 %"), (1, "Nowhere foreign: 1 %"), (3, "in part: 3 %")]
)
def test_a_map_is_told_in_words_and_an_empty_one_is_not_laid_over_the_image(library, monkeypatch, rare, words):
    maps, volume = library("foreign_map"), samples.volume(shape=(1, 10, 10))
    rarity = np.zeros((1, 10, 10), np.float32)
    rarity.ravel()[:rare] = 3.0
    write_record(volume, ImageRecord.of(volume), {"ood": KNOWN.as_dict()})
    assert maps.foreign_words(volume) == ""
    maps.add_foreign_map(volume, rarity)
    assert words in library("check_banner").volume_text(volume)
    shown: list[tuple] = []
    monkeypatch.setattr(maps, "show_heatmap", lambda *arguments: shown.append(arguments))
    maps.show_foreign_map(volume)
    assert len(shown) == (rare > 0)
