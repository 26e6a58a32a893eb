"""``multitaskseg cohort``: lists the cases, refuses what cannot end well, runs the workers, writes table and page."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path

from MultiTaskSegLib.cohort.case_worker import AUTO, CohortJob
from MultiTaskSegLib.cohort.dicom.dicom_seg import require_highdicom
from MultiTaskSegLib.cohort.dispatch import Dispatch
from MultiTaskSegLib.cohort.overview.bids_derivatives import require_bids, write_derivatives
from MultiTaskSegLib.cohort.overview.summary_files import PAGE_FILE, all_records, write_summary
from MultiTaskSegLib.cohort.progress import CohortProgress
from MultiTaskSegLib.cohort.ray_pool import RayPool, require_packages
from MultiTaskSegLib.cohort.result.case_record import DONE, FAILED, PENDING, CaseRecord
from MultiTaskSegLib.cohort.result.journal import BEGUN, ENDED, Journal, failures
from MultiTaskSegLib.cohort.result.journal import CHANGED as CHANGED_EVENT
from MultiTaskSegLib.cohort.result.journal import DONE as DONE_EVENT
from MultiTaskSegLib.cohort.result.journal import FAILED as FAILED_EVENT
from MultiTaskSegLib.cohort.result.journal import TRIED as TRIED_EVENT
from MultiTaskSegLib.cohort.result.lock import lock_results
from MultiTaskSegLib.cohort.result.results import (
    CHANGED,
    count_results,
    known_results,
    remove_leftovers,
    require_writable,
    set_aside,
)
from MultiTaskSegLib.cohort.result.settings import CHECK, CohortSettings
from MultiTaskSegLib.cohort.source.case import Case
from MultiTaskSegLib.cohort.source.case_tree import cases_of
from MultiTaskSegLib.cohort.termination import termination_as_interruption
from MultiTaskSegLib.runtime.errors import InputError, ModelError, MtsError, UsageError, printable
from MultiTaskSegLib.runtime.imported.described_model import described_model
from MultiTaskSegLib.runtime.model.released import named_model

EXIT_FAILURES = 4


def cohort(options: argparse.Namespace) -> int:
    """Do a cohort, or what is left of it. Returns the exit code: 0 all done, 4 some failed.

    Raises:
        MtsError: nothing can be done; what is finished stays.
    """
    require_packages()
    cases = cases_of(_absolute(options.cases), options.column, options.only)
    job = CohortJob(
        _settings(options), _absolute(named_model(options.model)), _absolute(options.output), options.device
    )
    if options.dicom_seg:
        require_highdicom()
    if options.bids_derivatives:
        require_bids(_absolute(options.cases))
    problems = [case for case in cases if case.problem]
    if len(problems) == len(cases):
        raise InputError(f"no image of the list can be read: {problems[0].problem}", file=problems[0].image)
    for case in problems:
        print(printable(f"warning: {case.identity}: {case.problem}"), file=sys.stderr)
    job.settings.require_same(job.output)
    lock = lock_results(job.output)
    try:
        job.settings.require_same(job.output)  # another run may have taken the folder meanwhile
        job.settings.write(job.output)
        require_writable(job.output)
        rows = _run(options, job, cases)
        if options.bids_derivatives:
            for name, reason in write_derivatives(rows, _absolute(options.cases), job.output).items():
                print(printable(f"warning: {name}: no derivative, {reason}"), file=sys.stderr)
        return _told(rows, job, options)
    finally:
        lock.release()


def _settings(options: argparse.Namespace) -> CohortSettings:
    model = described_model(named_model(options.model))
    tasks = [task["name"] for task in model.plain["tasks"]]
    if options.kind != CHECK and options.task not in (AUTO, *tasks):
        raise UsageError(f"the model has no task {options.task!r}", remedy=f"Use {AUTO} or one of {', '.join(tasks)}")
    if options.kind == CHECK and model.plain.get("ood") is None:
        raise ModelError(
            f"the model {model.plain['name']} has no reference images and checks nothing", remedy="Give another one"
        )
    return CohortSettings(
        options.kind,
        model.plain["name"],
        model.digest,
        options.task,
        tuple(sorted(options.structures)),
        options.origin,
        options.dicom_seg,
        options.thorough,
    )


@dataclass
class _Bookkeeping:
    """A `Listener` that keeps the rows, the journal and the line of the terminal."""

    journal: Journal
    progress: CohortProgress
    finished: dict[str, CaseRecord]

    def done(self, case: Case, record: CaseRecord) -> None:
        """A case is finished."""
        self.finished[case.identity] = record
        self.progress.done += 1
        self.journal.add(DONE_EVENT, case=case.identity, seconds=record.seconds, attempts=record.attempts)

    def tried(self, case: Case, attempt: int, reason: str) -> None:
        """Another attempt follows."""
        self.journal.add(TRIED_EVENT, case=case.identity, attempt=attempt, reason=reason)

    def failed(self, case: Case, attempts: int, reason: str) -> None:
        """There is no other attempt."""
        self.progress.failed += 1
        self.journal.add(FAILED_EVENT, case=case.identity, attempts=attempts, reason=reason)

    def waited(self, workers: int) -> None:
        """Show how far it is."""
        self.progress.show(workers)


def _run(options: argparse.Namespace, job: CohortJob, cases: Sequence[Case]) -> list[CaseRecord]:
    """Do what is left; rows of all cases, also written where the run ends early."""
    known = known_results(job.output, cases)
    finished = known.finished
    journal = Journal(job.output)
    progress = CohortProgress(sys.stderr, len(cases), len(finished))
    books = _Bookkeeping(journal, progress, finished)
    try:
        journal.add(BEGUN, cases=len(cases), finished=len(finished), workers=options.workers, process=os.getpid())
        kept = _do_anew(job.output, known.changed, books)
        left = [case for case in cases if case.identity not in finished]
        problems = {case.identity: case.problem for case in left if case.problem} | kept
        for case in (one for one in left if one.identity in problems):
            books.failed(case, 0, problems[case.identity])
        _dispatch(options, job, [case for case in left if case.identity not in problems], books)
        rows = _sum_up(job, cases, books)
    except BaseException:
        with suppress(MtsError):  # why it ended is what is to be told
            _sum_up(job, cases, books)
        raise
    finally:
        progress.wipe()
        journal.close()
    return rows


def _do_anew(output: Path, changed: Sequence[Case], books: _Bookkeeping) -> dict[str, str]:
    """Remove the results of images that are others now; by the identity of each that has to stay, why."""
    kept = {}
    for case in changed:
        reason = set_aside(output, case)
        books.journal.add(CHANGED_EVENT, case=case.identity, reason=reason)
        if reason:
            kept[case.identity] = reason
        else:
            print(printable(f"warning: {case.identity}: {CHANGED}; it is done anew"), file=sys.stderr)
    return kept


def _sum_up(job: CohortJob, cases: Sequence[Case], books: _Bookkeeping) -> list[CaseRecord]:
    rows = all_records(cases, books.finished, failures(job.output))
    write_summary(rows, job.settings, job.output)
    books.journal.add(ENDED, finished=len(books.finished))
    return rows


def _dispatch(options: argparse.Namespace, job: CohortJob, cases: Sequence[Case], books: _Bookkeeping) -> None:
    if not cases:
        return
    workers = min(options.workers, len(cases))
    cpus = options.cpus or (1.0 if options.address else max(1, _cores() // workers))
    gpus = options.gpus if options.gpus is not None else float(options.device == "cuda")
    # Ray prints what it has to say of a worker that died among the results, also where these are JSON.
    with redirect_stdout(sys.stderr):
        pool = RayPool(job, workers, options.address, cpus, gpus)
        try:
            with termination_as_interruption():
                Dispatch(pool, cases, books, workers, options.retries).run()
        finally:
            pool.stop()
            remove_leftovers(job.output)


def _told(rows: Sequence[CaseRecord], job: CohortJob, options: argparse.Namespace) -> int:
    counts = Counter(row.status for row in rows)
    others = count_results(job.output) - counts[DONE]
    page = job.output / PAGE_FILE
    if options.json:
        told = {"cases": len(rows), **{status: counts[status] for status in (DONE, FAILED, PENDING)}}
        print(json.dumps({**told, "other_results": others, "page": str(page)}, indent=1))
    else:
        for row in rows:
            if row.status == FAILED:
                print(printable(f"failed: {row.case}: {row.reason}"), file=sys.stderr)
        print(f"{counts[DONE]} of {len(rows)} cases are done, {counts[FAILED]} failed")
        if others:
            print(f"{others} results are of cases that are not listed now; the table leaves them out")
        print(printable(f"results in {job.output}, overview in {page}"))
    return EXIT_FAILURES if counts[FAILED] else 0


def _cores() -> int:
    """Of this machine, as far as this process may use them."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _absolute(path: Path) -> Path:
    """As other machines and processes, which work elsewhere, find it."""
    return Path(os.path.abspath(path))
