"""The whole command through Ray: a worker is killed in the middle, an image is broken, the next call does the rest."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import socket
import sys
import time
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from MultiTaskSegLib.cohort import cli as cohort_cli
from MultiTaskSegLib.cohort.case_worker import CohortJob
from MultiTaskSegLib.cohort.ray_pool import RAY_STATISTICS, RayPool
from MultiTaskSegLib.cohort.result.journal import entries
from MultiTaskSegLib.cohort.result.settings import CHECK, CohortSettings
from MultiTaskSegLib.cohort.source.case import Case
from MultiTaskSegLib.runtime import cli
from MultiTaskSegLib.runtime.errors import ResourceError
from Testing.runtime.tiny_model import write_tiny_model

JOB = CohortJob(CohortSettings(CHECK, "tiny", "0" * 64), Path("model"), Path("output"))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A model and a folder of three images and a broken one."""
    write_tiny_model(tmp_path / "tiny.mts.safetensors")
    (tmp_path / "images").mkdir()
    for number in range(3):
        voxels = np.random.default_rng(number).normal(200, 40, (8, 9, 10)).astype(np.float32)
        sitk.WriteImage(sitk.GetImageFromArray(voxels), str(tmp_path / "images" / f"scan{number}.nii.gz"))
    (tmp_path / "images" / "broken.nii.gz").write_bytes(b"no image")
    return tmp_path


def words(place: Path, *more: str) -> list[str]:
    given = [str(place / "images"), "-m", str(place / "tiny.mts.safetensors"), "-o", str(place / "out"), "--cpus", "1"]
    return ["cohort", "check", *given, "--device", "cpu", "--retries", "1", *more]


class DeadlyPool(RayPool):
    """Kills the process of the first worker right after it was given its first case."""

    killed = 0

    def hand(self, worker: int, case: Case, attempt: int) -> None:
        if DeadlyPool.killed:
            super().hand(worker, case, attempt)
            return
        DeadlyPool.killed = self._ray.get(self._actors[worker].__ray_call__.remote(lambda _: os.getpid()))
        # Else a broken image may be answered before the kill.
        self._ray_sleep = self._actors[worker].__ray_call__.remote(lambda _: time.sleep(60))
        super().hand(worker, case, attempt)
        os.kill(DeadlyPool.killed, signal.SIGKILL)


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")
@pytest.mark.skipif(importlib.util.find_spec("pyarrow") is None, reason="pyarrow is not installed")
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no signals that ask a process to end")
def test_a_killed_worker_and_a_broken_image_cost_no_other_case_and_nothing_is_done_twice(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(cohort_cli, "RayPool", DeadlyPool)
    monkeypatch.setenv("RAY_worker_niceness", "0")  # Ray's own 15 lets workers wait for minutes on a busy machine
    assert cli.main(words(place, "--json")) == 4
    said = capsys.readouterr()
    assert said.out, said.err
    told = json.loads(said.out)
    assert (told["cases"], told["done"], told["failed"], told["pending"]) == (4, 3, 1, 0)
    assert DeadlyPool.killed
    tries = [entry for entry in entries(place / "out") if entry["event"] == "tried"]
    # The first case is the broken one: its first attempt died with the worker.
    assert "the worker ended in the middle of it" in tries[0]["reason"]
    (failed,) = [entry for entry in entries(place / "out") if entry["event"] == "failed"]
    assert (failed["case"], failed["attempts"]) == ("broken.nii.gz", 2)
    before = {path: path.stat().st_mtime_ns for path in (place / "out" / "cases").rglob("*")}
    shutil.copy(place / "images" / "scan0.nii.gz", place / "images" / "broken.nii.gz")

    # Nothing is left to do for Ray but the one image that was mended.
    assert cli.main(words(place)) == 0
    assert "4 of 4 cases are done, 0 failed" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in before} == before
    done = [entry["case"] for entry in entries(place / "out") if entry["event"] == "done"]
    assert sorted(done) == ["broken.nii.gz", "scan0.nii.gz", "scan1.nii.gz", "scan2.nii.gz"]

    # Now nothing is left, and other settings are refused before anything starts.
    monkeypatch.setattr(cohort_cli, "RayPool", None)
    assert cli.main(words(place)) == 0
    assert cli.main(["cohort", "segment", *words(place)[2:]]) == 2
    assert "holds results of another run: command 'check', not 'segment'" in capsys.readouterr().err


def pretended(monkeypatch: pytest.MonkeyPatch, **named: Any) -> None:
    """A Ray that does as it is told."""
    module = types.ModuleType("ray")
    for name, value in named.items():
        setattr(module, name, value)
    monkeypatch.setitem(sys.modules, "ray", module)


def test_a_wrong_address_is_told_in_words(monkeypatch: pytest.MonkeyPatch):
    def init(**options: Any) -> None:
        raise ConnectionError(f"nobody\nat {options['address']}")

    pretended(monkeypatch, init=init, shutdown=lambda: None)
    with pytest.raises(ResourceError, match=r"no Ray cluster at host:1 \(nobody at host:1\).*--address"):
        RayPool(JOB, 1, "host:1")


def test_a_ray_that_takes_too_long_is_started_once_more_and_then_told_in_words(monkeypatch: pytest.MonkeyPatch):
    starts: list[str] = []

    def init(**options: Any) -> None:
        starts.append(options["address"])
        raise Exception("The current node timed out during startup.")  # as Ray does it

    pretended(monkeypatch, init=init, shutdown=lambda: None)
    with pytest.raises(ResourceError, match=r"Ray cannot be started \(The current node timed out during startup"):
        RayPool(JOB, 1)
    assert starts == ["local", "local"]


def test_a_ray_that_is_started_here_sends_no_statistics_and_has_room_for_every_worker(monkeypatch: pytest.MonkeyPatch):
    found: dict[str, Any] = {}

    def init(**options: Any) -> None:
        found.update(options, statistics=os.environ.get(RAY_STATISTICS))

    pretended(monkeypatch, init=init, remote=lambda **_: lambda actor: actor)
    monkeypatch.setenv(RAY_STATISTICS, "1")
    RayPool(JOB, 3, cpus=1.5)
    assert (found["address"], found["num_cpus"], found["statistics"]) == ("local", 5, "0")


class Clock:
    """Seconds that are set."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Starting:
    """A Ray in which calls end when it is told so, and whose head listens while it is ``listening``."""

    def __init__(self) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.head = f"127.0.0.1:{self.listening.getsockname()[1]}"
        self.killed: list[Any] = []
        self.ended: list[str] = []
        self.answer: Any = ""
        self.exceptions = types.SimpleNamespace(RayError=RuntimeError)

    def named(self) -> dict[str, Any]:
        call = types.SimpleNamespace(remote=lambda *_: "call")
        actor = types.SimpleNamespace(open=call, run=call)
        made = types.SimpleNamespace(remote=lambda *_: actor)
        return {
            "init": lambda **_: None, "remote": lambda **_: lambda _: made, "wait": self.wait, "get": self.get,
            "kill": self.killed.append, "exceptions": self.exceptions, "shutdown": lambda: None,
            "get_runtime_context": lambda: types.SimpleNamespace(gcs_address=self.head),
        }  # fmt: skip

    def wait(self, *_: Any, **__: Any) -> tuple[list[str], list[str]]:
        ended, self.ended = self.ended, []
        return ended, []

    def get(self, _: str) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def ray() -> Iterator[Starting]:
    """One whose head listens, unless the test ends that."""
    made = Starting()
    yield made
    made.listening.close()


def test_workers_that_never_come_are_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch, ray: Starting):
    clock = Clock()
    pretended(monkeypatch, **ray.named())
    pool = RayPool(JOB, 1, "auto", clock=clock)
    pool.start(0)
    clock.now_s = 600.0
    assert pool.wait() == []
    clock.now_s = 601.0
    with pytest.raises(ResourceError, match="no worker could be started within 600 s: each takes 1 processors"):
        pool.wait()


def test_nor_are_those_that_should_follow_the_last_one_that_died(monkeypatch: pytest.MonkeyPatch, ray: Starting):
    clock = Clock()
    pretended(monkeypatch, **ray.named())
    pool = RayPool(JOB, 1, "auto", clock=clock)
    pool.start(0)
    ray.ended = ["call"]
    assert [event.refusal for event in pool.wait()] == [""]
    pool.hand(0, Case("a", Path("a")), 1)
    clock.now_s = 5000.0  # a case may take long: there is a worker
    assert pool.wait() == []
    ray.ended, ray.answer = ["call"], RuntimeError("its machine is lost")
    assert [event.death for event in pool.wait()] == ["its machine is lost"]
    pool.start(1)
    clock.now_s = 5601.0
    with pytest.raises(ResourceError, match="no worker could be started within 600 s"):
        pool.wait()


def test_a_head_that_is_gone_ends_the_run_in_words_before_ray_ends_it_without_any(
    monkeypatch: pytest.MonkeyPatch, ray: Starting
):
    clock = Clock()
    pretended(monkeypatch, **ray.named())
    pool = RayPool(JOB, 1, "auto", clock=clock)
    pool.start(0)
    for clock.now_s in (10.0, 400.0):
        assert pool.wait() == []
    ray.listening.close()
    for clock.now_s in (500.0, 525.0):  # however long this program has paused itself, it may be started again
        assert pool.wait() == []
    clock.now_s = 530.0
    with pytest.raises(ResourceError, match=r"head of the Ray cluster at 127.0.0.1:\d+ has not answered for 30 s"):
        pool.wait()
    pool.stop()
    assert not ray.killed, "Ray would wait for a head that says that they are ended"


def test_graphics_cards_that_this_machine_has_not_are_not_waited_for(monkeypatch: pytest.MonkeyPatch, ray: Starting):
    ended: list[bool] = []
    named = {**ray.named(), "cluster_resources": lambda: {"GPU": 1.0}, "shutdown": lambda: ended.append(True)}
    pretended(monkeypatch, **named)
    with pytest.raises(ResourceError, match="the workers take 2 graphics cards, and this machine has 1"):
        RayPool(JOB, 2, gpus=1.0)
    assert ended
    RayPool(JOB, 2, gpus=0.5)
    RayPool(JOB, 2, "auto", gpus=1.0)  # a cluster may grow


def test_without_the_packages_of_the_extra_nothing_begins(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr("MultiTaskSegLib.cohort.ray_pool.find_spec", lambda name: None)
    assert cli.main(words(place)) == 2
    assert (
        "cohorts need ray and pyarrow, not installed here. Run 'pip install \".[cluster]\"'" in capsys.readouterr().err
    )
    assert not (place / "out").exists()
