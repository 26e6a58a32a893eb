"""The worker outlives neither a broken request nor its parent, however that ends."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from MultiTaskSegLib import process_tree
from MultiTaskSegLib.process_tree import end_tree, start_tree
from MultiTaskSegLib.runtime.errors import InputError, UsageError
from MultiTaskSegLib.runtime.hosting import request_line
from MultiTaskSegLib.runtime.hosting.purpose import Purpose
from MultiTaskSegLib.runtime.hosting.torch_machine import TorchMachine
from MultiTaskSegLib.runtime.network.stage_stream import SliceQueue
from MultiTaskSegLib.runtime.worker import Worker, read_volume
from MultiTaskSegLib.worker_process import worker_environment

WORKER = [sys.executable, "-m", "MultiTaskSegLib.runtime.worker"]
# A parent that starts a worker, hands the pipe on to another process, as careless programs do, and waits.
CARELESS_PARENT = """
import os, subprocess, sys, time
read, write = os.pipe()
worker = subprocess.Popen([*sys.argv[2:]], stdin=read, stdout=subprocess.PIPE, text=True)
heir = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(120)"], pass_fds=[write])
worker.stdout.readline()
print(worker.pid, heir.pid, flush=True)
time.sleep(120)
"""


def is_running(pid: int) -> bool:
    """Whether there is such a process, other than one that has ended and that nobody has asked about."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def test_bytes_that_are_no_text_are_answered_and_the_service_goes_on(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*WORKER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=worker_environment()
    )
    lines = [b'\xff\xfe{"id": 3}', b'{"id": 4, "command": "d\xffnce"}', b'{"id": 5, "command": "shutdown"}']
    # All at once, as from a parent that does not wait: the last line is still answered in its turn.
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(b"\n".join(lines) + b"\n")
        process.stdin.flush()
        events = [json.loads(line) for line in process.stdout]
        assert process.wait(timeout=60) == 0
    finally:
        process.kill()
        process.stdin.close()
        process.stdout.close()
    assert [event["event"] for event in events] == ["ready", "error", "error"]
    assert "not a JSON line" in events[1]["message"]
    assert (events[2]["id"], events[2]["kind"]) == (4, "UsageError")


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
def test_a_worker_ends_when_its_parent_is_killed_although_something_else_holds_the_pipe(tmp_path: Path) -> None:
    scratch = tmp_path / "private"
    scratch.mkdir()
    command = [sys.executable, "-c", CARELESS_PARENT, "-", *WORKER, str(scratch)]
    parent = start_tree(command, worker_environment(), tmp_path)
    assert parent.stdout is not None
    try:
        worker, heir = map(int, parent.stdout.readline().split())
        assert is_running(worker)
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
        assert is_running(heir)
        deadline = time.monotonic() + 30
        while is_running(worker) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not is_running(worker)
        assert is_running(heir)
        assert not scratch.exists()
    finally:
        end_tree(parent)  # with all that it has started
        for stream in (parent.stdin, parent.stdout, parent.stderr):
            if stream is not None:
                stream.close()


def request(folder: Path, voxels: np.ndarray, **more: object) -> dict[str, object]:
    np.save(folder / "in.npy", voxels)
    return {"voxels": str(folder / "in.npy"), "ijk_to_ras": np.eye(4).tolist(), "name": "Scan", **more}


def test_what_the_parent_has_found_out_about_an_image_comes_along(tmp_path: Path) -> None:
    voxels = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    plain = read_volume(request(tmp_path, voxels))
    assert (plain.warnings, plain.measured) == ((), "voxel")
    volume = read_volume(request(tmp_path, voxels, warnings=["two voxels were NaN"], measured="nothing"))
    assert (volume.warnings, volume.measured) == (("two voxels were NaN",), "nothing")
    with pytest.raises(UsageError, match="measured is 'inches'"):
        read_volume(request(tmp_path, voxels, measured="inches"))


def test_voxels_that_are_not_finite_are_mended_or_refused_as_those_of_a_file_are(tmp_path: Path) -> None:
    voxels = np.full((10, 10, 10), 5.0, np.float64)
    voxels[0, 0, 0], voxels[1, 1, 1] = 1e300, 3.0
    volume = read_volume(request(tmp_path, voxels, warnings=["before"]))
    mended = "1 NaN or infinite voxels were replaced by the smallest finite value"
    assert (volume.voxels[0, 0, 0], volume.warnings) == (3.0, ("before", mended))
    voxels[2] = np.nan
    with pytest.raises(InputError, match="NaN or infinite"):
        read_volume(request(tmp_path, voxels))


@pytest.mark.parametrize("voxels", [np.ones((2, 3, 4), np.complex64), np.full((2, 3, 4), "a")], ids=["complex", "text"])
def test_voxels_that_are_no_real_numbers_are_refused(tmp_path: Path, voxels: np.ndarray) -> None:
    with pytest.raises(InputError, match="no real numbers"):
        read_volume(request(tmp_path, voxels))


@pytest.mark.parametrize("matrix", [[], [[1, 2], [3]], "x", None, [[0.0] * 4] * 4])
def test_a_matrix_that_is_none_is_refused(tmp_path: Path, matrix: object) -> None:
    with pytest.raises(InputError, match="matrix is not"):
        read_volume({**request(tmp_path, np.ones((2, 3, 4), np.float32)), "ijk_to_ras": matrix})


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no named pipes")
def test_a_pipe_in_place_of_voxels_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    opened = os.open(tmp_path / "pipe", os.O_RDWR)
    os.write(opened, bytes(1 << 12))
    try:
        with pytest.raises(InputError, match="no such file"):
            read_volume({"voxels": str(tmp_path / "pipe"), "ijk_to_ras": np.eye(4).tolist()})
    finally:
        os.close(opened)


def test_every_odd_request_is_answered() -> None:
    events: list[dict[str, object]] = []
    worker = Worker(events.append)
    for line in ('{"id": 1, "command": ["x"]}', '{"id": 2, "command": {}}', '{"id": 3, "command": null}'):
        assert worker.handle(line)
    assert [(event["id"], event["kind"]) for event in events] == [
        (1, "UsageError"),
        (2, "UsageError"),
        (3, "UsageError"),
    ]


def test_the_private_folder_goes_although_the_worker_works_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch, rmtree = tmp_path / "scratch", shutil.rmtree
    scratch.mkdir()

    def as_on_windows(folder: Path, *, ignore_errors: bool) -> None:
        """There a folder in which a process works cannot be removed."""
        if Path.cwd() != scratch:
            rmtree(folder, ignore_errors=ignore_errors)

    monkeypatch.setattr(request_line.shutil, "rmtree", as_on_windows)
    monkeypatch.chdir(scratch)
    request_line.remove_scratch(scratch)
    assert not scratch.exists()


def test_a_taskkill_that_hangs_or_is_missing_does_not_keep_slicer_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    class Process:
        """A child that ends when it is killed."""

        pid, is_killed = 4711, False

        def poll(self) -> int | None:
            return 0 if self.is_killed else None

        def wait(self, timeout: float) -> int:
            if not self.is_killed:
                raise subprocess.TimeoutExpired("child", timeout)
            return 0

        def kill(self) -> None:
            self.is_killed = True

    def hanging(command: list[str], *, timeout: float, **_options: object) -> None:
        raise subprocess.TimeoutExpired(command, timeout)

    def missing(_command: list[str], **_options: object) -> None:
        raise FileNotFoundError("taskkill")

    monkeypatch.setattr(process_tree.os, "name", "nt")
    monkeypatch.setattr(process_tree.subprocess, "CREATE_NO_WINDOW", 0, raising=False)
    for run in (hanging, missing):
        child = Process()
        monkeypatch.setattr(process_tree.subprocess, "run", run)
        end_tree(child)
        assert child.is_killed


def test_a_worker_that_nobody_listens_to_any_more_ends_and_removes_the_private_folder(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    command = [*WORKER, str(scratch)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env=worker_environment(), **pipes) as process:
        process.stdout.readline()
        process.stdout.close()
        # The requests' pipe stays open.
        process.stdin.write(b'{"id": 1, "command": "dance"}\n')
        process.stdin.flush()
        assert process.wait(60) == 0
        assert b"BrokenPipe" not in process.stderr.read()
    assert not scratch.exists()


def test_when_nobody_has_asked_for_anything_for_a_while_the_worker_lets_go_of_what_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(request_line, "REST_S", 0.01)
    monkeypatch.setattr(request_line, "end", lambda scratch: None)
    rests: list[str] = []

    def slow() -> Iterator[bytes]:
        """A request comes when the worker has rested twice."""
        while len(rests) < 2:
            time.sleep(0.01)
        yield b"shutdown"

    assert next(iter(request_line.requests(slow(), None, os.getppid(), lambda: rests.append("rest")))) == "shutdown"
    machine = TorchMachine()
    machine._sights.keep("image", "key", {0: SliceQueue(False, 1)}, 1.0)
    Worker(lambda event: None, machine).rest()
    assert machine._sights.take("key") == {}


@pytest.mark.parametrize("with_map", [False, True])
@pytest.mark.parametrize("keeps", [False, True])
def test_a_check_tells_whether_labels_are_likely_to_follow(
    with_map: bool, keeps: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    purposes: list[Purpose] = []

    def run(self: Worker, request: object, volume: object, purpose: Purpose, *_: object) -> object:
        """Take note, and go no further."""
        purposes.append(purpose)
        raise InputError("enough")

    monkeypatch.setattr(Worker, "_run", run)
    np.save(tmp_path / "voxels.npy", np.zeros((2, 2, 2), np.float32))
    request = {"id": 1, "command": "check", "voxels": str(tmp_path / "voxels.npy"), "ijk_to_ras": np.eye(4).tolist()}
    Worker(lambda event: None).handle(json.dumps({**request, "map": with_map, "keep": keeps}))
    assert purposes == [Purpose(None, with_map, keeps)]
