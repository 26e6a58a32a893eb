"""Figures of Slicer's Segment Statistics (A STAND-IN) in the table of a result."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")

from MultiTaskSegLib.job_result import JobResult
from MultiTaskSegLib.runtime.errors import InputError, ResourceError, UsageError
from MultiTaskSegLib.scene.figure.figure_columns import chosen_figures, set_figures, write_figures
from MultiTaskSegLib.scene.figure.measurement import measurements, measurements_of
from MultiTaskSegLib.scene.figure.segment_statistics import measured
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


def boxes() -> JobResult:
    """A result whose segments are two boxes of 6 x 3 voxels, of 3 and 2 slices."""
    report = {"task": "t", "ood": None, "labels": [], "warnings": [], "model": {}}
    labels = samples.labels()
    return JobResult(report, labels, np.zeros(labels.shape, np.float32), samples.LEGEND, [])


def box_surfaces_mm2(i_mm: float, j_mm: float, k_mm: float) -> Iterator[float]:
    """Of the boxes of `boxes` in voxels of this size."""
    a, b = 6 * i_mm, 3 * j_mm
    for slices in (3, 2):
        c = slices * k_mm
        yield 2.0 * (a * b + b * c + c * a)


def long_keys(plugin: object) -> list[str]:
    return [f"{type(plugin).__name__}.{key}" for key in plugin.keys]


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


def test_what_somebody_has_set_up_in_segment_statistics_stays_as_it_is(result, statistics) -> None:
    theirs = segment_statistics.SegmentStatisticsLogic().getParameterNode()
    theirs.SetParameter("Segmentation", "theirs")
    theirs.statistics = {("heart", "LabelmapSegmentStatisticsPlugin.roundness"): 0.5}
    set_figures(result.segmentation, ["Surface [mm2]"])
    assert slicer.mrmlScene.IsNodePresent(theirs)
    assert theirs.GetParameterNamesAsCommaSeparatedList() == "Segmentation"
    assert theirs.GetParameter("Segmentation") == "theirs"
    assert theirs.statistics == {("heart", "LabelmapSegmentStatisticsPlugin.roundness"): 0.5}
    assert column(result.table, "Surface [mm2]")[0] > 0.0


def test_the_surface_of_boxes_of_anisotropic_voxels_is_that_of_the_boxes(session, statistics) -> None:
    volume = samples.volume("oblique")
    result = add_result(volume, boxes())
    set_figures(result.segmentation, ["Surface [mm2]"])
    assert column(result.table, "Surface [mm2]") == pytest.approx(list(box_surfaces_mm2(0.8, 1.1, 2.5)))
    samples.linear_transform(volume, np.diag([2.0, 2.0, 2.0, 1.0]))
    result.segmentation.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
    set_figures(result.segmentation, ["Surface [mm2]"])
    assert column(result.table, "Surface [mm2]") == pytest.approx(list(box_surfaces_mm2(1.6, 2.2, 5.0)))


def test_a_picture_has_figures_of_its_grey_values_and_no_lengths(session, statistics) -> None:
    volume = samples.volume()
    volume.SetAttribute("MultiTaskSeg.Picture", ".png")
    result = add_result(volume, boxes())
    set_figures(result.segmentation, ["Surface [mm2]", "Mean intensity"])
    assert np.isnan(column(result.table, "Surface [mm2]")).all()
    assert not np.isnan(column(result.table, "Mean intensity")).any()


def test_intensities_that_have_no_mean_leave_the_cell_empty_in_table_and_file(session, statistics, tmp_path) -> None:
    volume = samples.volume()
    voxels = slicer.util.arrayFromVolume(volume).astype(np.float32)
    voxels[np.argwhere(samples.labels() == 1)[0][0], ...] = np.nan
    slicer.util.updateVolumeFromArray(volume, voxels)
    result = add_result(volume, boxes())
    set_figures(result.segmentation, ["Mean intensity"])
    assert np.isnan(column(result.table, "Mean intensity")[0])
    write_figures(result.segmentation, tmp_path / "figures.csv")
    with (tmp_path / "figures.csv").open(newline="", encoding="utf-8-sig") as stream:
        assert [row["Mean intensity"] == "" for row in csv.DictReader(stream)] == [True, False]
    [mean] = measurements_of(["Mean intensity"])
    assert list(measured(result.segmentation, volume, [mean])) == [("posterior", "Mean intensity")]


def test_surfaces_are_asked_for_by_the_name_that_the_labelmap_plugin_has() -> None:
    # "surface_mm2" is what the plugin for closed surfaces calls it.
    assert [one.long_key for one in measurements_of(["Surface [mm2]"])] == [
        "LabelmapSegmentStatisticsPlugin.surface_area_mm2"
    ]
    keys = {key for plugin in segment_statistics.SegmentStatisticsLogic().plugins for key in long_keys(plugin)}
    assert {one.long_key for one in measurements()} <= keys


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


def test_names_and_numbers_come_into_the_csv_file_as_they_are_and_none_as_a_formula(result, tmp_path) -> None:
    table = result.table.GetTable()
    names, volumes = table.GetColumnByName("Segment"), table.GetColumnByName("Volume [mL]")
    for row, (name, volume_ml) in enumerate((("nan", 12345.6789), ("=Leber, groß; ü", float("nan")))):
        names.SetValue(row, name)
        volumes.SetValue(row, volume_ml)
    write_figures(result.segmentation, tmp_path / "figures.csv")
    with (tmp_path / "figures.csv").open(encoding="utf-8-sig", newline="") as stream:
        rows = [(row["Segment"], row["Volume [mL]"]) for row in csv.DictReader(stream)]
    assert rows == [("nan", "12345.6789"), ("'=Leber, groß; ü", "")]


def test_without_the_module_or_a_table_the_reason_is_said(result, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "SegmentStatistics", None)
    with pytest.raises(ResourceError, match="no module Segment Statistics"):
        set_figures(result.segmentation, ["Roundness"])
    assert chosen_figures(result.segmentation) == []
    bare = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Drawn")
    with pytest.raises(InputError, match="no table"):
        set_figures(bare, [])


def test_an_unknown_column_is_an_error() -> None:
    with pytest.raises(UsageError, match=r"no figure 'Mean intensty'.*Mean intensity"):
        measurements_of(["Mean intensty"])
