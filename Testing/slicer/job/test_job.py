"""Jobs against a stand-in worker script: progress, results, errors, crashes, and what is left after cancelling."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from MultiTaskSegLib import job as job_module
from MultiTaskSegLib import worker_process
from MultiTaskSegLib.job import JobRunner
from MultiTaskSegLib.runtime.errors import Cancelled, InputError, MtsError, ResourceError, UsageError
from MultiTaskSegLib.runtime.image.volume import Volume

FAKE_WORKER = str(Path(__file__).resolve().parents[1].joinpath("fake_worker.py"))


@pytest.fixture(autouse=True)
def temporary_folder(tmp_path, monkeypatch):
    """An own folder for temporary files with a name that is not ASCII, so that leftovers show."""
    folder = tmp_path / "Zwischenablage äöü 一時"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def runner_of():
    runners = []

    def make(behaviour: str) -> JobRunner:
        runners.append(JobRunner([sys.executable, FAKE_WORKER, behaviour]))
        return runners[-1]

    yield make
    for runner in runners:
        runner.close()


def image() -> Volume:
    voxels = np.arange(2 * 3 * 4, dtype=np.float32).reshape(2, 3, 4)
    return Volume(voxels, np.array([[0, -2.0, 0, 5], [1, 0, 0, 6], [0, 0, 3, 7], [0, 0, 0, 1]]), name="Ω scan")


def wait_for(condition, seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False


def is_running(pid: int) -> bool:
    """Whether a process exists and is not merely waiting to be reaped."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_a_segmentation_comes_back_with_the_geometry_and_the_name_that_was_sent(runner_of):
    volume = image()
    found = runner_of("good").segment(volume, task="phantom", device="cpu", model="ä.safetensors").wait(30)
    np.testing.assert_array_equal(found.labels, volume.voxels > volume.voxels.mean())
    assert found.uncertainty.dtype == np.float32
    assert found.report["image"] == "Ω scan"
    assert found.report["task"] == "phantom"
    assert found.report["device"] == "cpu"
    assert Path(found.report["model"]["name"]).name == "ä.safetensors"
    np.testing.assert_array_equal(found.report["ijk_to_ras"], volume.ijk_to_ras)
    assert found.legend[0]["display_name"] == "bright part"


def test_a_check_brings_a_verdict_and_no_voxels(runner_of):
    found = runner_of("good").check(image()).wait(30)
    assert found.report["ood"]["nearest_task"] == "phantom"
    assert found.labels is None
    assert found.uncertainty is None


def test_the_tasks_of_a_model_can_be_asked_for(runner_of):
    assert [task["name"] for task in runner_of("good").info().wait(30).tasks] == ["phantom"]


def test_one_worker_serves_all_jobs(runner_of):
    runner = runner_of("good")
    runner.segment(image()).wait(30)
    first = runner._worker.process.pid
    runner.check(image()).wait(30)
    assert runner._worker.process.pid == first


def test_a_finished_job_leaves_no_voxels_on_the_disk(runner_of, temporary_folder):
    runner = runner_of("good")
    runner.segment(image()).wait(30)
    assert list(temporary_folder.rglob("*.npy")) == []
    runner.close()
    assert list(temporary_folder.iterdir()) == []


def test_progress_has_a_fraction_a_step_and_the_time_left(runner_of):
    job = runner_of("slow").segment(image())
    assert wait_for(lambda: job.poll() or job.fraction > 0)
    assert (job.fraction, job.eta_s, job.step) == (0.25, 3.0, "network")
    assert not job.is_done


def test_polling_a_worker_that_never_answers_returns(runner_of):
    job = runner_of("slow").segment(image())
    assert not any(job.poll() for _ in range(3))


def test_only_one_run_at_a_time(runner_of):
    runner = runner_of("slow")
    runner.segment(image())
    with pytest.raises(UsageError, match="another run is under way"):
        runner.check(image())


@pytest.mark.parametrize("moment", ["at once", "after the first progress"])
def test_cancelling_ends_the_worker_and_removes_its_files(runner_of, temporary_folder, moment):
    runner = runner_of("slow")
    job = runner.segment(image())
    pid = runner._worker.process.pid
    if moment == "after the first progress":
        assert wait_for(lambda: job.poll() or job.fraction > 0)
    job.cancel()
    assert not is_running(pid)
    assert list(temporary_folder.iterdir()) == []
    with pytest.raises(Cancelled):
        job.result()


@pytest.mark.skipif(os.name == "nt", reason="reads /proc")
def test_cancelling_ends_also_what_the_worker_had_started(runner_of, tmp_path, monkeypatch):
    noted = tmp_path / "child.pid"
    monkeypatch.setenv("FAKE_WORKER_CHILD", str(noted))
    job = runner_of("family").segment(image())
    assert wait_for(lambda: noted.is_file() and noted.read_text() != "")
    child = int(noted.read_text())
    assert is_running(child)
    job.cancel()
    assert wait_for(lambda: not is_running(child), 2.0)


def test_after_cancelling_the_next_job_works(runner_of):
    runner = runner_of("slow")
    runner.segment(image()).cancel()
    runner._command = [sys.executable, FAKE_WORKER, "good"]
    assert runner.segment(image()).wait(30).labels is not None


def test_cancelling_a_finished_job_keeps_its_result_and_the_worker(runner_of):
    runner = runner_of("good")
    job = runner.segment(image())
    job.wait(30)
    job.cancel()
    assert job.result().labels is not None
    assert runner._worker.is_alive


def test_waiting_too_long_cancels(runner_of, temporary_folder):
    job = runner_of("slow").segment(image())
    with pytest.raises(ResourceError, match=r"no answer within 0\.3 s"):
        job.wait(0.3)
    assert list(temporary_folder.iterdir()) == []


def test_an_interrupted_wait_leaves_nothing_behind(runner_of, temporary_folder):
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runner_of("slow").segment(image()).wait(30, idle=interrupt)
    assert list(temporary_folder.iterdir()) == []


def test_a_crash_is_a_resource_error_with_the_last_words_and_advice(runner_of, temporary_folder):
    with pytest.raises(ResourceError, match=r"exit code 9.*last words.*crop the image") as caught:
        runner_of("crash").segment(image()).wait(30)
    assert "\n" not in str(caught.value)
    assert list(temporary_folder.iterdir()) == []


def test_a_death_without_a_word_is_told_as_such(runner_of):
    with pytest.raises(ResourceError, match="it left no message"):
        runner_of("silent-death").segment(image()).wait(30)


@pytest.mark.skipif(os.name == "nt", reason="sends a signal")
def test_a_worker_killed_from_outside_is_told_in_one_line_and_the_next_job_works(runner_of, temporary_folder):
    runner = runner_of("slow")
    job = runner.segment(image())
    assert wait_for(lambda: job.poll() or job.fraction > 0)
    os.kill(runner._worker.process.pid, signal.SIGKILL)
    with pytest.raises(ResourceError, match=r"exit code -9.*lack of memory.*close other programs") as caught:
        job.wait(30)
    assert "\n" not in str(caught.value)
    assert list(temporary_folder.iterdir()) == []
    runner._command = [sys.executable, FAKE_WORKER, "good"]
    assert runner.segment(image()).wait(30).labels is not None


def test_a_worker_that_dies_is_noticed_although_its_child_holds_the_pipe(runner_of, temporary_folder):
    with pytest.raises(ResourceError, match="exit code 3"):
        runner_of("orphan").segment(image()).wait(30)
    assert list(temporary_folder.iterdir()) == []


def test_a_worker_that_does_not_start_gets_advice_about_the_installation(runner_of):
    with pytest.raises(ResourceError, match=r"DLL load failed.*install PyTorch again"):
        runner_of("no-start").segment(image()).wait(30)


def test_the_devices_are_listed(runner_of):
    assert runner_of("good").devices().wait(30).devices[0]["free_bytes"] == 7


def test_the_results_of_a_file_are_put_in_place_together(runner_of, tmp_path, temporary_folder):
    runner = runner_of("good")
    output = tmp_path / "ergebnis ü" / "scan"
    found = runner.segment_file(tmp_path / "scan.nii.gz", output, task="phantom").wait(30)
    assert found.output == output
    names = ["checksums.sha256", "report.json", "segmentation.nii.gz"]
    assert sorted(path.name for path in output.iterdir()) == names
    assert json.loads((output / "report.json").read_text())["task"] == "phantom"
    assert list(temporary_folder.rglob("*.json")) == []


def test_results_that_cannot_be_put_in_place_are_a_resource_error(runner_of, tmp_path):
    (tmp_path / "taken").write_text("a file, not a folder")
    with pytest.raises(ResourceError, match="a file is in the place of the folder"):
        runner_of("good").segment_file(tmp_path / "scan.nii.gz", tmp_path / "taken").wait(30)


def test_what_libraries_leave_lies_in_the_private_folder(tmp_path):
    environment = worker_process.worker_environment(tmp_path)
    code = "import tempfile; print(tempfile.gettempdir())"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, encoding="utf-8", check=True
    )
    assert Path(done.stdout.strip()) == tmp_path


def test_after_a_crash_the_next_job_works(runner_of):
    runner = runner_of("crash")
    with pytest.raises(ResourceError):
        runner.segment(image()).wait(30)
    runner._command = [sys.executable, FAKE_WORKER, "good"]
    assert runner.check(image()).wait(30).report["image"] == "Ω scan"


def test_an_error_event_becomes_the_typed_error_with_its_message_unchanged(runner_of):
    with pytest.raises(InputError) as caught:
        runner_of("error").segment(image()).wait(30)
    assert str(caught.value) == "the image is upside down: Scan. Turn it."


@pytest.mark.parametrize("kind", ["Unheard", "Path", "annotations", None])
def test_an_unknown_kind_of_error_is_still_an_error(kind):
    error = job_module.error_from({"kind": kind, "message": "odd"})
    assert type(error) is MtsError
    assert str(error) == "odd."


def test_rubbish_on_the_stdout_of_the_worker_is_ignored(runner_of):
    assert runner_of("noise").segment(image()).wait(30).labels is not None


def test_a_worker_that_cannot_be_started_is_a_resource_error(temporary_folder):
    with pytest.raises(ResourceError, match="cannot be started"):
        JobRunner([str(temporary_folder / "no such program")]).segment(image())
    assert list(temporary_folder.iterdir()) == []


def test_a_temporary_folder_that_cannot_be_written_is_a_resource_error(tmp_path):
    blocked = tmp_path / "blocked"
    blocked.write_text("a file, not a folder")
    with pytest.raises(ResourceError, match="cannot be written"):
        job_module.write_volume(image(), blocked / "1", threading.Event())


def test_the_result_of_a_running_job_is_not_given(runner_of):
    with pytest.raises(UsageError, match="still running"):
        runner_of("slow").segment(image()).result()


def test_the_worker_finds_this_package_and_keeps_the_python_path_of_the_user(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/theirs")
    first, second = worker_process.worker_environment()["PYTHONPATH"].split(os.pathsep)
    assert (Path(first) / "MultiTaskSegLib" / "job.py").is_file()
    assert second == "/theirs"


def test_pythonslicer_beside_the_running_executable_is_preferred(tmp_path, monkeypatch):
    launcher = tmp_path / ("PythonSlicer.exe" if os.name == "nt" else "PythonSlicer")
    launcher.touch()
    monkeypatch.setattr(sys, "executable", str(tmp_path / "SlicerApp-real"))
    assert worker_process.python_executable() == str(launcher)


def test_in_slicer_pythonslicer_is_found_on_the_path(tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    launcher = tmp_path / "bin" / ("PythonSlicer.exe" if os.name == "nt" else "PythonSlicer")
    launcher.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(launcher.parent))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "SlicerApp-real"))
    assert worker_process.python_executable() == str(launcher)


def test_outside_slicer_the_running_interpreter_is_used():
    assert worker_process.python_executable() == sys.executable


def test_without_any_interpreter_the_error_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "SlicerApp-real"))
    with pytest.raises(ResourceError, match="no Python interpreter"):
        worker_process.python_executable()


def test_all_modules_get_the_same_runner():
    assert job_module.shared_runner() is job_module.shared_runner()
