"""Figures of Slicer's Segment Statistics (A STAND-IN) in the table of a result."""

from __future__ import annotations

import csv
import sys

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")

from MultiTaskSegLib.runtime.errors import InputError, ResourceError
from MultiTaskSegLib.scene.figure.figure_columns import chosen_figures, set_figures, write_figures
from MultiTaskSegLib.scene.figure.measurement import measurements_of
from MultiTaskSegLib.scene.result import add_result
from MultiTaskSegLib.scene.result_table import rows_of
from Testing.slicer import scene_samples as samples
from Testing.slicer.scene.test_result_table import found
from Testing.slicer.stand_ins import segment_statistics


@pytest.fixture
def statistics(monkeypatch):
    monkeypatch.setitem(sys.modules, "SegmentStatistics", segment_statistics)


@pytest.fixture
def result(session):
    return add_result(samples.volume(), found())


def column(table, name: str) -> list[float]:
    values = table.GetTable().GetColumnByName(name)
    return [values.GetValue(row) for row in range(values.GetNumberOfValues())]


def test_chosen_measurements_become_columns_and_the_figures_of_the_model_stay(result, statistics) -> None:
    before = rows_of(result.table)
    set_figures(result.segmentation, ["Mean intensity", "Surface [mm2]"])
    assert rows_of(result.table) == before
    assert chosen_figures(result.segmentation) == ["Surface [mm2]", "Mean intensity"]
    voxels = slicer.util.arrayFromVolume(result.segmentation.GetNodeReference("MultiTaskSeg.Input"))
    means = column(result.table, "Mean intensity")
    for row, mean in zip(before, means, strict=True):
        inside = slicer.util.arrayFromSegmentBinaryLabelmap(
            result.segmentation, row.segment_id, result.segmentation.GetNodeReference("MultiTaskSeg.Input")
        )
        assert np.isnan(mean) if not inside.any() else mean == pytest.approx(voxels[inside > 0].mean())
    assert not np.isnan(means).all()


def test_other_measurements_take_their_place_and_none_leave_the_table_as_it_was(result, statistics) -> None:
    names = [result.table.GetColumnName(number) for number in range(result.table.GetNumberOfColumns())]
    set_figures(result.segmentation, ["Mean intensity"])
    set_figures(result.segmentation, ["Maximum intensity"])
    assert chosen_figures(result.segmentation) == ["Maximum intensity"]
    set_figures(result.segmentation, [])
    assert [result.table.GetColumnName(number) for number in range(result.table.GetNumberOfColumns())] == names


def test_nothing_stays_in_the_scene_but_the_columns(result, statistics) -> None:
    count = slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScriptedModuleNode")
    set_figures(result.segmentation, ["Surface [mm2]"])
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScriptedModuleNode") == count


def test_the_csv_file_has_every_column_and_empty_cells_for_what_is_missing(result, statistics, tmp_path) -> None:
    set_figures(result.segmentation, ["Mean intensity", "Feret diameter [mm]"])
    write_figures(result.segmentation, tmp_path / "figures.csv")
    with (tmp_path / "figures.csv").open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["Segment"] for row in rows] == [row.name for row in rows_of(result.table)]
    assert all(row["Feret diameter [mm]"] == "" for row in rows)  # the stand-in measures none
    assert [float(row["Mean intensity"]) for row in rows if row["Mean intensity"]] == pytest.approx(
        [mean for mean in column(result.table, "Mean intensity") if not np.isnan(mean)]
    )


def test_names_and_numbers_come_into_the_csv_file_as_they_are(result, tmp_path) -> None:
    table = result.table.GetTable()
    names, volumes = table.GetColumnByName("Segment"), table.GetColumnByName("Volume [mL]")
    for row, (name, volume_ml) in enumerate((("nan", 12345.6789), ("Leber, groß; ü", float("nan")))):
        names.SetValue(row, name)
        volumes.SetValue(row, volume_ml)
    write_figures(result.segmentation, tmp_path / "figures.csv")
    with (tmp_path / "figures.csv").open(encoding="utf-8-sig", newline="") as stream:
        rows = [(row["Segment"], row["Volume [mL]"]) for row in csv.DictReader(stream)]
    assert rows == [("nan", "12345.6789"), ("Leber, groß; ü", "")]


def test_without_the_module_or_a_table_the_reason_is_said(result, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "SegmentStatistics", None)
    with pytest.raises(ResourceError, match="no module Segment Statistics"):
        set_figures(result.segmentation, ["Roundness"])
    assert chosen_figures(result.segmentation) == []
    bare = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Drawn")
    with pytest.raises(InputError, match="no table"):
        set_figures(bare, [])


def test_an_unknown_column_is_an_error() -> None:
    with pytest.raises(KeyError):
        measurements_of(["Weight [kg]"])
