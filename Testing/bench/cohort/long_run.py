"""Many small volumes to the end: what a case costs besides its segmentation, and whether memory grows."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from MultiTaskSegLib.cohort.result.results import all_results
from MultiTaskSegLib.runtime.image.image_file import read_image
from MultiTaskSegLib.runtime.predictor import Predictor
from Testing.bench.cohort.cohort_call import Place, cpu_s, resident_mb, seconds_between, workers_of, write_images

EVERY_S = 1.0
KEPT = 200  # samples of memory that are published
ALONE = 200  # volumes that are checked without a cohort


def long_run(folder: Path, model: Path, count: int) -> dict[str, Any]:
    """Check so many volumes with one worker, from nothing to the end.

    Returns:
        ``cases``, ``done``; wall seconds ``begin_s`` (to the first case), ``cases_s`` (from it to the last),
        ``sum_up_s`` (tables and page), ``again_s`` (a call with nothing left to do); ``driver_cpu_s``; bytes and files
        of the results and of the images; ``memory``.
    """
    place = Place(model, folder / f"images{count}", folder / f"out{count}")
    write_images(place.images, count)
    shutil.rmtree(place.output, ignore_errors=True)
    began_s = time.monotonic()
    samples, driver_cpu = _watched(place)
    wall_s = time.monotonic() - began_s
    done, (end,) = place.events("done"), place.events("ended")
    again_s = time.monotonic()
    place.begin().wait()
    files = [path for path in place.output.rglob("*") if path.is_file()]
    return {
        "cases": count,
        "done": len(all_results(place.output)),
        "wall_s": wall_s,
        "cases_s": seconds_between(done[0], done[-1]),
        "begin_s": seconds_between(place.events("begun")[0], done[0]),
        "sum_up_s": seconds_between(done[-1], end),
        "again_s": time.monotonic() - again_s,
        "driver_cpu_s": driver_cpu,
        "result_bytes": sum(path.stat().st_size for path in files),
        "result_files": len(files),
        "image_bytes": sum(path.stat().st_size for path in place.images.iterdir()),
        "memory": memory_growth(samples),
    }


def _watched(place: Place) -> tuple[list[tuple[int, float, float]], float]:
    """Results so far, MB of the driver and MB of the worker at each second; processor seconds of the driver."""
    run, samples, driver_cpu = place.begin(), [], 0.0
    journal = place.output / "cohort.log.jsonl"
    while run.poll() is None:
        time.sleep(EVERY_S)
        driver, workers = resident_mb(run.pid), [resident_mb(worker) for worker in workers_of(run.pid)]
        driver_cpu = cpu_s(run.pid) or driver_cpu
        if driver and workers and workers[0] and journal.exists():
            samples.append((max(0, journal.read_bytes().count(b"\n") - 1), driver, workers[0]))
    return samples, driver_cpu


def memory_growth(samples: Sequence[tuple[int, float, float]]) -> dict[str, Any]:
    """Slopes in bytes for each case over the second half, when everything that is loaded once has been.

    >>> memory_growth([(k, 100 + k / 1024, 300.0) for k in range(100)])["driver_bytes_per_case"]
    1024
    """
    late = np.asarray(samples[len(samples) // 2 :], dtype=np.float64)
    if len(late) < 3 or np.ptp(late[:, 0]) == 0:
        return {"samples": len(samples)}
    driver, worker = (round(float(np.polyfit(late[:, 0], late[:, k], 1)[0]) * (1 << 20)) for k in (1, 2))
    step = max(1, len(samples) // KEPT)
    return {
        "samples": len(samples),
        "driver_bytes_per_case": driver,
        "worker_bytes_per_case": worker,
        "driver_mb": round(float(late[:, 1].max()), 1),
        "worker_mb": round(float(late[:, 2].max()), 1),
        "series": [[case, round(mine, 1), round(theirs, 1)] for case, mine, theirs in samples[::step]],
    }


def alone_s(folder: Path, model: Path) -> float:
    """Seconds of one volume that is read and checked without a cohort."""
    images = folder / "images_alone"
    write_images(images, ALONE)
    predictor = Predictor.load(model)
    files = sorted(images.iterdir())
    predictor.check(read_image(files[0]))
    began_s = time.monotonic()
    for file in files:
        predictor.check(read_image(file))
    return (time.monotonic() - began_s) / len(files)
