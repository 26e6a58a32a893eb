"""One worker against two on the same volumes; each takes one core, so that there must be two that nobody else uses."""

from __future__ import annotations

import shutil
import statistics
from pathlib import Path
from typing import Any

from MultiTaskSegLib.cohort.result.results import all_results
from Testing.bench.cohort.cohort_call import Place, seconds_between, write_images
from Testing.bench.untrained_model import write_untrained_model

SHAPE_ZYX = (64, 96, 96)
CLASSES = 5


def workers_compared(folder: Path, cases: int, rounds: int) -> dict[str, Any]:
    """Cases for each second between the first and the last one, in turns; ``ratio`` is of the medians."""
    model = folder / "network.mts.safetensors"
    if not model.exists():
        write_untrained_model(model, CLASSES)
    place = Place(model, folder / "images_of_size", folder / "out_compared")
    write_images(place.images, cases, SHAPE_ZYX)
    found: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(rounds):
        for workers, rates in found.items():
            shutil.rmtree(place.output, ignore_errors=True)
            place.begin(workers, "segment").wait()
            done = place.events("done")
            # The first case of each worker is the end of its start.
            rates.append((len(done) - workers) / max(1.0, seconds_between(done[workers - 1], done[-1])))
    records = all_results(place.output)
    medians = {workers: statistics.median(rates) for workers, rates in found.items()}
    sizes = [path.stat().st_size for path in place.output.glob("cases/*/*")]
    return {
        "shape_zyx": list(SHAPE_ZYX),
        "cases": cases,
        "cases_per_s": {str(workers): rates for workers, rates in found.items()},
        "ratio": medians[2] / medians[1],
        "scan_s": 1 / medians[1],
        "seconds_of_a_case": statistics.median(record.seconds or 0.0 for record in records),
        "result_bytes": sum(sizes) / len(records),
    }
