"""Batches: order, progress over all, failures that stop nothing, cancelling, and what is left in scene and folder."""

from __future__ import annotations

import csv
import json
import os
import signal
import struct
import sys
from pathlib import Path

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")

from MultiTaskSegLib.batch import Batch, BatchItem, BatchRow, row_of
from MultiTaskSegLib.batch_table import batch_columns, write_batch_csv
from MultiTaskSegLib.image_folder import image_paths, output_folders
from MultiTaskSegLib.job import JobRunner
from MultiTaskSegLib.job_result import JobResult
from MultiTaskSegLib.runtime.errors import Cancelled, InputError, UsageError
from MultiTaskSegLib.runtime.ood.verdict import Verdict
from MultiTaskSegLib.scene.batch.batch_table import add_batch_table
from MultiTaskSegLib.scene.batch.scene_batch import BatchOptions, SceneBatch, segment_batch
from Testing.slicer import scene_samples as samples

FAKE_WORKER = str(Path(__file__).resolve().parents[1].joinpath("fake_worker.py"))
FRAMES = 3

pytestmark = pytest.mark.usefixtures("scratch")


@pytest.fixture
def runner_of(scratch):
    runners = []

    def make(behaviour: str = "good") -> JobRunner:
        runners.append(JobRunner([sys.executable, FAKE_WORKER, behaviour]))
        return runners[-1]

    yield make
    for runner in runners:
        runner.close()


def volume(name: str, seed: int = 0):
    voxels = np.random.default_rng(seed).normal(0.0, 1.0, (3, 4, 5)).astype(np.float32)
    return slicer.util.addVolumeFromArray(voxels, ijkToRAS=samples.ijk_to_ras("oblique"), name=name)


def label_map(name: str):
    return slicer.util.addVolumeFromArray(
        np.zeros((3, 4, 5), np.int16), name=name, nodeClassName="vtkMRMLLabelMapVolumeNode"
    )


def cine(name: str = "cine"):
    """A sequence of three volumes, as 4-D files are loaded."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", name)
    node.SetIndexName("time")
    node.SetIndexUnit("ms")
    for number in range(FRAMES):
        frame = volume("frame", number)
        node.SetDataNodeAtValue(frame, str(10 * number))
        slicer.mrmlScene.RemoveNode(frame)
    return node


def image_folder(folder: Path) -> Path:
    folder.mkdir()
    for name in ("b.nii.gz", "A.nrrd", "bad.mha", "notes.txt"):
        (folder / name).write_bytes(b"x")
    (folder / "series").mkdir()
    (folder / "series" / "1").write_bytes(bytes(128) + b"DICM")
    (folder / "other").mkdir()
    return folder


def count(class_name: str) -> int:
    return slicer.mrmlScene.GetNumberOfNodesByClass(class_name)


class JobStandIn:
    """A job that is half way at its first poll and done at the second."""

    def __init__(self) -> None:
        self.fraction, self.step, self.polls, self.reason = 0.0, "network", 0, ""
        self.error: Cancelled | None = None

    def poll(self) -> bool:
        self.polls += 1
        self.fraction = 0.5 * self.polls
        return self.polls > 1

    def result(self):
        ood = Verdict(True, 3.0, 1.5, 0.25, "near", {"near": 3.0}).as_dict()
        return JobResult({"ood": ood, "task": "t", "warnings": ["w"], "model": {"name": "m"}}, None, None, [], [])

    def cancel(self, reason: str = "") -> None:
        self.reason, self.error = reason, Cancelled(reason)


def items(*names: str, keep=lambda found: None) -> list[BatchItem]:
    return [BatchItem(name, JobStandIn, keep) for name in names]


def test_progress_counts_over_all_images_and_names_the_one_under_way():
    now = [0.0]
    batch = Batch(items("a", "b"), clock=lambda: now[0])
    seen = []
    while not batch.poll():
        now[0] += 1.0
        seen.append((batch.fraction, batch.step))
    assert [step for _, step in seen][:2] == ["1/2 a: network", "1/2 a: network"]
    assert [fraction for fraction, _ in seen] == sorted(fraction for fraction, _ in seen)
    assert 0.25 in [fraction for fraction, _ in seen]
    assert batch.fraction == 1.0


def test_the_time_left_follows_from_the_pace_so_far():
    now = [0.0]
    batch = Batch(items("a", "b"), clock=lambda: now[0])
    assert batch.eta_s is None
    batch.poll()
    batch.poll()
    now[0] = 2.0
    assert batch.eta_s == pytest.approx(2.0 * 0.75 / 0.25)


def test_a_row_holds_what_the_report_says():
    rows = Batch(items("a")).wait()
    assert (rows[0].image, rows[0].task, rows[0].verdict, rows[0].p_value) == ("a", "t", "out of distribution", 0.25)
    assert (rows[0].warnings, rows[0].error, rows[0].model) == (("w",), "", "m")
    assert (rows[0].score, rows[0].limit, rows[0].nearest_task) == (3.0, 1.5, "near")


def test_a_row_without_a_verdict_says_that_nothing_was_checked():
    row = row_of(BatchItem("scan", lambda: None, lambda _: None), {"ood": None, "task": "hearts", "labels": []}, 1.0)
    assert (row.verdict, row.p_value, row.score, row.nearest_task) == ("not checked", None, None, "")


def test_a_row_has_the_answer_of_the_thorough_check_beside_verdict_and_quality_and_the_agreements():
    labels = [{"name": "l", "volume_mm3": 1.0, "agreement": 0.7}, {"name": "r", "volume_mm3": 0.0, "agreement": None}]
    report = {"ood": None, "task": "hearts", "labels": labels, "quality": {"answer": "good", "predicted_dice": 0.9}}
    thorough = {"answer": "do not use", "agreement": 0.7, "looks": 2, "seconds": 1.0}
    item = BatchItem("scan", lambda: None, lambda _: None)
    row, plain = row_of(item, {**report, "thorough": thorough}, 1.0), row_of(item, {**report, "thorough": None}, 1.0)
    assert (row.verdict, row.quality, row.thorough) == ("not checked", "good", "do not use")
    assert (row.agreement, row.agreements) == (0.7, {"l": 0.7})
    columns = dict(batch_columns([row, plain]))
    assert (columns["thorough"], columns["agreement"], columns["l agreement"]) == (
        ["do not use", ""], [0.7, None], [0.7, 0.7]
    )  # fmt: skip
    assert "r agreement" not in columns


def test_whatever_fails_with_one_image_the_others_are_done():
    def explode() -> JobStandIn:
        raise ZeroDivisionError("two\nlines")

    def refuse(found) -> None:
        raise InputError("the volume was removed")

    three = [BatchItem("a", explode, print), *items("b", keep=refuse), *items("c")]
    rows = Batch(three).wait()
    assert [row.error for row in rows] == [
        "unexpected ZeroDivisionError: two lines.",
        "the volume was removed.",
        "",
    ]


def test_an_empty_batch_is_done():
    assert Batch([]).wait() == []


def test_cancelling_ends_the_job_under_way_and_keeps_the_rows():
    batch = Batch(items("a", "b", "c"))
    while not batch.rows:
        batch.poll()
    batch.poll()
    job = batch._job
    batch.cancel("enough")
    assert job.reason == "enough"
    assert [row.image for row in batch.rows] == ["a"]
    assert batch.poll()
    with pytest.raises(Cancelled, match="enough"):
        batch.wait()


def test_an_interrupted_wait_cancels():
    def interrupt() -> None:
        raise KeyboardInterrupt

    batch = Batch(items("a"))
    with pytest.raises(KeyboardInterrupt):
        batch.wait(idle=interrupt)
    assert isinstance(batch.error, Cancelled)


def test_a_cancelled_batch_stays_cancelled_when_the_last_result_is_being_kept():
    batch = Batch(items("a", keep=lambda found: batch.cancel()))
    with pytest.raises(Cancelled):
        batch.wait()
    assert batch.rows == []


def test_volumes_get_their_results_and_one_that_cannot_be_segmented_a_reason(session, runner_of):
    nodes = [volume("one"), label_map("labels"), volume("two", 1)]
    seen = []
    found = segment_batch(
        nodes, BatchOptions(task="phantom"), runner=runner_of(), progress=lambda *done: seen.append(done)
    )
    assert [row.image for row in found.rows] == ["one", "labels", "two"]
    assert "label map" in found.rows[1].error
    assert set(found.results) == {nodes[0].GetID(), nodes[2].GetID()}
    for node in (nodes[0], nodes[2]):
        mask = slicer.util.arrayFromSegmentBinaryLabelmap(found.results[node.GetID()].segmentation, "bright", node)
        voxels = slicer.util.arrayFromVolume(node)
        np.testing.assert_array_equal(mask, voxels > voxels.mean())
    assert seen


def test_every_image_of_a_thorough_batch_is_looked_at_again(session, runner_of, tmp_path):
    node = volume("one")
    options = BatchOptions(output=tmp_path / "out", thorough=True, structures=["bright"])
    found = segment_batch([node, tmp_path / "x.nrrd"], options, runner=runner_of())
    assert [(row.thorough, row.agreement) for row in found.rows] == [("look here", 0.83)] * 2
    assert json.loads((tmp_path / "out" / "x" / "report.json").read_text("utf-8"))["thorough"] is True
    segmentation = found.results[node.GetID()].segmentation
    assert segmentation.GetAttribute("MultiTaskSeg.Thorough") == "look here"
    asked = json.loads(segmentation.GetAttribute("MultiTaskSeg.Parameters"))
    assert (asked["thorough"], asked["structures"]) == (True, ["bright"])
    frames = segment_batch(cine(), BatchOptions(thorough=True), runner=runner_of())
    assert [row.thorough for row in frames.rows] == ["look here"] * FRAMES
    assert frames.segmentations.GetNthDataNode(1).GetAttribute("MultiTaskSeg.Thorough") == "look here"
    plain = segment_batch([node], BatchOptions(), runner=runner_of())
    assert (plain.rows[0].thorough, plain.rows[0].agreement) == ("", None)


def test_one_worker_serves_the_whole_batch(session, runner_of):
    runner = runner_of()
    batch = SceneBatch([volume("one"), volume("two")], runner=runner)
    workers = set()
    while not batch.job.poll():
        if runner._worker is not None:
            workers.add(runner._worker.process.pid)
    assert len(workers) == 1


@pytest.mark.skipif(os.name == "nt", reason="sends a signal")
def test_a_worker_that_dies_costs_one_image(session, runner_of):
    runner = runner_of("slow")
    batch = SceneBatch([volume("one"), volume("two")], runner=runner)
    while not batch.job.poll() and batch.job.fraction == 0.0:
        pass
    os.kill(runner._worker.process.pid, signal.SIGKILL)
    runner._command = [sys.executable, FAKE_WORKER, "good"]
    rows = batch.job.wait()
    assert "lack of memory" in rows[0].error
    assert rows[1].verdict == "in distribution"


def test_a_removed_volume_is_told_and_its_neighbours_are_done(session, runner_of):
    nodes = [volume("one"), volume("two"), volume("three")]
    batch = SceneBatch(nodes, runner=runner_of())
    slicer.mrmlScene.RemoveNode(nodes[1])
    rows = batch.job.wait()
    assert [bool(row.error) for row in rows] == [False, True, False]
    assert "removed" in rows[1].error


def test_closing_the_scene_cancels_and_leaves_nothing(session, runner_of, scratch):
    runner = runner_of("slow")
    batch = SceneBatch([volume("one"), volume("two")], runner=runner)
    batch.job.poll()
    slicer.mrmlScene.Clear(0)
    assert not runner.is_busy
    assert batch.job.is_done
    assert not runner._worker.is_alive
    assert list(scratch.rglob("*.npy")) == []
    with pytest.raises(Cancelled, match="the scene was closed"):
        batch.job.wait()


def test_what_a_cancelled_batch_has_done_is_in_the_table(session, runner_of):
    batch = SceneBatch([volume("one"), volume("two")], runner=runner_of())
    while not batch.job.rows:
        batch.job.poll()
    batch.end()
    assert batch.finish().table.GetTable().GetNumberOfRows() == 1


def test_a_folder_is_segmented_into_a_folder_per_image(session, runner_of, tmp_path, scratch):
    folder = image_folder(tmp_path / "bilder ü")
    found = segment_batch(folder, BatchOptions(task="phantom", output=tmp_path / "out"), runner=runner_of())
    assert [(row.image, bool(row.error)) for row in found.rows] == [
        ("A.nrrd", False),
        ("b.nii.gz", False),
        ("bad.mha", True),
        ("series", False),
    ]
    assert sorted(path.name for path in (tmp_path / "out").iterdir() if path.is_dir()) == ["A", "b", "series"]
    assert sorted(path.name for path in (tmp_path / "out" / "b").iterdir()) == [
        "checksums.sha256",
        "report.json",
        "segmentation.nii.gz",
    ]
    assert found.rows[0].volumes_ml == {"bright part": 1.5}
    assert list(scratch.rglob("*.json")) == []
    assert count("vtkMRMLScalarVolumeNode") == 0


def test_files_and_volumes_can_be_mixed(session, runner_of, tmp_path):
    node = volume("one")
    found = segment_batch(
        [tmp_path / "x.nrrd", node, str(tmp_path / "y.nrrd")], BatchOptions(output=tmp_path / "out"), runner=runner_of()
    )
    assert [row.image for row in found.rows] == ["x.nrrd", "one", "y.nrrd"]
    assert list(found.results) == [node.GetID()]


def test_files_without_a_folder_for_their_results_are_refused_before_anything_starts(session, tmp_path):
    with pytest.raises(UsageError, match="output=FOLDER"):
        SceneBatch(image_folder(tmp_path / "images"))


def test_nothing_to_do_is_refused(session, tmp_path):
    (tmp_path / "empty").mkdir()
    empty = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "empty")
    for nothing in ([], tmp_path / "empty", tmp_path / "missing", empty):
        with pytest.raises(InputError):
            SceneBatch(nothing, BatchOptions(output=tmp_path))


def test_images_that_would_share_a_folder_keep_their_endings(tmp_path):
    paths = [tmp_path / "a.nii", tmp_path / "a.mha", tmp_path / "b.nii.gz"]
    for path in paths:
        path.touch()
    assert [path.name for path in output_folders(paths, tmp_path / "out")] == ["a.nii", "a.mha", "b"]


def test_a_folder_of_dicom_slices_is_one_image(tmp_path):
    for number in range(3):
        (tmp_path / f"{number}.dcm").write_bytes(bytes(128) + b"DICM")
    assert image_paths(tmp_path) == [tmp_path]


def test_every_frame_of_a_sequence_gets_its_segmentation_and_they_are_browsed_together(session, runner_of):
    sequence = cine()
    found = segment_batch(sequence, runner=runner_of())
    assert [row.image for row in found.rows] == ["cine time=0ms", "cine time=10ms", "cine time=20ms"]
    assert found.segmentations.GetNumberOfDataNodes() == FRAMES
    logic = slicer.modules.sequences.logic()
    browser = logic.GetFirstBrowserNodeForSequenceNode(sequence)
    volume_node, shown = browser.GetProxyNode(sequence), browser.GetProxyNode(found.segmentations)
    for number in range(FRAMES):
        browser.SetSelectedItemNumber(number)
        logic.UpdateProxyNodesFromSequences(browser)
        voxels = slicer.util.arrayFromVolume(volume_node)
        mask = slicer.util.arrayFromSegmentBinaryLabelmap(shown, "bright", volume_node)
        np.testing.assert_array_equal(mask, voxels > voxels.mean())
        assert shown.GetAttribute("MultiTaskSeg.OOD") == "in distribution"
        assert shown.GetAttribute("MultiTaskSeg.Image") == f"cine time={10 * number}ms"


def test_segmenting_a_sequence_leaves_only_what_shows_it(session, runner_of):
    sequence = cine()
    segment_batch(sequence, runner=runner_of())
    # One node shows the frames, one the segmentations; the copies that they were made from are gone.
    assert (count("vtkMRMLScalarVolumeNode"), count("vtkMRMLSegmentationNode")) == (1, 1)
    assert count("vtkMRMLSegmentationDisplayNode") == 1


def test_a_transform_on_the_frames_moves_the_segmentations(session, runner_of):
    sequence = cine()
    logic = slicer.modules.sequences.logic()
    browser = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "browser")
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    logic.UpdateProxyNodesFromSequences(browser)
    samples.linear_transform(browser.GetProxyNode(sequence), np.diag([1.0, 2.0, 1.0, 1.0]))
    found = segment_batch(sequence, runner=runner_of())
    assert logic.GetFirstBrowserNodeForSequenceNode(sequence) is browser
    shown = browser.GetProxyNode(found.segmentations)
    assert shown.GetTransformNodeID() == browser.GetProxyNode(sequence).GetTransformNodeID()


def test_a_frame_that_fails_is_missing_and_the_others_are_at_their_time(session, runner_of):
    sequence = cine()
    sequence.GetNthDataNode(1).SetAndObserveImageData(None)
    found = segment_batch(sequence, runner=runner_of())
    assert [bool(row.error) for row in found.rows] == [False, True, False]
    values = [found.segmentations.GetNthIndexValue(n) for n in range(found.segmentations.GetNumberOfDataNodes())]
    assert values == ["0", "20"]


ROWS = [
    BatchRow("a, ü", "heart", "in distribution", 0.5, {"left ventricle": 1.25}, 2.0, ("odd", "ends")),
    BatchRow("b", seconds=1.0, error="the file is damaged"),
]


def test_the_table_in_the_scene_has_the_columns_of_the_rows(session):
    table = add_batch_table(slicer.mrmlScene, ROWS, "batch").GetTable()
    titles = [table.GetColumnName(number) for number in range(table.GetNumberOfColumns())]
    assert titles == [title for title, _ in batch_columns(ROWS)]
    assert table.GetValueByName(0, "left ventricle [mL]").ToDouble() == 1.25
    assert np.isnan(table.GetValueByName(1, "left ventricle [mL]").ToDouble())
    assert table.GetValueByName(1, "error").ToString() == "the file is damaged"


def test_the_csv_file_is_read_back_by_any_csv_reader(tmp_path):
    write_batch_csv(ROWS, tmp_path / "batch.csv")
    with (tmp_path / "batch.csv").open(newline="", encoding="utf-8-sig") as stream:
        rows = list(csv.DictReader(stream))
    assert rows[0]["image"] == "a, ü"
    assert float(rows[0]["left ventricle [mL]"]) == 1.25
    assert rows[0]["warnings"] == "odd | ends"
    assert (rows[1]["p_value"], rows[1]["left ventricle [mL]"]) == ("", "")


def test_a_dicom_folder_is_found_by_any_of_its_files_and_at_any_depth(tmp_path):
    marked, bare = bytes(128) + b"DICM", struct.pack("<2HI", 0x0008, 0x0005, 10) + b"ISO_IR 100"
    contents = {
        "clean": {"IM0": marked},
        "companions": {".DS_Store": b"\0\0\0\1Bud1", "._IM0": b"\0\5\x16\7" + bytes(200), "IM0": marked},
        "notes first": {"!readme.txt": b"scan of today", "IM0": marked},
        "no preamble": {"IM0": bare},
        "patient/study/series": {"IM0": marked},
        "text": {"readme": b"08 is no element", "empty": b""},
        "index": {"DICOMDIR": marked},
        ".hidden": {"IM0": marked},
    }
    for name, files in contents.items():
        (tmp_path / name).mkdir(parents=True)
        for file, data in files.items():
            (tmp_path / name / file).write_bytes(data)
    found = [path.relative_to(tmp_path).as_posix() for path in image_paths(tmp_path)]
    assert found == ["clean", "companions", "no preamble", "notes first", "patient/study/series"]
