"""Batches from processes of their own: whatever goes wrong there is said on one line."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import Dataset

from MultiTaskSegLib.runtime.errors import ResourceError
from trainer.config import TrainingConfig
from trainer.training.batches import ended_processes_told, endless_batches


class Numbers(Dataset[Any]):
    """Item i is i; from some number on a file is gone."""

    def __init__(self, whole: int = 10**9) -> None:
        self.whole = whole

    def __getitem__(self, index: int) -> int:
        if index >= self.whole:
            raise ResourceError("it is gone", file=Path("case"), remedy="Look for it")
        return index


def batches(whole: int, workers: int) -> Any:
    return endless_batches(Numbers(whole), 3, 2, TrainingConfig(workers=workers))


@pytest.mark.parametrize("workers", [0, 1])
def test_they_begin_with_those_of_the_step(workers: int) -> None:
    assert list(islice(batches(10**9, workers), 3)) == [6, 7, 8]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_typed_error_arrives_as_it_was_raised(workers: int) -> None:
    found = batches(7, workers)
    assert next(found) == 6
    with pytest.raises(ResourceError, match=r"^it is gone: case\. Look for it\.$"):
        next(found)


def kill_and_go_on(found: Any) -> None:
    with ended_processes_told():
        assert next(found) == 6
        for process in multiprocessing.active_children():
            process.kill()
        for _ in range(100):
            next(found)


def test_a_process_that_was_killed_is_told_with_what_to_do() -> None:
    with pytest.raises(ResourceError, match=r"has ended \(DataLoader.*memory.*--resume.*workers = 0"):
        kill_and_go_on(batches(10**9, 1))


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(RuntimeError, match="shapes"), ended_processes_told():
        raise RuntimeError("shapes do not fit")
    with pytest.raises(RuntimeError), ended_processes_told():
        torch.zeros(2) @ torch.zeros(3)


KILLED = """
import multiprocessing, sys, time
from Testing.trainer.training.test_batches import batches
if __name__ == "__main__":
    multiprocessing.set_start_method("forkserver")  # as Python 3.14 does
    found = batches(10**9, 2)
    next(found)
    sys.stdout.write(" ".join(str(process.pid) for process in multiprocessing.active_children()) + "\\n")
    sys.stdout.flush()
    time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_processes_of_a_training_that_was_killed_end_whatever_way_python_starts_them(tmp_path: Path) -> None:
    program = tmp_path / "killed.py"
    program.write_text(KILLED, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    with subprocess.Popen(
        [sys.executable, str(program)], stdout=subprocess.PIPE, text=True, env=environment
    ) as training:
        assert training.stdout is not None
        workers = [int(pid) for pid in training.stdout.readline().split()]
        training.send_signal(signal.SIGKILL)
    assert len(workers) == 2
    last = time.monotonic() + 60
    while (left := [pid for pid in workers if Path(f"/proc/{pid}").exists()]) and time.monotonic() < last:
        time.sleep(0.2)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert left == [], "they have outlived their training"
