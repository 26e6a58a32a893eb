"""What a batch asks of the worker, and what it leaves in the scene when things change under its hands."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")

from MultiTaskSegLib.batch import Batch, BatchItem, BatchRow
from MultiTaskSegLib.batch_table import write_batch_csv
from MultiTaskSegLib.job_result import JobResult
from MultiTaskSegLib.lease import Lease
from MultiTaskSegLib.runtime.ood.verdict import Verdict
from MultiTaskSegLib.scene.batch.batch_table import add_batch_table, batch_rows_of
from MultiTaskSegLib.scene.batch.scene_batch import BatchOptions, SceneBatch, segment_batch
from MultiTaskSegLib.scene.batch.sequence import SequenceResult
from Testing.slicer import scene_samples as samples
from Testing.slicer.panel.test_lifecycle import observer_count
from Testing.slicer.scene.test_batch import JobStandIn, cine, items

FOREIGN = Verdict(True, 3.0, 1.5, 0.01, "phantom", {})


class AskedRunner:
    """Notes what is asked of it; its jobs are done at their second poll."""

    def __init__(self) -> None:
        self.asked: list[dict] = []

    def hold(self) -> Lease:
        return Lease(print)

    def segment(self, image, lease, **options):
        self.asked.append({"image": image.name, **options})
        return JobStandIn()

    def segment_file(self, image, output, lease, **options):
        self.asked.append({"image": image.name, "output": output().name, **options})
        return JobStandIn()


def frame_result(task: str, verdict: Verdict) -> JobResult:
    report = {"task": task, "ood": verdict.as_dict(), "labels": [{"value": 1, "voxels": 3}], "warnings": []}
    labels = np.zeros((3, 4, 5), np.uint8)
    labels[1, 1, 1:4] = 1
    return JobResult(report, labels, labels.astype(np.float32), samples.LEGEND[:1], [])


def test_volumes_and_files_are_segmented_with_the_same_task_model_and_device(session, tmp_path):
    runner = AskedRunner()
    options = BatchOptions("heart", "own.model", "cuda:1", tmp_path / "out")
    SceneBatch([samples.volume(), tmp_path / "x.nrrd"], options, runner).job.wait()
    choices = {"task": "heart", "model": "own.model", "device": "cuda:1", "with_thumbnail": True}
    assert runner.asked == [{"image": "Scan", **choices}, {"image": "x.nrrd", "output": "x", **choices}]


def test_structures_are_asked_for_with_every_image_and_noted(session, tmp_path):
    runner = AskedRunner()
    options = BatchOptions("heart", output=tmp_path / "out", structures=("ventricle",))
    SceneBatch([samples.volume(), tmp_path / "x.nrrd"], options, runner).job.wait()
    assert [asked["wish"] for asked in runner.asked] == [{"structures": ["ventricle"]}] * 2
    assert options.notes.parameters["structures"] == ["ventricle"]


def test_a_picture_that_could_not_be_drawn_is_a_note_of_a_row_that_is_done(session):
    report = {"ood": FOREIGN.as_dict(), "task": "t", "warnings": []}
    found = JobResult(report, None, None, [], [], thumbnail_failure="MemoryError: ")
    job = JobStandIn()
    job.result = lambda: found
    (row,) = Batch([BatchItem("a", lambda: job, lambda _: None)]).wait()
    assert (row.error, row.thumbnail, row.verdict) == ("", b"", "out of distribution")
    assert row.warnings == ("no picture could be drawn (MemoryError: )",)


def test_volumes_and_frames_get_pictures_and_a_page_only_where_there_is_a_folder(session, worker, tmp_path):
    volumes = [samples.volume(), samples.volume(name="<script>")]
    found = segment_batch(volumes, BatchOptions(output=tmp_path / "out"))
    assert [row.thumbnail[:4] for row in found.rows] == [b"\x89PNG"] * 2
    assert found.page == tmp_path / "out" / "batch.html"
    assert "<script>" not in found.page.read_text()
    assert batch_rows_of(found.table) == [replace(row, thumbnail=b"") for row in found.rows]
    frames = segment_batch(cine())
    assert [row.thumbnail[:4] for row in frames.rows] == [b"\x89PNG"] * 3
    assert (frames.page, frames.unwritten) == (None, None)


def test_a_volume_that_is_removed_while_it_is_segmented_gets_no_result(session):
    volume = samples.volume()
    batch = SceneBatch([volume], runner=AskedRunner())
    batch.job.poll()
    session.scene.RemoveNode(volume)
    (row,) = batch.job.wait()
    assert "removed" in row.error
    assert session.scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0


def test_a_batch_that_is_over_watches_the_scene_no_more(session):
    before = observer_count(session.scene)
    batch = SceneBatch([samples.volume()], runner=AskedRunner())
    assert observer_count(session.scene) == before + 1
    batch.finish()
    assert observer_count(session.scene) == before


def test_the_segmentations_of_a_sequence_are_indexed_as_its_frames_are(session):
    frames = cine()
    frames.SetIndexTypeFromString("text")
    result = SequenceResult(frames)
    result.image(0)
    result.keep(0, frame_result("heart", FOREIGN))
    made = result.finish()
    assert (made.GetIndexName(), made.GetIndexUnit(), made.GetIndexTypeAsString()) == ("time", "ms", "text")


def test_names_tell_which_frame_is_shown_and_that_it_is_out_of_distribution(session):
    frames = cine()
    result = SequenceResult(frames)
    for number in (0, 1):
        result.image(number)
    result.keep(0, frame_result("heart", Verdict(False, 1.0, 1.5, 0.5, "phantom", {})))
    result.keep(1, frame_result("heart", FOREIGN))
    made, logic = result.finish(), slicer.modules.sequences.logic()
    browser = logic.GetFirstBrowserNodeForSequenceNode(frames)
    names = []
    for number in (0, 1):
        browser.SetSelectedItemNumber(number)
        logic.UpdateProxyNodesFromSequences(browser)
        shown = browser.GetProxyNode(made)
        names.append((shown.GetName(), shown.GetSegmentation().GetSegment("anterior").GetName()))
    assert names == [
        ("cine segmentation (heart) [time=0ms]", "anterior hippocampus"),
        ("cine segmentation (heart) [time=10ms]", "anterior hippocampus [OUT OF DISTRIBUTION]"),
    ]


def test_a_sequence_that_is_removed_meanwhile_is_told_in_words(session):
    frames = cine()
    batch = SceneBatch(frames, runner=AskedRunner())
    session.scene.RemoveNode(frames)
    assert ["the sequence was removed" in row.error for row in batch.job.wait()] == [True] * 3


def test_each_image_has_its_own_time(session):
    now = [0.0]
    batch = Batch(items("a", "b"), clock=lambda: now[0])
    while not batch.poll():
        now[0] += 1.0
    assert [row.seconds for row in batch.rows] == [2.0, 2.0]


def test_a_missing_figure_is_still_missing_after_the_table_was_saved(session, tmp_path):
    rows = [BatchRow("a", "t", "in distribution", 0.5, {"part": 1.5}), BatchRow("b", error="damaged")]
    node = add_batch_table(session.scene, rows, "batch")
    assert node.GetLocked()
    storage = node.CreateDefaultStorageNode()
    session.scene.AddNode(storage)
    storage.SetFileName(str(tmp_path / "batch.tsv"))
    assert storage.WriteData(node)
    text = (tmp_path / "batch.tsv").read_text().replace("nan", "")  # as a spreadsheet would leave the cell
    (tmp_path / "batch.tsv").write_text(text)
    assert storage.ReadData(node)
    volumes = [node.GetTable().GetValueByName(row, "part [mL]").ToDouble() for row in range(2)]
    assert volumes[0] == 1.5
    assert np.isnan(volumes[1])


def test_spreadsheets_are_told_that_the_csv_file_is_utf_8(tmp_path):
    write_batch_csv([BatchRow("ü")], tmp_path / "batch.csv")
    assert (tmp_path / "batch.csv").read_bytes().startswith(b"\xef\xbb\xbfimage,")


def test_a_folder_with_a_dot_in_its_name_keeps_all_of_it(tmp_path):
    from MultiTaskSegLib.image_folder import output_folders

    (tmp_path / "scan.nii").mkdir()
    (tmp_path / "other.nii").touch()
    paths = [tmp_path / "scan.nii", tmp_path / "other.nii"]
    assert [path.name for path in output_folders(paths, tmp_path / "out")] == ["scan.nii", "other"]
