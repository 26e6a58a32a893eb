"""Hands cases to workers: one to each at a time, again where an attempt fails, to others where a worker dies."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from MultiTaskSegLib.cohort.result.case_outcome import CaseOutcome
from MultiTaskSegLib.cohort.result.case_record import CaseRecord
from MultiTaskSegLib.cohort.source.case import Case
from MultiTaskSegLib.runtime.errors import ResourceError

# So many deaths with nothing finished between them, each in a case that had not failed before, or before any case:
# the next one would fare no better.
DEATHS_IN_A_ROW = 4


@dataclass(frozen=True)
class WorkerEvent:
    """What a worker tells; with neither an outcome nor a reason it is ready.

    Attributes:
        worker: its number.
        outcome: of the case that it had.
        refusal: why it can do no case at all.
        death: why it is gone.
    """

    worker: int
    outcome: CaseOutcome | None = None
    refusal: str = ""
    death: str = ""


class Pool(Protocol):
    """Workers, each with a number that is never used twice."""

    def start(self, worker: int) -> None:
        """Begin to start one; it is ready when it says so."""

    def hand(self, worker: int, case: Case, attempt: int) -> None:
        """Give a case to one that has none."""

    def wait(self) -> list[WorkerEvent]:
        """Wait a while until something happens; what has."""


class Listener(Protocol):
    """Hears what becomes of cases."""

    def done(self, case: Case, record: CaseRecord) -> None:
        """A case is finished, its result is in its place."""

    def tried(self, case: Case, attempt: int, reason: str) -> None:
        """An attempt failed; another one follows."""

    def failed(self, case: Case, attempts: int, reason: str) -> None:
        """The last attempt failed."""

    def waited(self, workers: int) -> None:
        """Time has passed; so many workers have a case."""


@dataclass
class _Attempt:
    """A case to do: the attempt's number, and which workers have failed at it."""

    case: Case
    number: int = 1
    failed_with: set[int] = field(default_factory=set)


class Dispatch:
    """The run of a cohort.

    Args:
        pool: the workers.
        cases: to do.
        listener: hears what becomes of them.
        workers: how many at once.
        retries: how many attempts follow a first one that failed; after those of all other cases, and where there are
            other workers, with one of these.
    """

    def __init__(
        self, pool: Pool, cases: Sequence[Case], listener: Listener, workers: int = 1, retries: int = 2
    ) -> None:
        self._pool, self._listener = pool, listener
        self._workers, self._retries = workers, retries
        self._waiting = deque(_Attempt(case) for case in cases)
        self._busy: dict[int, _Attempt] = {}
        self._idle: set[int] = set()
        self._starting: set[int] = set()
        self._next_worker = self._deaths = 0

    def run(self) -> None:
        """Until every case is finished or has failed for good.

        Raises:
            ResourceError: no case can be done: a worker refuses, the results cannot be written, or workers die again
                and again. What is finished stays.
        """
        while self._waiting or self._busy:
            self._start_workers()
            self._hand_out()
            for event in self._pool.wait():
                self._hear(event)
            self._listener.waited(len(self._busy))

    def _start_workers(self) -> None:
        wanted = min(self._workers, len(self._waiting) + len(self._busy))
        for _ in range(wanted - len(self._busy) - len(self._idle) - len(self._starting)):
            self._starting.add(self._next_worker)
            self._pool.start(self._next_worker)
            self._next_worker += 1

    def _hand_out(self) -> None:
        for worker in sorted(self._idle):
            attempt = self._fitting(worker)
            if attempt is not None:
                self._idle.discard(worker)
                self._busy[worker] = attempt
                self._pool.hand(worker, attempt.case, attempt.number)

    def _fitting(self, worker: int) -> _Attempt | None:
        """The first case that has not failed with this worker; one that has where no other worker is to be had."""
        # One that is starting is no other yet: it may never come, where a machine was lost or the cluster is too small.
        others = {*self._idle, *self._busy} - {worker}
        for attempt in self._waiting:
            if worker not in attempt.failed_with or others <= attempt.failed_with:
                self._waiting.remove(attempt)
                return attempt
        return None

    def _hear(self, event: WorkerEvent) -> None:
        if event.refusal:
            raise ResourceError(f"no case can be done: {event.refusal}")
        if event.death:
            self._bury(event)
        elif event.outcome is None:
            self._starting.discard(event.worker)
            self._idle.add(event.worker)
        else:
            attempt = self._busy.pop(event.worker)
            self._idle.add(event.worker)
            self._take(event.worker, attempt, event.outcome)

    def _take(self, worker: int, attempt: _Attempt, outcome: CaseOutcome) -> None:
        if outcome.record is not None:
            self._deaths = 0
            self._listener.done(attempt.case, outcome.record)
        elif outcome.is_general:
            raise ResourceError(
                f"the run ended early: {outcome.reason.rstrip('. ')}",
                remedy="What is finished stays; start it again then",
            )
        else:
            self._try_again(worker, attempt, outcome.reason)

    def _bury(self, event: WorkerEvent) -> None:
        self._starting.discard(event.worker)
        self._idle.discard(event.worker)
        attempt = self._busy.pop(event.worker, None)
        if attempt is None or attempt.number == 1:
            self._deaths += 1
        if attempt is not None:
            self._try_again(event.worker, attempt, f"the worker ended in the middle of it ({event.death})")
        if self._deaths >= DEATHS_IN_A_ROW * self._workers:
            raise ResourceError(
                f"{self._deaths} workers ended one after the other, the last one because: {event.death}",
                remedy="Check their memory; what is finished stays",
            )

    def _try_again(self, worker: int, attempt: _Attempt, reason: str) -> None:
        if attempt.number > self._retries:
            self._listener.failed(attempt.case, attempt.number, reason)
            return
        self._listener.tried(attempt.case, attempt.number, reason)
        self._waiting.append(_Attempt(attempt.case, attempt.number + 1, attempt.failed_with | {worker}))
