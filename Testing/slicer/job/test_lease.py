"""The worker is held by a batch, lets go of what is over, and leaves nothing where it cannot start."""

from __future__ import annotations

import errno
import gc
import sys
import tempfile
import weakref
from pathlib import Path

import numpy as np
import pytest

from MultiTaskSegLib import worker_process
from MultiTaskSegLib.job import JobRunner
from MultiTaskSegLib.runtime.errors import ResourceError, UsageError
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.typed_error import typed

FAKE_WORKER = str(Path(__file__).resolve().parents[1].joinpath("fake_worker.py"))


@pytest.fixture
def runner(scratch):
    made = JobRunner([sys.executable, FAKE_WORKER, "good"])
    yield made
    made.close()


def image() -> Volume:
    return Volume(np.arange(24, dtype=np.float32).reshape(2, 3, 4), np.eye(4), name="scan")


def test_while_the_worker_is_held_only_the_holder_gets_a_job(runner):
    lease = runner.hold()
    assert runner.is_busy
    with pytest.raises(UsageError, match="another run is under way"):
        runner.segment(image())
    with pytest.raises(UsageError, match="another run is under way"):
        runner.hold()
    assert runner.check(image(), lease=lease).wait(30).report["image"] == "scan"
    lease.release()
    assert runner.segment(image()).wait(30).report["image"] == "scan"


def test_a_worker_that_has_a_job_cannot_be_held(runner):
    job = runner.segment(image())
    with pytest.raises(UsageError, match="another run is under way"):
        runner.hold()
    job.wait(30)
    runner.hold().release()


def test_a_lease_that_was_released_twice_or_late_frees_nobody_elses(runner):
    first = runner.hold()
    first.release()
    second = runner.hold()
    first.release()
    assert runner.is_busy
    second.release()
    assert not runner.is_busy


def test_a_lease_that_was_forgotten_is_given_back(runner):
    runner.hold()
    gc.collect()
    assert not runner.is_busy


def test_the_runner_keeps_nothing_of_a_job_that_is_over(runner):
    found = runner.segment(image()).wait(30)
    arrays = weakref.ref(found.uncertainty)
    del found
    gc.collect()
    assert arrays() is None


@pytest.mark.parametrize("way", ["no interpreter", "not startable"])
def test_a_worker_that_cannot_be_started_leaves_no_folder(scratch, monkeypatch, way):
    def no_interpreter() -> str:
        raise ResourceError("no Python interpreter was found for the worker", remedy="Reinstall 3D Slicer")

    monkeypatch.setattr(worker_process, "python_executable", no_interpreter)
    runner = JobRunner(None if way == "no interpreter" else [str(scratch / "no such program")])
    with pytest.raises(ResourceError):
        runner.segment(image())
    assert list(scratch.iterdir()) == []
    assert not runner.is_busy


def test_a_disk_that_is_full_when_the_worker_starts_is_told_in_words(monkeypatch):
    def full(**_options: object) -> str:
        raise OSError(errno.ENOSPC, "No space left on device", "/tmp/x")

    monkeypatch.setattr(tempfile, "mkdtemp", full)
    with pytest.raises(ResourceError, match=r"No space left on device.*Free some space"):
        JobRunner([sys.executable, FAKE_WORKER, "good"]).segment(image())


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/x"), "the disk is full"),
        (MemoryError("629 MiB"), "not enough memory"),
        (ValueError("a\nb"), "unexpected ValueError: a b"),
        (UsageError("as it is"), "as it is"),
    ],
)
def test_errors_of_others_are_told_as_ours(error, words):
    assert words in str(typed(error))
