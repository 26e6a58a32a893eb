"""Cancelled or done: files of a job come to their place and it has a result, or neither."""

from __future__ import annotations

import sys
import tempfile
import threading
from pathlib import Path

import pytest

from MultiTaskSegLib import job as job_module
from MultiTaskSegLib.background_call import STOP_TIMEOUT_S, BackgroundCall, Stop
from MultiTaskSegLib.batch import Batch, BatchItem
from MultiTaskSegLib.job_result import result_of
from MultiTaskSegLib.runtime.errors import Cancelled, ResourceError
from MultiTaskSegLib.runtime.machine import atomic_file

FAKE_WORKER = str(Path(__file__).resolve().parents[1].joinpath("fake_worker.py"))
LONG_S = 20.0  # nothing here waits that long unless it fails


@pytest.fixture
def runner(tmp_path, monkeypatch):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    made = job_module.JobRunner([sys.executable, FAKE_WORKER, "good"])
    yield made
    made.close()


@pytest.fixture
def out(tmp_path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


@pytest.fixture
def halted(monkeypatch):
    """Holds the collecting of a result right before or right after it is settled."""

    def hold(moment: str):
        reached, gate = threading.Event(), threading.Event()

        def halt() -> None:
            reached.set()
            assert gate.wait(LONG_S)

        def collect(event, destination, settle):
            def settle_halted() -> None:
                if moment == "before":
                    halt()
                settle()
                if moment == "after":
                    halt()

            return result_of(event, destination, settle_halted)

        monkeypatch.setattr(job_module, "result_of", collect)
        return reached, gate

    return hold


def start_import(runner, out: Path):
    return runner.import_model(out.parent, out / "made.mts.safetensors", licence="CC0")


def start_segmentation(runner, out: Path):
    return runner.segment_file(out.parent / "image.nii", out)


STARTS = pytest.mark.parametrize("start", [start_import, start_segmentation])


def run_until(job, reached: threading.Event) -> None:
    while not reached.wait(0.01):
        job.poll()


@STARTS
def test_what_is_cancelled_before_it_is_settled_leaves_what_was_there(runner, out, halted, start):
    kept = out / "made.mts.safetensors"
    kept.write_bytes(b"of before")
    reached, gate = halted("before")
    job = start(runner, out)
    run_until(job, reached)
    # The thread is let go while the cancelling waits for it.
    threading.Timer(0.2, gate.set).start()
    job.cancel()
    with pytest.raises(Cancelled):
        job.result()
    assert [path.name for path in out.iterdir()] == [kept.name]
    assert kept.read_bytes() == b"of before"


@STARTS
def test_what_is_cancelled_once_it_is_settled_is_done(runner, out, halted, start):
    reached, gate = halted("after")
    job = start(runner, out)
    run_until(job, reached)
    threading.Timer(0.2, gate.set).start()
    job.cancel()
    assert job.is_done
    assert job.result() is not None
    assert any(out.iterdir())
    assert runner.devices().wait(LONG_S).devices  # and the worker is still there


def test_a_settled_job_whose_disk_is_slow_is_done_later(runner, out, halted):
    reached, gate = halted("after")
    job = start_import(runner, out)
    run_until(job, reached)
    job.cancel()  # waits for about a second
    assert not job.is_done
    gate.set()
    assert job.wait(LONG_S).card == "the card of what was imported"


def test_a_folder_that_was_made_for_a_result_goes_with_it(runner, out, halted):
    reached, gate = halted("before")
    job = start_segmentation(runner, out / "new")
    run_until(job, reached)
    threading.Timer(0.2, gate.set).start()
    job.cancel()
    with pytest.raises(Cancelled):
        job.result()
    assert list(out.iterdir()) == []


def test_whoever_waits_for_a_settled_job_gets_its_result_though_the_time_is_up(runner, out, halted):
    reached, gate = halted("after")
    job = start_segmentation(runner, out)
    run_until(job, reached)
    threading.Timer(0.2, gate.set).start()
    assert job.wait(timeout_s=0.0).output == out


def test_whoever_waits_for_a_job_that_is_not_settled_in_time_finds_nothing(runner, out, halted):
    reached, gate = halted("before")
    job = start_segmentation(runner, out)
    run_until(job, reached)
    threading.Timer(0.2, gate.set).start()
    with pytest.raises(ResourceError, match="no answer within 0 s"):
        job.wait(timeout_s=0.0)
    assert list(out.iterdir()) == []


def test_a_slow_disk_holds_whoever_cancels_up_once_not_twice(runner, out, halted, monkeypatch):
    waited: list[float] = []
    reached, gate = halted("before")
    job = start_segmentation(runner, out)
    run_until(job, reached)
    thread = job._collecting._thread
    join = thread.join
    monkeypatch.setattr(thread, "join", lambda timeout=None: (waited.append(timeout), join(0.05)))
    job.cancel()
    assert waited == [STOP_TIMEOUT_S]
    gate.set()
    join()
    assert list(out.iterdir()) == []


@STARTS
def test_files_are_on_the_disk_before_they_are_settled(runner, out, monkeypatch, start):
    """What takes long on a slow disk can still be cancelled."""
    reached, gate, flush = threading.Event(), threading.Event(), atomic_file._flush

    def flush_halted(path: Path) -> None:
        reached.set()
        assert gate.wait(LONG_S)
        flush(path)

    monkeypatch.setattr(atomic_file, "_flush", flush_halted)
    job = start(runner, out)
    run_until(job, reached)
    threading.Timer(0.2, gate.set).start()
    job.cancel()
    with pytest.raises(Cancelled):
        job.result()
    assert list(out.iterdir()) == []


def test_an_import_that_is_cancelled_after_the_worker_has_answered_leaves_nothing(runner, out):
    job = start_import(runner, out)
    scratch = runner._worker.folder
    while not list(scratch.rglob("made.mts.safetensors")):
        assert list(out.iterdir()) == []
    job.cancel()
    with pytest.raises(Cancelled):
        job.result()
    assert list(out.iterdir()) == []
    assert not scratch.exists()


def test_a_batch_lists_an_image_whose_files_were_being_put_in_place_when_it_was_cancelled(runner, out, halted):
    reached, gate = halted("after")
    items = [
        BatchItem(name, lambda name=name: start_segmentation(runner, out / name), lambda found: None, file=name)
        for name in ("first", "second")
    ]
    ends: list[bool] = []
    batch = Batch(items, ended=lambda: ends.append(True))
    run_until(batch, reached)
    threading.Timer(0.2, gate.set).start()
    batch.cancel()
    assert [(row.image, row.error) for row in batch.rows] == [("first", "")]
    assert isinstance(batch.error, Cancelled)
    assert ends == [True]
    assert [path.name for path in out.iterdir()] == ["first"]


def test_a_batch_whose_last_image_was_being_put_in_place_is_done_not_cancelled(runner, out, halted):
    reached, gate = halted("after")
    ends: list[bool] = []
    item = BatchItem("only", lambda: start_segmentation(runner, out), lambda found: None)
    batch = Batch([item], ended=lambda: ends.append(True))
    run_until(batch, reached)
    threading.Timer(0.2, gate.set).start()
    batch.cancel()
    assert [row.image for row in batch.rows] == ["only"]
    assert batch.error is None
    assert ends == [True]


def test_a_cancelled_batch_waits_for_a_slow_disk_and_starts_nothing_meanwhile(runner, out, halted):
    reached, gate = halted("after")
    items = [
        BatchItem(name, lambda name=name: start_segmentation(runner, out / name), lambda found: None)
        for name in ("first", "second")
    ]
    ends: list[bool] = []
    batch = Batch(items, ended=lambda: ends.append(True))
    run_until(batch, reached)
    batch.cancel("enough")
    assert not batch.poll()
    assert ends == []
    gate.set()
    with pytest.raises(Cancelled, match="enough"):
        batch.wait()
    assert [(row.image, row.error) for row in batch.rows] == [("first", "")]
    assert ends == [True]
    assert [path.name for path in out.iterdir()] == ["first"]


def test_a_batch_whose_rows_nobody_wants_is_over_at_once(runner, out, halted):
    reached, gate = halted("after")
    measured: list[object] = []
    batch = Batch([BatchItem("only", lambda: start_segmentation(runner, out), measured.append)])
    run_until(batch, reached)
    threading.Timer(0.2, gate.set).start()
    batch.cancel(is_dropped=True)
    assert batch.is_done
    assert isinstance(batch.error, Cancelled)
    assert measured == batch.rows == []


def test_a_batch_tells_once_that_it_is_over_also_where_it_is_cancelled_while_a_result_is_kept(runner, out):
    ends: list[bool] = []
    item = BatchItem("only", lambda: start_segmentation(runner, out), lambda found: batch.cancel())
    batch = Batch([item], ended=lambda: ends.append(True))
    with pytest.raises(Cancelled):
        batch.wait()
    assert ends == [True]


def test_a_batch_that_is_over_does_not_begin_again_when_its_rows_are_taken_away(runner, out):
    batch = Batch([BatchItem("only", lambda: start_segmentation(runner, out), lambda found: None)])
    batch.wait()
    batch.rows.clear()
    assert batch.poll()
    assert not runner.is_busy


def test_a_batch_whose_scene_is_closed_as_its_last_file_is_settled_does_not_begin_again(
    session, runner, out, halted, tmp_path
):
    import slicer

    from MultiTaskSegLib.scene.batch.scene_batch import BatchOptions, SceneBatch

    reached, gate = halted("after")
    (tmp_path / "only.nii").touch()
    batch = SceneBatch([tmp_path / "only.nii"], BatchOptions(output=out), runner)
    run_until(batch.job, reached)
    threading.Timer(0.2, gate.set).start()
    slicer.mrmlScene.Clear(0)
    assert batch.job.poll()
    assert not runner.is_busy
    assert batch.finish().rows == []
    assert [path.name for path in out.iterdir()] == ["only"]


def test_a_batch_that_ends_on_a_slow_disk_leaves_the_worker_to_others_and_is_closed_with_the_scene(
    session, runner, out, halted, tmp_path
):
    import slicer

    from MultiTaskSegLib.scene.batch.scene_batch import BatchOptions, SceneBatch

    reached, gate = halted("after")
    (tmp_path / "only.nii").touch()
    batch = SceneBatch([tmp_path / "only.nii"], BatchOptions(output=out), runner)
    run_until(batch.job, reached)
    batch.end()
    assert not batch.job.is_done
    gate.set()
    runner._job._collecting.outcome()
    assert not runner.is_busy
    slicer.mrmlScene.Clear(0)
    assert batch.job.is_done
    assert batch.finish().table is None


def test_a_settled_call_is_asked_to_stop_in_vain_and_a_stopped_one_settles_nothing():
    stop = Stop()
    stop.settle()
    assert not stop.ask()
    assert not stop.is_set()
    stop = Stop()
    assert stop.ask()
    assert stop.ask()
    with pytest.raises(Cancelled):
        stop.settle()
    assert BackgroundCall(lambda stop: stop.wait(LONG_S)).stop()
    settled = threading.Event()

    def settle(stop: Stop) -> int:
        stop.settle()
        settled.set()
        return 3

    call = BackgroundCall(settle)
    assert settled.wait(LONG_S)
    assert not call.stop()
    assert call.outcome() == 3
