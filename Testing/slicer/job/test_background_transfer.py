"""Voxels are written and read in the background: nobody waits for the disk but the job itself."""

from __future__ import annotations

import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest

from MultiTaskSegLib import job as job_module
from MultiTaskSegLib import volume_file
from MultiTaskSegLib.background_call import BackgroundCall
from MultiTaskSegLib.runtime.errors import Cancelled, ResourceError
from MultiTaskSegLib.runtime.image.volume import Volume

FAKE_WORKER = str(Path(__file__).resolve().parents[1].joinpath("fake_worker.py"))
LONG_S = 20.0  # nothing here waits that long unless it fails


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def runner(scratch):
    made = job_module.JobRunner([sys.executable, FAKE_WORKER, "good"])
    yield made
    made.close()


@pytest.fixture
def held(monkeypatch):
    """Holds one of the module's functions until it is let go, or until nobody wants it any more."""

    def hold(name: str):
        original, reached, gate = getattr(job_module, name), threading.Event(), threading.Event()

        def wait_first(*arguments):
            reached.set()
            stop = next((item for item in arguments if isinstance(item, threading.Event)), threading.Event())
            while not gate.wait(0.01) and not stop.is_set():
                pass
            return original(*arguments)

        monkeypatch.setattr(job_module, name, wait_first)
        return reached, gate

    return hold


def image() -> Volume:
    voxels = np.random.default_rng(5).normal(100.0, 20.0, (5, 6, 7)).astype(np.float32)
    return Volume(voxels, np.eye(4), name="noise")


def test_a_run_starts_before_its_voxels_are_written(runner, held):
    reached, gate = held("write_volume")
    job = runner.segment(image())
    assert reached.wait(LONG_S)
    assert [job.poll() for _ in range(3)] == [False] * 3
    gate.set()
    assert job.wait(LONG_S).labels.shape == (5, 6, 7)


def test_polling_does_not_wait_for_the_result_to_be_read(runner, held):
    reached, gate = held("result_of")
    job = runner.segment(image())
    while not reached.wait(0.01):
        job.poll()
    assert not job.poll()
    assert job.step == job_module.COLLECTING
    gate.set()
    assert job.wait(LONG_S).labels.shape == (5, 6, 7)


@pytest.mark.parametrize("name", ["write_volume", "result_of"])
def test_cancelling_meanwhile_leaves_nothing_and_the_next_run_works(runner, held, scratch, monkeypatch, name):
    with monkeypatch.context() as patch:
        original = getattr(job_module, name)
        reached, gate = held(name)
        job = runner.segment(image())
        while not reached.wait(0.01):
            job.poll()
        if name == "result_of":  # reading a file cannot be interrupted, but it ends by itself
            threading.Timer(0.2, gate.set).start()
        job.cancel()
        assert list(scratch.iterdir()) == []
        with pytest.raises(Cancelled):
            job.result()
        patch.setattr(job_module, name, original)
    gate.set()
    assert runner.segment(image()).wait(LONG_S).labels is not None


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ResourceError("the disk is full"), "the disk is full"),
        (MemoryError("no room"), "not enough memory .no room."),
    ],
)
@pytest.mark.parametrize("name", ["write_volume", "result_of"])
def test_what_goes_wrong_in_the_background_is_an_error_of_the_job(runner, scratch, monkeypatch, name, error, words):
    def fail(*_arguments):
        raise error

    monkeypatch.setattr(job_module, name, fail)
    with pytest.raises(ResourceError, match=words):
        runner.segment(image()).wait(LONG_S)
    assert [path for folder in scratch.iterdir() for path in folder.iterdir() if path.is_dir()] == []


def test_the_voxels_are_written_in_pieces_exactly_as_numpy_reads_them(tmp_path, monkeypatch):
    monkeypatch.setattr(volume_file, "CHUNK_BYTES", 100)
    described = job_module.write_volume(image(), tmp_path / "1", threading.Event())
    np.testing.assert_array_equal(np.load(described["voxels"]), image().voxels)


def test_writing_ends_early_when_nobody_wants_the_voxels_any_more(tmp_path, monkeypatch):
    monkeypatch.setattr(volume_file, "CHUNK_BYTES", 4)
    unwanted = threading.Event()
    unwanted.set()
    described = job_module.write_volume(image(), tmp_path / "1", unwanted)
    assert Path(described["voxels"]).stat().st_size < image().voxels.nbytes


def test_a_background_call_gives_what_its_function_returns_or_raises():
    def fail(_stop):
        raise ValueError("no")

    assert BackgroundCall(lambda _stop: 3).outcome() == 3
    with pytest.raises(ValueError, match="no"):
        BackgroundCall(fail).outcome()
    endless = BackgroundCall(lambda stop: stop.wait(LONG_S))
    assert not endless.is_done
    endless.stop()
    assert endless.is_done
