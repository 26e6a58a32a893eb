"""What a job asks of the worker, what it takes for its own answer, and what it says when it cannot go on."""

from __future__ import annotations

import errno
import json
import queue
import struct
import threading
from pathlib import Path

import numpy as np
import pytest

from MultiTaskSegLib import job as job_module
from MultiTaskSegLib import job_result, task_list, worker_process
from MultiTaskSegLib.runtime.errors import ResourceError
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.ood.verdict import Verdict
from MultiTaskSegLib.runtime.worker import read_volume


class WorkerStandIn:
    """Takes requests and lets the test answer."""

    is_alive, is_silenced = True, False

    def __init__(self, folder: Path) -> None:
        self.folder, self.events, self.sent = folder, queue.Queue(), []

    def send(self, request) -> None:
        self.sent.append(request)

    def end(self) -> None:
        """Nothing to end."""


@pytest.fixture
def worker(tmp_path, monkeypatch):
    made = WorkerStandIn(tmp_path / "scratch")
    monkeypatch.setattr(job_module, "WorkerProcess", lambda _command: made)
    return made


def test_relative_paths_are_those_of_the_caller_and_not_of_the_worker(worker, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the worker runs in a folder of its own
    job = job_module.JobRunner().segment_file("scan.nrrd", "out", model="own.model")
    (request,) = worker.sent
    assert request["image"] == str(tmp_path / "scan.nrrd")
    assert request["model"] == str(tmp_path / "own.model")
    job_module.JobRunner().check_file("scan.nrrd")
    assert worker.sent[1]["image"] == str(tmp_path / "scan.nrrd")
    monkeypatch.chdir(tmp_path.parent)  # what the application does during a run has no part in it
    assert job._destination() == tmp_path / "out"


def test_a_late_answer_to_an_earlier_job_is_not_taken_for_the_present_one(worker):
    job = job_module.JobRunner().info()
    number = worker.sent[0]["id"]
    worker.events.put({"id": number - 1, "event": "result", "tasks": [{"name": "earlier"}]})
    worker.events.put({"id": number, "event": "progress", "fraction": 0.5, "eta_s": 2.0, "step": "model"})
    assert not job.poll()
    assert job.fraction == 0.5
    worker.events.put({"id": number, "event": "result", "tasks": [{"name": "present"}]})
    assert [task["name"] for task in job.wait(10).tasks] == ["present"]
    assert (job.fraction, job.eta_s) == (1.0, 0.0)


@pytest.mark.parametrize(
    ("number", "words", "others"),
    [(errno.ENOSPC, "the disk is full", "cannot be written"), (errno.EIO, "cannot be written", "the disk is full")],
)
def test_a_full_disk_is_told_from_one_that_cannot_be_written(tmp_path, monkeypatch, number, words, others):
    def refuse(*_arguments, **_options):
        raise OSError(number, "said by the system")

    monkeypatch.setattr(Path, "open", refuse)
    volume = Volume(np.zeros((2, 2, 2), np.float32), np.eye(4), name="scan")
    with pytest.raises(ResourceError, match=words) as caught:
        job_module.write_volume(volume, tmp_path / "1", threading.Event())
    assert others not in str(caught.value)


def test_the_worker_gets_the_image_as_it_is_known_here(tmp_path):
    note, voxels = "3 NaN or infinite voxels were replaced", np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    sent = Volume(voxels, np.diag([-2.0, -3.0, 4.0, 1.0]), "scan", (note,), "nothing")
    described = job_module.write_volume(sent, tmp_path / "1", threading.Event())
    read = read_volume(json.loads(json.dumps(described)))
    np.testing.assert_array_equal(read.voxels, voxels)
    np.testing.assert_allclose(read.ijk_to_lps, sent.ijk_to_lps)
    assert (read.name, read.warnings, read.measured) == ("scan", (note,), "nothing")


def test_a_verdict_comes_back_with_what_there_is_to_know_about_it(tmp_path):
    verdict = Verdict(False, 1.0, 2.0, 0.5, "t", {"t": 1.0})
    event = {"event": "result", "report": {"ood": verdict.as_dict(), "warnings": ["mended", "in parts"]}}
    assert job_result.result_of(event).verdict.warnings == ("mended", "in parts")


@pytest.mark.parametrize(("code", "advice"), [(-9, "lack of memory"), (1, "install PyTorch again")])
def test_a_worker_killed_while_it_loads_the_model_lacked_memory(code, advice):
    """``__new__``: what is judged is an exit code, for which no process has to die."""
    process = worker_process.WorkerProcess.__new__(worker_process.WorkerProcess)
    process._stderr = [f"line {number}" for number in range(9)]
    process._readers = [type("Ended", (), {"join": lambda self, timeout: None})()] * 2
    process.process = type("Dead", (), {"wait": lambda self, timeout: code})()
    notice = str(process.death_notice("model"))
    assert advice in notice
    assert "line 6 | line 7 | line 8" in notice  # the last words and not the first
    assert "line 5" not in notice


def test_the_worker_speaks_utf_8_whatever_the_language_of_the_system():
    environment = worker_process.worker_environment()
    assert (environment["PYTHONUTF8"], environment["PYTHONIOENCODING"]) == ("1", "utf-8")


def write_header(path: Path, tasks: list[dict]) -> None:
    """A model file that ends after its header."""
    header = json.dumps({"__metadata__": {"manifest": json.dumps({"tasks": tasks})}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header)


def test_a_model_file_that_was_replaced_offers_its_new_tasks(tmp_path):
    path = tmp_path / "own.mts.safetensors"
    write_header(path, [{"name": "heart"}])
    assert task_list.task_names(path) == ["heart"]
    write_header(path, [{"name": "heart"}, {"name": "liver"}])
    assert task_list.task_names(path) == ["heart", "liver"]


def test_a_task_is_planar_where_its_images_are_fitted_to_a_grid(tmp_path):
    path = tmp_path / "own.mts.safetensors"
    profile = {"grid": "spacing", "spacing_zyx_mm": [3, 2.0, 1.0]}
    write_header(path, [{"name": "solid", "profile": profile}, {"name": "flat", "profile": {"grid": "fit"}}])
    solid, flat = task_list.known_tasks(path)
    assert (solid.is_planar, flat.is_planar) == (False, True)
    assert (solid.spacing_zyx_mm, flat.spacing_zyx_mm) == ((3.0, 2.0, 1.0), None)


def test_without_a_model_the_tasks_of_the_whole_list_are_offered_each_once(tmp_path, monkeypatch):
    released = task_list.task_names()
    monkeypatch.setenv("MULTITASKSEG_MODELS", str(tmp_path))
    write_header(tmp_path / "own.mts.safetensors", [{"name": "spleen"}, {"name": released[0]}])
    names = task_list.task_names()
    assert names[:-1] == released
    assert names[-1] == "spleen"


@pytest.mark.parametrize("content", [b"", b"short", bytes(8) + b"{}", b"\x02" + bytes(7) + b"[]", b"\xff" * 40])
def test_a_damaged_model_file_offers_no_tasks(tmp_path, content):
    (tmp_path / "own.mts.safetensors").write_bytes(content)
    assert task_list.known_tasks(tmp_path / "own.mts.safetensors") == []


@pytest.mark.parametrize("content", [None, b"", b"\x93NUMPY"])
def test_a_picture_that_cannot_be_read_costs_no_result(tmp_path, content):
    labels, picture = tmp_path / "labels.npy", tmp_path / "thumbnail.npy"
    np.save(labels, np.ones((1, 2, 3), np.uint8))
    if content is not None:
        picture.write_bytes(content)
    found = job_result.result_of({"report": {}, "labels": str(labels), "thumbnail": str(picture)})
    assert found.labels.shape == (1, 2, 3)
    assert found.thumbnail is None
    assert "Error: " in found.thumbnail_failure
