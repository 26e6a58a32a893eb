"""Workers and drivers that are killed at random moments: is every case done in the end, once, as without kills?"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from MultiTaskSegLib.cohort.result.case_record import DONE, RECORD_FILE
from MultiTaskSegLib.cohort.result.results import all_results
from Testing.bench.cohort.cohort_call import Place, end_all, ended, processes_of, workers_of, write_images

CASES = 60
DRIVER_SHARE = 0.3  # of the kills
LONGEST_S = 3.0  # between two kills
RUN_LIMIT_S = 1800.0
FAREWELL_S = 90.0  # in which what a killed driver had started should end; Ray's own take a minute


def killed_cohort(folder: Path, model: Path, seed: int, kills: int) -> dict[str, Any]:
    """One cohort from its beginning to its end, with at most so many kills.

    Returns:
        ``worker_kills``, ``driver_kills``, ``lost`` (cases that are not done), ``doubled`` (rows more than cases),
        ``changed`` (results that were there at a kill and are others at the end), ``different`` (scores that are not
        those of a run without kills), ``left_over`` (processes of a killed driver that had to be ended).
    """
    generator = np.random.default_rng(seed)
    place = Place(model, folder / "images", folder / f"out{seed}")
    write_images(place.images, CASES)
    shutil.rmtree(place.output, ignore_errors=True)
    counts = {"worker_kills": 0, "driver_kills": 0, "left_over": 0}
    seen: dict[str, tuple[int, int]] = {}
    while counts["worker_kills"] + counts["driver_kills"] < kills:
        run = place.begin(workers=2)
        if _killed_at_random(run, place, generator, counts, kills, seen):
            break
    final = place.begin(workers=2)
    if not ended(final, RUN_LIMIT_S):
        end_all(processes_of(final.pid))
    return {"seed": seed, "cases": CASES, "farewell_s": FAREWELL_S, **counts, **_faults(place, seen, folder / "whole")}


def _killed_at_random(
    run: subprocess.Popen[bytes], place: Place, generator: np.random.Generator, counts: dict[str, int], kills: int,
    seen: dict[str, tuple[int, int]],
) -> bool:  # fmt: skip
    """Kill until the run ends; whether it ended by itself."""
    while counts["worker_kills"] + counts["driver_kills"] < kills:
        while run.poll() is None and not workers_of(run.pid):
            time.sleep(0.1)
        if ended(run, generator.uniform(0, LONGEST_S)):
            return True
        workers, before = workers_of(run.pid), processes_of(run.pid)
        if generator.uniform() < DRIVER_SHARE:
            seen.update(marks_of(place))
            run.send_signal(signal.SIGKILL)
            run.wait()
            counts["driver_kills"] += 1
            time.sleep(FAREWELL_S)
            counts["left_over"] += end_all(before)
            return False
        if workers:
            seen.update(marks_of(place))
            with suppress(ProcessLookupError):
                os.kill(int(generator.choice(workers)), signal.SIGKILL)
                counts["worker_kills"] += 1
    return ended(run, RUN_LIMIT_S)


def marks_of(place: Place) -> dict[str, tuple[int, int]]:
    """By its folder, what tells a result from one that was written again."""
    found = {}
    for record in place.output.glob(f"cases/[!.]*/{RECORD_FILE}"):
        with suppress(OSError):
            state = record.stat()
            found[record.parent.name] = (state.st_ino, state.st_mtime_ns)
    return found


def _faults(place: Place, seen: dict[str, tuple[int, int]], whole: Path) -> dict[str, int]:
    records = all_results(place.output)
    names = [record.case for record in records]
    marks = marks_of(place)
    table = (place.output / "cohort.csv").read_text("utf-8-sig").splitlines()[1:]
    expected = scores_without_kills(Place(place.model, place.images, whole))
    return {
        "lost": CASES - sum(record.status == DONE for record in records),
        "doubled": len(names) - len(set(names)) + len(table) - CASES,
        "changed": sum(marks.get(name) != mark for name, mark in seen.items()),
        "different": sum(expected[record.case] != record.score for record in records),
    }


def scores_without_kills(place: Place) -> dict[str, float | None]:
    """By case, the scores of a run without kills; kept beside its results."""
    file = place.output / "scores.json"
    if not file.exists():
        if not ended(run := place.begin(), RUN_LIMIT_S):
            end_all(processes_of(run.pid))
        file.write_text(json.dumps({record.case: record.score for record in all_results(place.output)}))
    found: dict[str, float | None] = json.loads(file.read_text())
    return found
