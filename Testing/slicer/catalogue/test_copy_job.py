"""A model file that is copied into the user's folder (ON STAND-IN WIDGETS)."""

from __future__ import annotations

import threading

import pytest

from MultiTaskSegLib.runtime.errors import Cancelled

LONG_S = 20.0


@pytest.mark.parametrize("is_copied", [True, False])
def test_a_copy_that_is_cancelled_is_there_and_told_or_neither(stand_ins, tmp_path, monkeypatch, is_copied):
    from MultiTaskSegLib.catalogue import intake

    copied, asked = tmp_path / "copied", threading.Event()

    def copy(_source, _folder, _names, _tell, is_unwanted):
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
