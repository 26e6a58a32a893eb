"""Cancelling a real run at twenty places from start-up to writing: nothing stays, and the next run works."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from MultiTaskSegLib.job import Job, JobRunner
from MultiTaskSegLib.runtime.errors import Cancelled
from MultiTaskSegLib.runtime.image.volume import Volume
from Testing.runtime.tiny_model import write_tiny_model

HALTING_WORKER = str(Path(__file__).resolve().parents[1].joinpath("halting_worker.py"))
FIRST_OF_RUN = "predictor.segment"
START_PLACES, RUN_PLACES = 9, 10  # and the very start makes twenty

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


@pytest.fixture
def scratch(tmp_path, monkeypatch) -> Path:
    """Where all temporary files go."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


class HaltingRuns:
    """Starts runs whose worker hangs where it is told."""

    def __init__(self, folder: Path, model: Path) -> None:
        self._folder, self._model = folder, model
        self.orders, self.mark = folder / "orders.json", folder / "reached"
        self.runner = JobRunner([sys.executable, HALTING_WORKER, str(self.orders)])
        self.order()

    def order(self, **orders: object) -> None:
        """What the next worker has to do."""
        self.mark.unlink(missing_ok=True)
        self.orders.write_text(json.dumps({"mark": str(self.mark), **orders}))

    def start(self) -> Job:
        """Start to segment a small image."""
        voxels = np.random.default_rng(11).normal(100.0, 30.0, (14, 18, 22)).astype(np.float32)
        image = Volume(voxels, np.diag([2.0, 2.0, 2.0, 1.0]), name="noise")
        return self.runner.segment(image, model=self._model, device="cpu")

    def trace(self) -> list[tuple[int, str]]:
        """Functions in the order of their first call, with the request's number, over two runs."""
        trace = self._folder / "trace.json"
        self.order(trace=str(trace))
        for _ in range(2):
            self.start().wait(120)
        self.runner.close()
        return [(number, name) for number, name in json.loads(trace.read_text())]

    def wait_for_mark(self) -> None:
        """Until the worker hangs."""
        deadline = time.monotonic() + 120
        while not self.mark.exists():
            assert time.monotonic() < deadline, "the place was not reached"
            assert self.runner._worker.is_alive, self.runner._worker.death_notice()
            time.sleep(0.01)


@pytest.fixture
def runs(tmp_path, scratch) -> Iterator[HaltingRuns]:
    made = HaltingRuns(tmp_path, write_tiny_model(tmp_path / "tiny.mts.safetensors"))
    yield made
    made.runner.close()


def evenly(calls: list[tuple[int, str]], count: int) -> list[tuple[int, str]]:
    """``count`` of them, first and last included."""
    return [calls[round(i)] for i in np.linspace(0, len(calls) - 1, count)]


def processes_in(folder: Path) -> list[int]:
    """Running processes that were started there or work there."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
            if state != "Z" and os.readlink(entry / "cwd").startswith(str(folder)):
                found.append(int(entry.name))
        except OSError:
            continue  # it has ended meanwhile, or is somebody else's
    return found


def places_of(calls: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """Twenty: before anything is imported, while torch and the model are loaded, and in a run with both there."""
    cold = [call for call in calls if call[0] < 2]
    warm = [call for call in calls if call[0] == 2]
    start = cold[: cold.index((1, FIRST_OF_RUN))]
    run = warm[warm.index((2, FIRST_OF_RUN)) :]
    return [(0, "start"), *evenly(start, START_PLACES), *evenly(run, RUN_PLACES)]


def test_cancelling_at_twenty_places_leaves_nothing_and_the_next_run_works(runs, scratch):
    places = places_of(runs.trace())
    assert len(set(places)) == 20
    # Start and run in turn: each place of a run comes after a run that works, in the same worker.
    for request, name in (place for pair in zip(places[:10], places[10:], strict=True) for place in pair):
        runs.order(halt_at=name, request=request)
        if request == 2:
            assert runs.start().wait(120).labels is not None, name
        job = runs.start()
        assert processes_in(scratch)
        runs.wait_for_mark()
        job.cancel()
        assert processes_in(scratch) == [], name
        assert list(scratch.iterdir()) == [], name
        with pytest.raises(Cancelled):
            job.result()
    runs.order()
    assert runs.start().wait(120).labels is not None
