"""A model file that is copied into the user's folder (ON STAND-IN WIDGETS)."""

from __future__ import annotations

import threading

import pytest

from MultiTaskSegLib.runtime.errors import Cancelled
from Testing.runtime.model.header_file import manifest, task_entry, write_header_file

LONG_S = 20.0


@pytest.mark.parametrize("is_copied", [True, False])
def test_a_copy_that_is_cancelled_is_there_and_told_or_neither(stand_ins, tmp_path, monkeypatch, is_copied):
    from MultiTaskSegLib.catalogue import intake

    copied, asked = tmp_path / "copied", threading.Event()

    def copy(_source, _folder, _names, _tell, is_unwanted, _settle):
        asked.set()
        while not is_unwanted():
            pass
        if not is_copied:
            raise Cancelled("the copy was cancelled")
        copied.touch()
        return copied

    monkeypatch.setattr(intake, "add_model_file", copy)
    job = intake.CopyJob(tmp_path / "model.mts.safetensors", tmp_path)
    assert asked.wait(LONG_S)
    job.cancel()
    assert job.poll()
    assert (job.error is None) == copied.exists() == is_copied


@pytest.fixture
def disk(monkeypatch):
    """A disk that takes its time: halts before a file is on it, or right before the file takes its place."""
    from MultiTaskSegLib import background_call
    from MultiTaskSegLib.runtime.machine import atomic_file

    monkeypatch.setattr(background_call, "STOP_TIMEOUT_S", 0.1)

    def halt_at(name):
        reached, gate, plain = threading.Event(), threading.Event(), getattr(atomic_file, name)

        def halting(*places):
            reached.set()
            assert gate.wait(LONG_S)
            plain(*places)

        monkeypatch.setattr(atomic_file, name, halting)
        return reached, gate

    return halt_at


def test_a_copy_that_was_told_to_be_cancelled_does_not_appear_later(stand_ins, tmp_path, disk):
    from MultiTaskSegLib.catalogue import intake

    source, folder = write_header_file(tmp_path / "model.mts.safetensors", manifest([task_entry("t")])), tmp_path / "to"
    reached, gate = disk("_flush")
    job = intake.CopyJob(source, folder)
    assert reached.wait(LONG_S)
    job.cancel()
    with pytest.raises(Cancelled):
        job.result()
    gate.set()
    with pytest.raises(Cancelled):
        job._call.outcome()
    assert list(folder.iterdir()) == []


def test_a_copy_that_takes_its_place_slowly_is_done_later_not_cancelled(stand_ins, tmp_path, disk):
    from MultiTaskSegLib.catalogue import intake

    source, folder = write_header_file(tmp_path / "model.mts.safetensors", manifest([task_entry("t")])), tmp_path / "to"
    reached, gate = disk("exchange")
    job = intake.CopyJob(source, folder)
    assert reached.wait(LONG_S)
    job.cancel()
    assert not job.poll()
    gate.set()
    job._call.outcome()
    assert job.poll()
    assert job.result() == folder / source.name
    assert job.result().exists()
