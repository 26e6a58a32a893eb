"""Corrupt files among many volumes: is all the rest done, is each told with its reason, and tried alone next time?"""

from __future__ import annotations

import csv
import os
import shutil
import time
from pathlib import Path
from typing import Any

from MultiTaskSegLib.cohort.result.case_record import DONE, FAILED
from MultiTaskSegLib.cohort.result.results import all_results
from Testing.bench.cohort.cohort_call import Place, write_images
from Testing.bench.cohort.random_kills import marks_of

RETRIES = 2
TRUNCATED, NO_IMAGE = "truncated.nii.gz", "no_image.nii.gz"


def corrupt_among(folder: Path, model: Path, count: int) -> dict[str, Any]:
    """Check so many files with one worker, two of which are corrupt: a gzip file that ends early, and no image.

    Returns:
        ``cases``, ``done``, ``exit``, ``wall_s`` of the first call; ``reasons`` and ``attempts`` by corrupt file;
        ``again_exit``, ``again_tried`` (cases that a second call looked at), ``again_s``, ``changed`` (results that it
        wrote anew); ``mended_exit``, ``mended_done`` (cases that a call did after the files had been mended).
    """
    place = Place(model, folder / f"images_corrupt{count}", folder / f"out_corrupt{count}")
    shutil.rmtree(place.output, ignore_errors=True)
    shutil.rmtree(place.images, ignore_errors=True)
    write_images(place.images, count - 2)
    whole = place.images / "scan000000.nii.gz"
    content = whole.read_bytes()
    (place.images / TRUNCATED).write_bytes(content[: len(content) // 2])
    (place.images / NO_IMAGE).write_bytes(b"no image")
    status, wall_s = _call(place)
    rows = {record.case: record for record in all_results(place.output) if record.status == DONE}
    failed = {entry["case"]: entry for entry in place.events(FAILED)}
    found = {"cases": count, "done": len(rows), "exit": status, "wall_s": wall_s, "reasons": _reasons(place)}
    found["attempts"] = {name: entry["attempts"] for name, entry in failed.items()}
    seen, events = marks_of(place), _looked_at(place)
    found["again_exit"], found["again_s"] = _call(place)
    found["again_tried"] = sorted(set(_looked_at(place)[len(events) :]))
    after = marks_of(place)
    found["changed"] = sum(after.get(name) != mark for name, mark in seen.items())
    for name in (TRUNCATED, NO_IMAGE):
        (place.images / name).write_bytes(content)
    done = len(place.events(DONE))
    found["mended_exit"], _ = _call(place)
    return found | {"mended_done": [entry["case"] for entry in place.events(DONE)[done:]]}


def _call(place: Place) -> tuple[int, float]:
    began_s = time.monotonic()
    status = place.begin(retries=RETRIES).wait()
    return status, round(time.monotonic() - began_s, 1)


def _looked_at(place: Place) -> list[str]:
    """Cases of which the journal tells something, in its order."""
    return [entry["case"] for entry in place.events() if "case" in entry]


def _reasons(place: Place) -> dict[str, str]:
    """By case, what the table says of those that failed."""
    with (place.output / "cohort.csv").open(encoding="utf-8-sig", newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["status"] == FAILED]
    # Where the images lay is nobody's business.
    return {row["case"]: row["reason"].replace(f"{place.images}{os.sep}", "") for row in rows}
