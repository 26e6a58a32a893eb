"""What a batch must not lose: results of files, its turn at the worker, and the time of whoever waits for it."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")

from MultiTaskSegLib import worker_process
from MultiTaskSegLib.batch import Batch, BatchItem
from MultiTaskSegLib.job import JobRunner
from MultiTaskSegLib.runtime.errors import NOT_FINITE, Cancelled, InputError, ModelError, ResourceError, UsageError
from MultiTaskSegLib.scene import result
from MultiTaskSegLib.scene.batch import sequence
from MultiTaskSegLib.scene.batch.scene_batch import BatchOptions, SceneBatch, segment_batch
from MultiTaskSegLib.scene.volume import image_from_node
from MultiTaskSegLib.worker_process import BrokenWorkerError, DeadWorkerError
from Testing.slicer import scene_samples as samples
from Testing.slicer.scene.test_batch import FAKE_WORKER, cine, items, volume

pytestmark = pytest.mark.usefixtures("session", "scratch")


@pytest.fixture
def runner(scratch):
    made = JobRunner([sys.executable, FAKE_WORKER, "good"])
    yield made
    made.close()


def failing(*errors: Exception) -> list[BatchItem]:
    """An item per error, which it raises when it is started."""

    def item(number: int, error: Exception) -> BatchItem:
        def start():
            raise error

        return BatchItem(f"image {number}", start, print)

    return [item(number, error) for number, error in enumerate(errors)]


@pytest.mark.parametrize(
    ("errors", "tried"),
    [
        ([BrokenWorkerError("no interpreter")] * 5, 2),
        (
            [BrokenWorkerError("a"), DeadWorkerError("b"), DeadWorkerError("c"), DeadWorkerError("d"), InputError("e")],
            4,
        ),
        ([DeadWorkerError("killed")] * 5, 4),
        ([ModelError("damaged")] * 5, 2),
        ([UsageError("no task 'x'")] * 5, 2),
        ([ModelError("damaged"), InputError("torn"), ModelError("damaged"), InputError("torn"), InputError("torn")], 5),
        (
            [ModelError("no 2-D model"), ModelError("no 3-D model"), InputError("c"), InputError("d"), InputError("e")],
            5,
        ),
        ([ModelError(NOT_FINITE)] * 5, 5),
        ([InputError("torn")] * 5, 5),
        ([ResourceError("too large")] * 5, 5),
        ([ZeroDivisionError("x")] * 5, 5),
    ],
)
def test_what_every_image_would_meet_ends_the_batch_and_the_rest_says_so(errors, tried):
    ended = []
    batch = Batch(failing(*errors), ended=lambda: ended.append(1))
    rows = batch.wait()
    assert [row.image for row in rows] == [f"image {number}" for number in range(5)]
    assert ["not tried" in row.error for row in rows] == [number >= tried for number in range(5)]
    assert (batch.error is None) is (tried == 5)
    assert ended == [1]


def test_a_worker_that_cannot_start_is_not_started_again_for_each_image(scratch, monkeypatch):
    started = []
    start = worker_process.start_tree
    monkeypatch.setattr(worker_process, "start_tree", lambda *details: (started.append(1), start(*details))[1])
    broken = JobRunner([sys.executable, FAKE_WORKER, "no-start"])
    found = segment_batch([volume(f"v{number}") for number in range(6)], runner=broken)
    assert len(started) == 2
    assert len(found.rows) == 6
    assert all(row.error for row in found.rows)
    assert not broken.is_busy


def test_an_error_while_polling_costs_one_image_like_any_other():
    class Torn:
        fraction, step = 0.0, ""

        def poll(self) -> bool:
            raise OSError("the pipe is gone")

    rows = Batch([BatchItem("a", Torn, print), *items("b")]).wait()
    assert ["the pipe is gone" in row.error for row in rows] == [True, False]


def test_nobody_gets_a_job_in_between_and_afterwards_everybody(runner):
    batch = SceneBatch([volume("one"), volume("two", 1)], runner=runner)
    seen = 0
    while not batch.job.poll():
        seen += 1
        with pytest.raises(UsageError, match="another run is under way"):
            runner.check(image_from_node(volume("other")))
    assert seen
    assert [row.error for row in batch.job.rows] == ["", ""]
    assert runner.check(image_from_node(volume("other"))).wait(60)


@pytest.mark.parametrize("images", [[], "no such folder"])
def test_a_batch_that_cannot_be_made_does_not_hold_the_worker(runner, images, tmp_path):
    with pytest.raises(InputError):
        SceneBatch(images, BatchOptions(output=tmp_path), runner)
    assert not runner.is_busy


def test_a_cancelled_batch_lets_go_of_the_worker(runner):
    batch = SceneBatch([volume("one")], runner=runner)
    assert runner.is_busy
    batch.end()
    assert not runner.is_busy
    with pytest.raises(Cancelled):
        batch.job.wait()


def test_a_table_is_not_put_into_the_scene_that_follows(runner):
    batch = SceneBatch([volume("one"), volume("two", 1)], runner=runner)
    while not batch.job.rows:
        batch.job.poll()
    slicer.mrmlScene.Clear(0)
    found = batch.finish()
    assert (found.table, found.rows) == (None, [])
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLTableNode") == 0


def test_what_there_is_to_know_about_an_image_and_its_result_is_told_in_a_batch(runner):
    voxels = np.random.default_rng(0).normal(size=(12, 12, 12)).astype(np.float32)
    voxels[0, 0, 0] = np.nan
    node = slicer.util.addVolumeFromArray(voxels, name="nan")
    earlier = segment_batch([node], runner=runner).results[node.GetID()]
    earlier.segmentation.SetName("mine")
    (row,) = segment_batch([node], BatchOptions(existing="replace"), runner=runner).rows
    assert any("NaN or infinite" in warning for warning in row.warnings)
    assert result.KEPT_HANDWORK in row.warnings


def test_the_uncertainty_of_a_batch_can_be_left_out(runner):
    nodes = [volume("one"), volume("two", 1)]
    found = segment_batch(nodes, BatchOptions(with_uncertainty=False), runner=runner)
    assert [made.uncertainty for made in found.results.values()] == [None, None]
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 2


def scans(folder: Path, *names: str) -> list[Path]:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return [folder / name for name in names]


def folders(place: Path) -> list[str]:
    """Names of the folders in a folder; table and page of the batch lie beside them."""
    return sorted(entry.name for entry in place.iterdir() if entry.is_dir())


def test_images_of_the_same_name_each_have_their_results(runner, tmp_path):
    paths = scans(tmp_path, "sub-01/ct.nii.gz", "sub-02/ct.nii.gz")
    rows = segment_batch(paths, BatchOptions(output=tmp_path / "out"), runner=runner).rows
    assert folders(tmp_path / "out") == ["sub-01_ct", "sub-02_ct"]
    assert [row.file for row in rows] == [str(path) for path in paths]


def corrected(folder: Path) -> Path:
    (folder / "segmentation.nii.gz").write_bytes(b"corrected by hand")
    return folder / "segmentation.nii.gz"


def test_an_earlier_result_of_a_file_is_kept_and_the_row_says_where_the_new_one_is(runner, tmp_path):
    (path,) = scans(tmp_path / "in", "ct.nii.gz")
    options = BatchOptions(output=tmp_path / "out")
    segment_batch([path], options, runner=runner)
    mine = corrected(tmp_path / "out" / "ct")
    (row,) = segment_batch([path], options, runner=runner).rows
    assert mine.read_bytes() == b"corrected by hand"
    assert (tmp_path / "out" / "ct_2" / "segmentation.nii.gz").read_bytes() == b"labels"
    assert "there was a result already, and was kept: this one is in ct_2" in row.warnings


def test_replacing_files_replaces_what_nobody_edited_and_nothing_else(runner, tmp_path):
    paths = scans(tmp_path / "in", "a.nii.gz", "b.nii.gz")
    options = BatchOptions(output=tmp_path / "out", existing="replace")
    segment_batch(paths, options, runner=runner)
    mine = corrected(tmp_path / "out" / "b")
    rows = segment_batch(paths, options, runner=runner).rows
    assert folders(tmp_path / "out") == ["a", "b", "b_2"]
    assert mine.read_bytes() == b"corrected by hand"
    assert [len(row.warnings) for row in rows] == [0, 1]


@pytest.mark.parametrize("existing", ["keep", "replace"])
def test_what_somebody_does_in_a_folder_while_its_own_image_is_segmented_is_not_lost(runner, tmp_path, existing):
    (path,) = scans(tmp_path / "in", "ct.nii.gz")
    options = BatchOptions(output=tmp_path / "out", existing=existing)
    if existing == "replace":
        segment_batch([path], options, runner=runner)
    batch = SceneBatch([path], options, runner)
    batch.job.poll()  # the run has been started
    (tmp_path / "out" / "ct").mkdir(parents=True, exist_ok=True)
    mine = corrected(tmp_path / "out" / "ct")
    (row,) = batch.job.wait()
    batch.end()
    assert mine.read_bytes() == b"corrected by hand"
    assert (tmp_path / "out" / "ct_2" / "segmentation.nii.gz").read_bytes() == b"labels"
    assert "this one is in ct_2" in row.warnings[0]


def sequences() -> list[str]:
    return [node.GetName() for node in slicer.util.getNodesByClass("vtkMRMLSequenceNode")]


def test_a_second_sequence_of_segmentations_is_kept_beside_the_first_or_replaces_it(runner):
    frames = cine()
    first = segment_batch(frames, runner=runner).segmentations
    assert sequences() == ["cine", "cine segmentation (phantom)"]
    segment_batch(frames, runner=runner)
    assert len(sequences()) == 3
    before = slicer.mrmlScene.GetNumberOfNodes()
    found = segment_batch(frames, BatchOptions(existing="replace"), runner=runner)
    assert len(sequences()) == 2
    assert first.GetScene() is None
    assert slicer.mrmlScene.GetNumberOfNodes() < before + 1  # the table is new, and nothing else
    assert found.segmentations.GetNumberOfDataNodes() == 3


@pytest.mark.parametrize("edit", ["renamed", "painted"])
def test_a_sequence_that_somebody_worked_on_stays(runner, edit):
    frames = cine()
    mine = segment_batch(frames, runner=runner).segmentations
    if edit == "renamed":
        mine.SetName("mine")
    else:
        mine.GetNthDataNode(1).GetSegmentation().GetNthSegment(0).SetName("mine")
    segment_batch(frames, BatchOptions(existing="replace"), runner=runner)
    assert mine.GetScene() is not None


def test_frames_lie_and_weigh_where_the_node_lies_that_shows_them(runner):
    frames, logic = cine(), slicer.modules.sequences.logic()
    browser = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "browser")
    browser.SetAndObserveMasterSequenceNodeID(frames.GetID())
    logic.UpdateProxyNodesFromSequences(browser)
    shown = browser.GetProxyNode(frames)
    samples.linear_transform(shown, np.diag([1.0, 2.0, 1.0, 1.0]))
    alone = image_from_node(shown)
    frame = sequence.SequenceResult(frames).image(0)
    np.testing.assert_allclose(frame.ijk_to_lps, alone.ijk_to_lps)
    report = runner.segment(alone).wait(60).report
    rows = segment_batch(frames, runner=runner).rows
    assert 1000.0 * rows[0].volumes_ml["bright part"] == pytest.approx(report["labels"][0]["volume_mm3"])


def test_a_frame_tells_what_was_asked_for_and_which_image_it_was(runner):
    found = segment_batch(cine(), BatchOptions(task="heart", device="cpu"), runner=runner)
    node = found.segmentations.GetNthDataNode(1)
    assert node.GetAttribute("MultiTaskSeg.Parameters") == '{"task": "heart", "model": "", "device": "cpu"}'
    assert node.GetAttribute("MultiTaskSeg.Frame") == "time=10ms"


def test_a_frame_that_was_changed_meanwhile_gets_no_result(runner):
    frames = cine()
    batch = SceneBatch(frames, runner=runner)
    batch.job.poll()
    frame = frames.GetNthDataNode(0)
    slicer.util.arrayFromVolume(frame)[0, 0, 0] += 5
    slicer.util.arrayFromVolumeModified(frame)
    rows = batch.job.wait()
    assert ["frame was changed" in row.error for row in rows] == [True, False, False]


def test_a_frame_that_fails_half_way_leaves_nothing(runner, monkeypatch):
    frames = cine()
    before = slicer.mrmlScene.GetNumberOfNodes()
    monkeypatch.setattr(sequence, "write_record", lambda *_arguments: 1 / 0)
    found = segment_batch(frames, runner=runner)
    assert all("ZeroDivisionError" in row.error for row in found.rows)
    assert slicer.mrmlScene.GetNumberOfNodes() == before + 1  # the table


def test_a_table_that_cannot_be_made_does_not_take_the_results_with_it(runner, monkeypatch):
    node = volume("one")
    batch = SceneBatch([node], runner=runner)
    batch.job.wait()
    monkeypatch.setattr("MultiTaskSegLib.scene.batch.batch_run.add_batch_table", lambda *_arguments: 1 / 0)
    found = batch.finish()
    assert list(found.results) == [node.GetID()]
    assert "ZeroDivisionError" in str(batch.job.error)


@pytest.mark.skipif(os.name == "nt", reason="sends a signal")
def test_a_worker_that_was_killed_while_it_worked_is_no_broken_one(scratch):
    slow = JobRunner([sys.executable, FAKE_WORKER, "slow"])
    job = slow.segment(image_from_node(volume("one")))
    while not job.poll() and job.fraction == 0.0:
        pass
    os.kill(slow._worker.process.pid, signal.SIGKILL)
    with pytest.raises(DeadWorkerError) as caught:
        job.wait(30)
    assert not isinstance(caught.value, BrokenWorkerError)


@pytest.mark.parametrize("existing", ["keep", "replace"])
def test_what_somebody_writes_into_a_folder_while_a_batch_is_under_way_is_kept(runner, tmp_path, existing):
    images = [tmp_path / "a.nii.gz", tmp_path / "b.nii.gz"]
    output = tmp_path / "out"
    if existing == "replace":
        segment_batch(images, BatchOptions(output=output), runner=runner)
    batch = SceneBatch(images, BatchOptions(output=output, existing=existing), runner)
    handwork = output / "b" / "segmentation.nii.gz"
    handwork.parent.mkdir(parents=True, exist_ok=True)
    handwork.write_bytes(b"corrected by hand")
    batch.job.wait()
    rows = batch.finish().rows
    assert handwork.read_bytes() == b"corrected by hand"
    assert (output / "b_2" / "segmentation.nii.gz").is_file()
    assert [len(row.warnings) for row in rows] == [0, 1]
