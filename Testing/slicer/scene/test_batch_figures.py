"""Figures of Segment Statistics (A STAND-IN) in rows of a batch: those of boxes; none is mixed up or made up."""

from __future__ import annotations

import csv
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")
import SimpleITK as sitk

from MultiTaskSegLib.batch import BatchRow
from MultiTaskSegLib.batch_table import batch_columns, write_batch_csv
from MultiTaskSegLib.gallery.batch_page import batch_page
from MultiTaskSegLib.job import JobRunner
from MultiTaskSegLib.job_result import JobResult
from MultiTaskSegLib.runtime.errors import InputError, ResourceError, UsageError
from MultiTaskSegLib.runtime.image import image_file
from MultiTaskSegLib.runtime.image.volume import LPS_TO_RAS
from MultiTaskSegLib.scene.batch.batch_table import add_batch_table, batch_rows_of
from MultiTaskSegLib.scene.batch.scene_batch import BatchOptions, SceneBatch, segment_batch
from MultiTaskSegLib.scene.figure.figure_columns import chosen_figures
from MultiTaskSegLib.scene.figure.result_figures import figures_of_file, file_state, with_figures
from Testing.slicer import scene_samples as samples
from Testing.slicer.fake_worker import LEGEND
from Testing.slicer.scene.test_batch import FAKE_WORKER
from Testing.slicer.stand_ins import segment_statistics

SURFACE, MEAN, LARGEST = "Surface [mm2]", "Mean intensity", "Maximum intensity"
SPACING_MM = np.array([0.8, 1.1, 2.5])  # i, j, k, of the samples

pytestmark = pytest.mark.usefixtures("session", "scratch")


@pytest.fixture
def statistics(monkeypatch):
    monkeypatch.setitem(sys.modules, "SegmentStatistics", segment_statistics)


@pytest.fixture
def runner():
    made = JobRunner([sys.executable, FAKE_WORKER, "good"])
    yield made
    made.close()


def box(name: str, size_ijk: tuple[int, int, int], bright: float) -> object:
    """A volume in which one box is bright: the worker that stands in labels just that."""
    i, j, k = size_ijk
    voxels = np.zeros((9, 12, 15), np.int16)
    voxels[2 : 2 + k, 3 : 3 + j, 1 : 1 + i] = bright
    return slicer.util.addVolumeFromArray(voxels, ijkToRAS=samples.ijk_to_ras("oblique"), name=name)


def surface_mm2(size_ijk: tuple[int, int, int], spacing_mm: np.ndarray = SPACING_MM) -> float:
    a, b, c = np.array(size_ijk) * spacing_mm
    return float(2.0 * (a * b + b * c + c * a))


def figures(row: BatchRow) -> dict[str, float | None]:
    """By title, of the one structure."""
    return {title: values["bright part"] for title, values in row.figures.items()}


def test_each_image_has_the_figures_of_its_own_box(statistics, runner):
    sizes = [(2, 3, 4), (5, 1, 2), (3, 3, 3)]
    nodes = [box(f"box {number}", size, 10.0 * number + 10.0) for number, size in enumerate(sizes)]
    found = segment_batch(nodes, BatchOptions(figures=[MEAN, SURFACE]), runner=runner)
    assert [list(row.figures) for row in found.rows] == [[SURFACE, MEAN]] * 3
    for number, (row, size) in enumerate(zip(found.rows, sizes, strict=True)):
        assert figures(row) == {SURFACE: pytest.approx(surface_mm2(size)), MEAN: 10.0 * number + 10.0}
        assert row.volumes_ml["bright part"] == pytest.approx(np.prod(size) * np.prod(SPACING_MM) / 1000.0)
        assert chosen_figures(found.results[row.volume_id].segmentation) == [SURFACE, MEAN]


def test_table_csv_file_and_page_have_the_same_columns(statistics, runner, tmp_path):
    nodes = [box("box", (2, 3, 4), 10.0), samples.volume(name="warped")]
    samples.warp_transform(nodes[1])
    found = segment_batch(nodes, BatchOptions(figures=[SURFACE]), runner=runner)
    title = f"bright part: {SURFACE}"
    assert dict(batch_columns(found.rows))[title] == [pytest.approx(surface_mm2((2, 3, 4))), None]
    cells = found.table.GetTable().GetColumnByName(title)
    assert cells.GetValue(0) == pytest.approx(surface_mm2((2, 3, 4)))
    assert np.isnan(cells.GetValue(1))
    write_batch_csv(found.rows, tmp_path / "batch.csv")
    with (tmp_path / "batch.csv").open(newline="", encoding="utf-8-sig") as stream:
        texts = [row[title] for row in csv.DictReader(stream)]
    assert float(texts[0]) == pytest.approx(surface_mm2((2, 3, 4)))
    assert texts[1] == ""
    assert batch_page(found.rows, tmp_path).count(title) == 1


def test_a_structure_that_was_not_found_has_empty_cells_and_no_zero(statistics, runner):
    runner._command[-1] = "empty"
    rows = segment_batch([box("box", (2, 3, 4), 10.0)], BatchOptions(figures=[SURFACE, MEAN]), runner=runner).rows
    assert figures(rows[0]) == {SURFACE: None, MEAN: None}
    assert [values for title, values in batch_columns(rows) if title.endswith(MEAN)] == [[None]]


def test_a_batch_with_other_ticks_has_its_own_figures_and_the_earlier_table_keeps_its(statistics, runner):
    node = box("box", (2, 3, 4), 10.0)
    first = segment_batch([node], BatchOptions(figures=[SURFACE]), runner=runner)
    slicer.util.arrayFromVolume(node)[:] *= 2
    second = segment_batch([node], BatchOptions(figures=[LARGEST]), runner=runner)
    none = segment_batch([node], BatchOptions(), runner=runner)
    assert [figures(found.rows[0]) for found in (first, second)] == [
        {SURFACE: pytest.approx(surface_mm2((2, 3, 4)))},
        {LARGEST: 20.0},
    ]
    assert none.rows[0].figures == {}
    assert [batch_rows_of(found.table)[0].figures for found in (first, second, none)] == [
        first.rows[0].figures,
        second.rows[0].figures,
        {},
    ]


def test_what_a_cancelled_batch_has_measured_stays_with_its_images(statistics, runner):
    sizes = [(2, 3, 4), (5, 1, 2)]
    batch = SceneBatch([box(str(size), size, 10.0) for size in sizes], BatchOptions(figures=[SURFACE]), runner)
    while not batch.job.rows:
        batch.job.poll()
    rows = batch.finish().rows
    assert [figures(row) for row in rows] == [{SURFACE: pytest.approx(surface_mm2(sizes[0]))}]


def test_frames_are_measured_where_they_are_shown(statistics, runner):
    sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "cine")
    sizes = [(2, 3, 4), (5, 1, 2)]
    for number, size in enumerate(sizes):
        frame = box("frame", size, 10.0 * number + 10.0)
        sequence.SetDataNodeAtValue(frame, str(number))
        slicer.mrmlScene.RemoveNode(frame)
    logic = slicer.modules.sequences.logic()
    browser = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "browser")
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    logic.UpdateProxyNodesFromSequences(browser)
    samples.linear_transform(browser.GetProxyNode(sequence), np.diag([2.0, 2.0, 2.0, 1.0]))
    found = segment_batch(sequence, BatchOptions(figures=[SURFACE, MEAN]), runner=runner)
    expected = [surface_mm2(size, 2.0 * SPACING_MM) for size in sizes]
    assert [figures(row)[SURFACE] for row in found.rows] == pytest.approx(expected)
    assert [figures(row)[MEAN] for row in found.rows] == [10.0, 20.0]
    kept = [found.segmentations.GetNthDataNode(number) for number in range(2)]
    assert [node.GetTransformNodeID() for node in kept] == [None, None]


def written(folder: Path, sizes: list[tuple[int, int, int]], overlap: bool) -> JobResult:
    """Image and result as files: boxes of these sizes with a common corner, later ones over earlier ones."""
    regions = np.zeros((len(sizes), 9, 12, 15), np.uint8)
    for region, (i, j, k) in zip(regions, sizes, strict=True):
        region[2 : 2 + k, 3 : 3 + j, 1 : 1 + i] = 1
    labels = np.zeros((9, 12, 15), np.uint8)
    for number, region in enumerate(regions, start=1):
        labels[region > 0] = number
    layers = np.moveaxis(regions, 0, -1) if overlap else labels
    voxels = np.arange(labels.size, dtype=np.float32).reshape(labels.shape)
    for array, name in ((voxels, "image.nrrd"), (labels, "segmentation.nii.gz"), (layers, "segmentation.seg.nrrd")):
        image = sitk.GetImageFromArray(array, isVector=array.ndim == 4)
        matrix = LPS_TO_RAS @ samples.ijk_to_ras("oblique")
        image.SetDirection((matrix[:3, :3] / SPACING_MM).ravel())
        image.SetSpacing(SPACING_MM)
        image.SetOrigin(matrix[:3, 3])
        sitk.WriteImage(image, str(folder / name))
    legend = [{**LEGEND[0], "value": number, "name": f"box {number}"} for number in range(1, len(sizes) + 1)]
    return JobResult({}, None, None, legend, [], output=folder)


@pytest.mark.parametrize("overlap", [False, True])
def test_files_are_measured_without_anything_left_in_the_scene(statistics, tmp_path, overlap):
    result, path = written(tmp_path, [(4, 3, 2), (2, 3, 2)], overlap), tmp_path / "image.nrrd"
    count = slicer.mrmlScene.GetNumberOfNodes()
    found = figures_of_file(path, result, [SURFACE, MEAN], file_state(path))
    assert slicer.mrmlScene.GetNumberOfNodes() == count
    # The second box takes half of the first, unless both are kept as regions.
    first = (4, 3, 2) if overlap else (2, 3, 2)
    assert found["box 1", SURFACE] == pytest.approx(surface_mm2(first))
    assert found["box 2", SURFACE] == pytest.approx(surface_mm2((2, 3, 2)))
    voxels = np.arange(9 * 12 * 15).reshape(9, 12, 15)
    assert found["box 2", MEAN] == pytest.approx(voxels[2:4, 3:6, 1:3].mean())


@pytest.mark.parametrize("size", ["pixel", "nothing"])
def test_images_without_a_size_have_no_lengths_whatever_they_are_called(statistics, tmp_path, monkeypatch, size):
    result, path = written(tmp_path, [(4, 3, 2)], overlap=False), tmp_path / "series"
    image = replace(image_file.read_image(tmp_path / "image.nrrd"), measured=size)
    path.mkdir()  # of DICOM files, for example
    monkeypatch.setattr(image_file, "read_image", lambda _path: image)
    found = figures_of_file(path, result, [SURFACE, MEAN], file_state(path))
    assert [column for _segment, column in found] == [MEAN]


def test_frames_that_are_pictures_have_no_lengths(statistics, runner):
    sequence, frame = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "cine"), box("frame", (2, 3, 4), 10.0)
    frame.SetAttribute("MultiTaskSeg.Picture", ".png")
    sequence.SetDataNodeAtValue(frame, "0")
    found = segment_batch(sequence, BatchOptions(figures=[SURFACE, MEAN]), runner=runner)
    assert figures(found.rows[0]) == {SURFACE: None, MEAN: 10.0}


def test_an_image_file_that_was_changed_during_the_run_is_not_measured(statistics, tmp_path):
    result, path = written(tmp_path, [(4, 3, 2)], overlap=False), tmp_path / "image.nrrd"
    before = file_state(path)
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(InputError, match="changed during the run"):
        figures_of_file(path, result, [MEAN], before)


def test_figures_that_cannot_be_measured_cost_no_result_and_the_row_says_why(statistics, runner, tmp_path):
    (tmp_path / "x.nrrd").write_bytes(b"not looked at by the stand-in worker")
    options = BatchOptions(output=tmp_path / "out", figures=[MEAN])
    rows = segment_batch([tmp_path / "x.nrrd"], options, runner=runner).rows
    assert (rows[0].error, rows[0].volumes_ml) == ("", {"bright part": 1.5})
    assert figures(rows[0]) == {MEAN: None}
    assert any(warning.startswith("no figures of Segment Statistics (") for warning in rows[0].warnings)
    assert (tmp_path / "out" / "x" / "segmentation.nii.gz").is_file()


def test_structures_that_share_an_identifier_with_no_label_are_called_as_the_legend_says():
    report = with_figures({"labels": []}, LEGEND, [MEAN], lambda: {("bright", MEAN): 3.0})
    assert report["figures"] == {MEAN: {"bright part": 3.0}}
    assert with_figures({"labels": []}, LEGEND, [], lambda: 1 / 0) == {"labels": []}


def test_unknown_figures_and_a_missing_module_are_told_before_anything_starts(monkeypatch, runner):
    node = box("box", (2, 3, 4), 10.0)
    with pytest.raises(UsageError, match="no figure 'Weight'"):
        SceneBatch([node], BatchOptions(figures=["Weight"]), runner)
    monkeypatch.setitem(sys.modules, "SegmentStatistics", None)
    with pytest.raises(ResourceError, match="no module Segment Statistics"):
        SceneBatch([node], BatchOptions(figures=[MEAN]), runner)
    assert not runner.is_busy


def test_figures_come_back_with_the_rows_of_a_saved_table():
    rows = [BatchRow("a", figures={MEAN: {"one": 1.5, "two": None}}), BatchRow("b")]
    assert batch_rows_of(add_batch_table(slicer.mrmlScene, rows, "batch")) == rows
