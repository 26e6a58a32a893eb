"""Doing one job, and what it leaves in its folder."""

from __future__ import annotations

import json
import time
import traceback
from dataclasses import dataclass
from typing import Any

from MultiTaskSegLib.runtime.errors import MtsError
from MultiTaskSegLib.runtime.machine.folder_lock import FolderIsHeld, FolderLock
from trainer.experiment.run import Job, load_function
from trainer.report.run_folder import LOCK_FILE, write_json_file
from trainer.report.source_commit import source_commit

SCHEMA = "multitaskseg-run/1"
CONFIG, METRICS, FAILURE = "config.json", "metrics.json", "failure.json"


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Attributes:
        metrics: None when it failed or was not finished.
        failure: one line; empty when it succeeded.
        seconds: that it took, of the last try.
        commit: of the source code that did it; None where that is not known.
    """

    metrics: dict[str, Any] | None
    failure: str = ""
    seconds: float = 0.0
    commit: str | None = None


def execute(job: Job) -> None:
    """Do a job in its folder: ``config.json`` first, ``metrics.json`` (whole or not at all) or ``failure.json`` last.

    Nothing is raised for a failure of the run itself, because others go on. An interruption leaves neither file.
    A process whose experiment was killed may still be at work there: that is a failure too.
    """
    try:
        lock = FolderLock(job.folder, LOCK_FILE, "this run")
    except FolderIsHeld as error:
        write_json_file(job.folder / FAILURE, _known(job) | {"failure": str(error), "traceback": ""})
        return
    try:
        _execute(job)
    finally:
        lock.release()


def _known(job: Job) -> dict[str, Any]:
    run = job.run
    known: dict[str, Any] = {"schema": SCHEMA, "run": run.name, "digest": job.digest, "function": run.function}
    return known | {"parameters": dict(run.parameters), "needs": list(run.needs), "commit": source_commit()}


def _execute(job: Job) -> None:
    (job.folder / FAILURE).unlink(missing_ok=True)
    run, known = job.run, _known(job)
    write_json_file(job.folder / CONFIG, known)
    started_s = time.monotonic()
    try:
        metrics = load_function(run.function)(run.parameters, job.folder, job.inputs)
    except Exception as error:
        message = str(error) if isinstance(error, MtsError) else f"{type(error).__name__}: {error}"
        write_json_file(
            job.folder / FAILURE,
            known | {"failure": " ".join(message.split()), "traceback": traceback.format_exc()},
        )
        return
    seconds = round(time.monotonic() - started_s, 3)
    write_json_file(job.folder / METRICS, known | {"seconds": seconds, "metrics": metrics})


def read_outcome(job: Job) -> Outcome:
    """What the job's folder says."""
    done = _read(job, METRICS)
    if done is not None:
        return Outcome(done["metrics"], seconds=float(done.get("seconds", 0.0)), commit=done.get("commit"))
    failed = _read(job, FAILURE)
    return Outcome(None, failed["failure"] if failed is not None else "")


def _read(job: Job, name: str) -> dict[str, Any] | None:
    """A file of this very run; a damaged one, or another run's, counts as missing."""
    try:
        content = json.loads((job.folder / name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    is_own = isinstance(content, dict) and content.get("schema") == SCHEMA and content.get("digest") == job.digest
    return content if is_own else None
