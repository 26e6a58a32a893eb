"""Cancelled or done: files of a job come to their place and it has a result, or neither."""

from __future__ import annotations

import sys
import tempfile
import threading
from pathlib import Path

import pytest

from MultiTaskSegLib import job as job_module
from MultiTaskSegLib.background_call import BackgroundCall, Stop
from MultiTaskSegLib.batch import Batch, BatchItem
from MultiTaskSegLib.job_result import result_of
from MultiTaskSegLib.runtime.errors import Cancelled

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
