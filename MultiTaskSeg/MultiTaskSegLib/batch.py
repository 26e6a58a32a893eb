"""Many images one after the other on one loaded model; what fails is noted and the rest goes on. No torch here."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from MultiTaskSegLib.job import POLL_INTERVAL_S, Job
from MultiTaskSegLib.job_result import JobResult
from MultiTaskSegLib.runtime.errors import Cancelled, MtsError

MM3_PER_ML = 1000.0
VERDICT_WORDS = {True: "out of distribution", False: "in distribution"}


@dataclass(frozen=True)
class BatchItem:
    """One image.

    Attributes:
        name: for people.
        start: starts its job.
        keep: takes in what the job brought back.
    """

    name: str
    start: Callable[[], Job]
    keep: Callable[[JobResult], object]


@dataclass(frozen=True)
class BatchRow:
    """What became of one image, as plain values.

    Attributes:
        image: its name.
        task: what was segmented; empty when it failed.
        verdict: "in distribution", "out of distribution", or empty when it failed.
        p_value: of the out-of-distribution check; None when it failed.
        volumes_ml: volume of each structure in millilitres, by its name; empty for an image without a physical size.
        seconds: from start to end, with reading and keeping.
        warnings: what there is to know about the result.
        error: why it failed; empty when it did not.
    """

    image: str
    task: str = ""
    verdict: str = ""
    p_value: float | None = None
    volumes_ml: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()
    error: str = ""


class Batch:
    """Runs items one after the other; polled, waited for and cancelled as a single `Job` is.

    Attributes:
        rows: one per item that is through.
        error: `Cancelled` when the batch was ended early; a failing item is no error of the batch.
    """

    def __init__(self, items: Sequence[BatchItem], clock: Callable[[], float] = time.monotonic) -> None:
        """The first item starts at the first `poll`.

        Args:
            items: what to do.
            clock: seconds.
        """
        self.rows: list[BatchRow] = []
        self.error: MtsError | None = None
        self._items, self._clock = list(items), clock
        self._job: Job | None = None
        self._began_s = self._item_began_s = clock()

    @property
    def is_done(self) -> bool:
        """Whether all items are through, or the batch was cancelled."""
        return self.error is not None or len(self.rows) == len(self._items)

    @property
    def fraction(self) -> float:
        """Share of the work that is done, 0 to 1."""
        within = 0.0 if self._job is None else self._job.fraction
        return (len(self.rows) + within) / len(self._items) if self._items else 1.0

    @property
    def eta_s(self) -> float | None:
        """Seconds that are left at the pace so far; None before anything is done."""
        fraction = self.fraction
        return (self._clock() - self._began_s) * (1.0 - fraction) / fraction if fraction > 0.0 else None

    @property
    def step(self) -> str:
        """Which image it is and what is done with it, ``2/7 NAME: network``."""
        number = min(len(self.rows), len(self._items) - 1)
        if number < 0:
            return ""
        step = "" if self._job is None else f": {self._job.step}"
        return f"{number + 1}/{len(self._items)} {self._items[number].name}{step}"

    def poll(self) -> bool:
        """Take in what is new and start the next item; whether the batch is over."""
        if self.is_done:
            return True
        item = self._items[len(self.rows)]
        if self._job is None:
            self._item_began_s = self._clock()
            self._attempt(item, self._begin)
        elif self._job.poll():
            self._attempt(item, self._take)
        return self.is_done

    def wait(
        self, idle: Callable[[], object] | None = None, progress: Callable[[float, str], object] | None = None
    ) -> list[BatchRow]:
        """Block until all items are through; ``idle`` and ``progress`` are called meanwhile, about 20 times a second.

        Raises:
            Cancelled: the batch was cancelled.
        """
        try:
            poll_to_the_end(self, idle, progress)
        finally:
            self.cancel()  # nothing to do unless the wait was cut short, also by Ctrl+C
        if self.error is not None:
            raise self.error
        return self.rows

    def cancel(self, reason: str = "the batch was cancelled") -> None:
        """End the item under way and all that would follow; the rows so far stay. Harmless when the batch is done."""
        if self.is_done:
            return
        self.error = Cancelled(reason)
        if self._job is not None:
            self._job.cancel(reason)
            self._job = None

    def _attempt(self, item: BatchItem, action: Callable[[BatchItem], None]) -> None:
        try:
            action(item)
        except MtsError as error:
            self._fail(item, str(error))
        except Exception as error:  # whatever one image does to us, the others have a right to be tried
            self._fail(item, f"unexpected {type(error).__name__}: {' '.join(str(error).split())}")

    def _begin(self, item: BatchItem) -> None:
        self._job = item.start()

    def _take(self, item: BatchItem) -> None:
        assert self._job is not None
        job, self._job = self._job, None
        found = job.result()
        item.keep(found)
        if self.error is None:  # keeping may have closed the scene
            self.rows.append(row_of(item.name, found.report, self._clock() - self._item_began_s))

    def _fail(self, item: BatchItem, reason: str) -> None:
        if self._job is not None:
            self._job.cancel()
            self._job = None
        if self.error is None:
            self.rows.append(BatchRow(item.name, seconds=self._clock() - self._item_began_s, error=reason))


class Pollable(Protocol):
    """Work that goes on a little whenever it is looked at."""

    @property
    def fraction(self) -> float:
        """Share of the work that is done, 0 to 1."""

    @property
    def step(self) -> str:
        """What is being done."""

    def poll(self) -> bool:
        """Go on; whether it is over."""


def poll_to_the_end(
    work: Pollable, idle: Callable[[], object] | None, progress: Callable[[float, str], object] | None
) -> None:
    """Block until the work is over; ``idle`` and ``progress`` are called meanwhile, about 20 times a second."""
    while not work.poll():
        if progress is not None:
            progress(work.fraction, work.step)
        if idle is not None:
            idle()
        time.sleep(POLL_INTERVAL_S)


def row_of(name: str, report: Mapping[str, Any], seconds: float) -> BatchRow:
    """The row of an image that was segmented, from its report."""
    verdict = report["ood"]
    return BatchRow(
        name,
        str(report.get("task", "")),
        VERDICT_WORDS[bool(verdict["is_ood"])],
        float(verdict["p_value"]),
        {name: volume_mm3 / MM3_PER_ML for name, volume_mm3 in _volumes_mm3(report).items()},
        seconds,
        tuple(str(warning) for warning in report.get("warnings", [])),
    )


def _volumes_mm3(report: Mapping[str, Any]) -> dict[str, float]:
    volumes = {str(label["name"]): label["volume_mm3"] for label in report.get("labels", [])}
    return {name: float(volume_mm3) for name, volume_mm3 in volumes.items() if volume_mm3 is not None}
