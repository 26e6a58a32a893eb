"""The worker beside its answers: progress is told often and not too often, and idle memory goes back to the system."""

from __future__ import annotations

import json
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from MultiTaskSegLib.runtime.hosting.run_plan import RunPlan
from MultiTaskSegLib.runtime.worker import ProgressEvents, Worker
from MultiTaskSegLib.worker_process import worker_environment

COUNT_RELEASES = """
import sys
from MultiTaskSegLib.runtime import worker
worker.release_freed_memory = lambda: print("released", file=sys.stderr)
worker.Worker.handle = lambda self, line: print("answered", file=sys.stderr) or "shutdown" not in line
sys.exit(worker.main([]))
"""


class Clock:
    """Time that passes only when it is told to."""

    def __init__(self) -> None:
        self.now_s = 50.0

    def __call__(self) -> float:
        return self.now_s


def told(steps: list[tuple[float, float, str]]) -> list[dict]:
    """The events of ``(seconds, fraction, step)`` calls."""
    clock, events = Clock(), []
    progress = ProgressEvents(events.append, clock)
    for seconds, fraction, step in steps:
        clock.now_s = 50.0 + seconds
        progress(fraction, step)
    return events


def test_a_step_is_told_again_after_a_tenth_of_a_second_and_not_before():
    assert [event["fraction"] for event in told([(0, 0.1, "network"), (0.099, 0.2, "network")])] == [0.1]
    assert [event["fraction"] for event in told([(0, 0.1, "network"), (0.101, 0.2, "network")])] == [0.1, 0.2]


def test_a_long_step_is_told_ten_times_a_second_counted_from_the_last_time():
    # 0.08 s apart, so every second call is told.
    events = told([(0.08 * number, 0.01 * number, "network") for number in range(50)])
    assert [event["fraction"] for event in events] == pytest.approx([0.02 * number for number in range(25)])


def test_the_time_left_starts_anew_when_the_work_does():
    clock, events = Clock(), []
    progress = ProgressEvents(events.append, clock)
    progress(0.0, "model")
    clock.now_s += 60.0
    progress.go_on("on the CPU")
    clock.now_s += 3.0
    progress(0.5, "network")
    assert [event["step"] for event in events] == ["model", "model, on the CPU", "network, on the CPU"]
    assert events[-1]["eta_s"] == pytest.approx(3.0)


def test_idle_memory_goes_back_to_the_system_after_every_request():
    command = [sys.executable, "-c", COUNT_RELEASES]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, env=worker_environment(), **pipes) as process:
        # The pipe stays open: a worker whose parent is gone ends at once.
        process.stdin.write('{"command": "info"}\n{"command": "info"}\n{"command": "shutdown"}\n')
        process.stdin.flush()
        said = process.stderr.read().split()
    assert said == ["answered", "released", "answered", "released", "answered"]


class MachineStandIn:
    """Remembers which device was wanted; every plan says something."""

    def __init__(self) -> None:
        self.wanted: list[str] = []
        self.loaded: list[tuple] = []

    def models(self):
        return []

    def device(self, wanted):
        self.wanted.append(wanted)
        return wanted

    def load(self, *key):
        self.loaded.append(key)
        return types.SimpleNamespace(
            check=lambda volume, progress: types.SimpleNamespace(
                as_dict=dict, explanation=None, network_grid=None, warnings=volume.warnings
            ),
            manifest=types.SimpleNamespace(name="stand-in", tasks=[]),
            model=types.SimpleNamespace(digest="ab12"),
        )

    def plan(self, predictor, volume, task, device):
        return RunPlan(device, 8, ("it was done in parts",))

    def release(self):
        """Nothing is held."""


def served(line: dict) -> tuple[dict, MachineStandIn]:
    events: list[dict] = []
    machine = MachineStandIn()
    assert Worker(events.append, machine).handle(json.dumps(line))
    return events[-1], machine


def test_a_check_reports_what_was_mended_and_what_was_done_differently(tmp_path: Path):
    voxels = np.random.default_rng(1).normal(size=(12, 13, 14)).astype(np.float32)
    voxels[3, 4, 5] = np.nan
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(voxels), str(tmp_path / "a.nrrd"))
    event, machine = served({"id": 1, "command": "check", "image": str(tmp_path / "a.nrrd"), "device": "cuda:1"})
    mended = "1 NaN or infinite voxels were replaced by the smallest finite value"
    assert event["report"]["warnings"] == [mended, "it was done in parts"]
    assert machine.wanted == ["cuda:1"]


@pytest.mark.parametrize("planar", [True, False])
def test_info_asks_for_the_default_model_of_the_right_kind(planar: bool):
    _, machine = served({"id": 1, "command": "info", "planar": planar})
    assert machine.loaded == [(None, "auto", planar)]
