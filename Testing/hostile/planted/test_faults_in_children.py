"""Every row whose work is done by other processes notices a fault that is planted into these."""

from __future__ import annotations

import gc
import json
import re
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import pytest

from Testing.hostile.campaign.catalogue import TRIALS
from Testing.hostile.campaign.row import memory, soak
from Testing.hostile.campaign.row.sockets import COMPILED
from Testing.hostile.campaign.row_run import tried
from Testing.hostile.campaign.trial import Broken
from Testing.hostile.planted.fault import Fault, in_children, require_noticed

ROWS = ("kill", "memory", "cancel", "together", "soak")
PREDICTOR = "MultiTaskSegLib.runtime.predictor"
NETWORK_PASS = "MultiTaskSegLib.runtime.prediction.network_pass"
ESTIMATE = "MultiTaskSegLib.runtime.hosting.memory_estimate"

# The second half of a model file comes a minute later: a disk that is slow enough to be killed in between.
WRITTEN_IN_PLACE = """
import contextlib, sys, time


def plant(module):
    save_file = module.save_file

    @contextlib.contextmanager
    def straight(path):
        yield path

    def slowly(tensors, path, metadata):
        save_file(tensors, path, metadata)
        content = path.read_bytes()
        with path.open("wb") as stream:
            stream.write(content[: len(content) // 2])
            stream.flush()
            sys.modules["__main__"].say_begun()
            time.sleep(60)
            stream.write(content[len(content) // 2 :])

    module.atomic_path, module.save_file = straight, slowly
"""
SEED_FROM_THE_CLOCK = """
import dataclasses, time


def plant(module):
    import numpy

    segment = module.Predictor.segment

    def by_chance(self, volume, *of, **how):
        noise = numpy.random.default_rng(time.time_ns()).normal(0, 60, volume.voxels.shape).astype("f4")
        return segment(self, dataclasses.replace(volume, voxels=volume.voxels + noise), *of, **how)

    module.Predictor.segment = by_chance
"""
KEPT = """
kept = []


def plant(module):
    segment = module.Predictor.segment

    def keeping(self, volume, *of, **how):
        kept.append({what})
        return segment(self, volume, *of, **how)

    module.Predictor.segment = keeping
"""
HELPER_OUTLIVES = """
import subprocess, sys

none = subprocess.DEVNULL


def plant(module):
    words = ["-S", "-c", "import time; time.sleep(20)"]
    subprocess.Popen([sys.executable, *words], stdin=none, stdout=none, stderr=none, start_new_session=True)
"""
TOLD_HALF = """
def plant(module):
    host_bytes = module.MemoryEstimate.host_bytes
    module.MemoryEstimate.host_bytes = lambda self, is_on_host: host_bytes(self, is_on_host) // 2
"""
WITH_TELEMETRY = """
import importlib


def plant(module):
    module.quiet_openvino = lambda: importlib.import_module("openvino")
"""
DIES_OF_SOMETHING_ELSE = """
import os, sys


def plant(module):
    def dies(self, *of, **how):
        sys.stderr.write("KeyError: 'spacing'\\n")
        sys.stderr.flush()
        os._exit(1)

    module.NetworkPass.encode = dies
"""
ALL_AT_ONCE = """
def plant(module):
    module.RunMemory.steps = property(lambda self: 1)
"""

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


def test_a_file_that_is_written_in_place_is_noticed_when_the_writer_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant = in_children("MultiTaskSegLib.runtime.model.data_file", WRITTEN_IN_PLACE, tmp_path / "plant")
    fault = Fault("written in place", "kill", "saving #1", "ModelError", plant)
    require_noticed(fault, tmp_path, monkeypatch)


def test_a_seed_from_the_clock_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant = in_children(PREDICTOR, SEED_FROM_THE_CLOCK, tmp_path / "plant")
    fault = Fault("a seed from the clock", "together", "1 at once, 1 threads #0", "other voxels", plant)
    require_noticed(fault, tmp_path, monkeypatch)


@pytest.mark.parametrize(("what", "says"), [("b'x' * 25_000_000", "memory grew"), ("open('/dev/null')", "open files")])
def test_what_a_worker_keeps_of_every_run_is_noticed(
    what: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant = in_children(PREDICTOR, KEPT.format(what=what), tmp_path / "plant")

    def leaking(patch: pytest.MonkeyPatch) -> None:
        """So few runs would else not be judged by their memory."""
        patch.setattr(soak, "RUNS", 8)
        plant(patch)

    monkeypatch.setitem(TRIALS, "soak", replace(soak.SOAK, names=("segment, 8",)))
    require_noticed(Fault("a leak", "soak", "segment, 8", says, leaking), tmp_path, monkeypatch)


def test_a_process_that_outlives_a_cancelled_run_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places_known(tmp_path)
    plant = in_children("MultiTaskSegLib.runtime.worker", HELPER_OUTLIVES, tmp_path / "plant")
    fault = Fault("a helper outlives", "cancel", "segment at 1", "a process is left", plant)
    require_noticed(fault, tmp_path, monkeypatch)


def test_files_that_outlive_a_cancelled_run_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places_known(tmp_path)

    def keeping(patch: pytest.MonkeyPatch) -> None:
        """The folder of the worker stays."""
        patch.setattr("MultiTaskSegLib.worker_process.WorkerProcess.end", ended_without_cleaning)

    require_noticed(Fault("files stay", "cancel", "segment at 0", "files are left", keeping), tmp_path, monkeypatch)
    # Its pipes stay open, too: they are collected here, and not in another test.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def test_a_library_that_reports_its_use_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant = in_children("MultiTaskSegLib.runtime.network.quiet_openvino", WITH_TELEMETRY, tmp_path / "plant")
    fault = Fault("telemetry", "sockets", COMPILED, "started something", plant)
    require_noticed(fault, tmp_path, monkeypatch)


def test_an_estimate_of_half_the_peak_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant = in_children(ESTIMATE, TOLD_HALF, tmp_path / "plant")
    # That the case holds without it is not asked here: beside other tests a peak may lie a little above what is told.
    plant(monkeypatch)
    found = tried(TRIALS["memory"], f"estimate: {memory.ESTIMATES[0]}", tmp_path)
    if found["absent"]:
        pytest.skip(str(found["absent"]))
    told = re.fullmatch(r"Broken: told (\d+) MB, took (\d+) MB", str(found["failure"]))
    assert told is not None
    assert int(told[1]) < 0.8 * int(told[2])


def test_a_run_that_is_not_tried_in_smaller_parts_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant = in_children(ESTIMATE, ALL_AT_ONCE, tmp_path / "plant")
    says = "refused, although smaller parts fit"
    require_noticed(Fault("all at once", "memory", "smaller parts of 48", says, plant), tmp_path, monkeypatch)


def test_a_worker_that_dies_of_something_else_than_memory_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant = in_children(NETWORK_PASS, DIES_OF_SOMETHING_ELSE, tmp_path / "plant")
    fault = Fault("dies", "memory", "cap of 1280 MB on 48", "says .*KeyError: 'spacing'", plant)
    require_noticed(fault, tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("tried", "is_told", "says"),
    [
        ("pass 3\ntried\n", True, "1 of 3 sizes"),
        ("pass 1\ntried\nenough\npass 3\ntried\ntried\n", True, "2 of 3 sizes"),
        ("pass 3\ntried\ntried\nenough\n", False, "nobody is told"),
    ],
)
def test_a_pass_that_gives_up_early_or_says_nothing_is_noticed(tried: str, is_told: bool, says: str) -> None:
    with pytest.raises(Broken, match=says):
        memory.require_stepped_down(tried, is_told=is_told)


def test_a_pass_that_tries_all_or_finds_enough_holds() -> None:
    memory.require_stepped_down("pass 2\ntried\ntried\n", is_told=True)
    memory.require_stepped_down("pass 3\ntried\nenough\n", is_told=False)
    memory.require_stepped_down("pass 3\ntried\ntried\nenough\n", is_told=True)
    memory.require_stepped_down("", is_told=False)


def ended_without_cleaning(self: object) -> None:
    """The process is ended, and nothing else."""
    from MultiTaskSegLib.process_tree import end_tree

    end_tree(self.process)  # type: ignore[attr-defined]


def places_known(grounds: Path) -> None:
    """The places at which the row cancels, so that they need not be traced first."""
    kept = grounds / "kept"
    kept.mkdir()
    (kept / "segment.json").write_text(json.dumps([[1, "worker.handle"]] * 20), encoding="utf-8")
