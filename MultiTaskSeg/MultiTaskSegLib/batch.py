"""Many images one after the other on one loaded model; what fails is noted and the rest goes on. No torch here."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from MultiTaskSegLib.job import POLL_INTERVAL_S, Job
from MultiTaskSegLib.job_result import JobResult
from MultiTaskSegLib.picture.framed_picture import framed_picture
from MultiTaskSegLib.runtime.errors import NOT_FINITE, Cancelled, ModelError, MtsError, UsageError
from MultiTaskSegLib.runtime.ood.verdict import Verdict
from MultiTaskSegLib.runtime.quality.quality_words import agreements_of
from MultiTaskSegLib.typed_error import typed
from MultiTaskSegLib.verdict_words import verdict_words
from MultiTaskSegLib.worker_process import BrokenWorkerError, DeadWorkerError

MM3_PER_ML = 1000.0
# After so many failures in a row, of a kind that the next image would meet as well, the rest is not tried.
FAILURES_IN_A_ROW = 2
DEATHS_IN_A_ROW = 4  # of a worker that had started: some images are too large, others after them are not


@dataclass(frozen=True)
class BatchItem:
    """One image.

    Attributes:
        name: for people.
        start: starts its job.
        keep: takes in what the job brought back; returns the report to be listed, or None for that of the job.
        file: path of an image file; empty for a volume of the scene.
        volume_id: of a volume of the scene; empty for a file.
    """

    name: str
    start: Callable[[], Job]
    keep: Callable[[JobResult], Mapping[str, Any] | None]
    file: str = ""
    volume_id: str = ""


@dataclass(frozen=True)
class BatchRow:
    """What became of one image, as plain values.

    Attributes:
        image: its name.
        task: what was segmented; empty for a check, and when it failed.
        verdict: "in distribution", "in distribution (unusual)", "out of distribution", "not checked"
            where the model has no reference images, or empty when it failed.
        quality: whether the result is good, in the words of the report; empty for a check, and where nobody knows.
        predicted_dice: mean over the structures that were found; None where nothing is expected.
        thorough: whether the result can be good, in the words of the thorough check; empty where there was none.
        agreement: mean Dice with further looks; None where there were none, and where they find nothing, either.
        agreements: that of each structure that any look found, by its name.
        p_value: of the out-of-distribution check; None without one.
        volumes_ml: volume of each structure in millilitres, by its name; empty for an image without a physical size.
        figures: those of Segment Statistics that were asked for, by structure, by the title of the figure; None where
            there is none to give.
        seconds: from start to end, with reading and keeping.
        warnings: what there is to know about the result.
        error: why it failed; empty when it did not.
        ood: the verdict with all its figures; None without one.
        model, model_sha256: what judged it; empty when it failed.
        file, volume_id: as of `BatchItem`.
        output: folder with the results of a file; empty for others.
        thumbnail: a PNG file, the picture of the result in a frame of the colour of its verdict; empty for a check,
            when it failed, and in a row that was read back.
    """

    image: str
    task: str = ""
    verdict: str = ""
    p_value: float | None = None
    volumes_ml: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()
    error: str = ""
    ood: Verdict | None = None
    model: str = ""
    model_sha256: str = ""
    file: str = ""
    volume_id: str = ""
    output: str = ""
    thumbnail: bytes = field(default=b"", repr=False)
    figures: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    quality: str = ""
    predicted_dice: float | None = None
    thorough: str = ""
    agreement: float | None = None
    agreements: Mapping[str, float] = field(default_factory=dict)

    @property
    def score(self) -> float | None:
        """Distance to the nearest task; None when it failed."""
        return None if self.ood is None else self.ood.score

    @property
    def limit(self) -> float | None:
        """Beyond which a score is out of distribution; None when it failed."""
        return None if self.ood is None else self.ood.threshold

    @property
    def nearest_task(self) -> str:
        """The task whose images are nearest; empty when it failed."""
        return "" if self.ood is None else self.ood.nearest_task


class Batch:
    """Runs items one after the other; polled, waited for and cancelled as a single `Job` is.

    A failing item is a row with the reason. Where the next one would fare no better (a worker that cannot be started, a
    model that cannot be used, each several times in a row) the rest is not tried, and its rows say so.

    Attributes:
        rows: one per item that is through.
        error: `Cancelled` when the batch was ended early, or why the rest was not tried.
    """

    def __init__(
        self,
        items: Sequence[BatchItem],
        clock: Callable[[], float] = time.monotonic,
        ended: Callable[[], object] = lambda: None,
    ) -> None:
        """The first item starts at the first `poll`.

        Args:
            items: what to do.
            clock: seconds.
            ended: is called once, when all items are through or the batch was cancelled.
        """
        self.rows: list[BatchRow] = []
        self.error: MtsError | None = None
        self._items, self._clock, self._ended = list(items), clock, ended
        self._job: Job | None = None
        self._is_over = not self._items
        self._ending: Cancelled | None = None  # what it was asked to end with
        self._failures: list[MtsError] = []  # the last ones in a row, of a kind that the next item would meet as well
        self._began_s = self._item_began_s = clock()

    @property
    def is_done(self) -> bool:
        """Whether all items are through, or the batch was cancelled."""
        return self._is_over

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
        try:
            self._go_on(item)
        except Exception as error:  # whatever one image does to us, the others have a right to be tried
            self._fail(item, typed(error))
        if self.error is not None or len(self.rows) == len(self._items):
            self._end()
        elif self._ending is not None and self._job is None:
            self._end(self._ending)
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
        if isinstance(self.error, Cancelled):
            raise self.error
        return self.rows

    def cancel(self, reason: str = "the batch was cancelled", *, is_dropped: bool = False) -> None:
        """End the item under way and all that would follow; the rows so far stay. Harmless when the batch is done.

        An item whose files are being put in place still gets its row: at once, or where the disk is slow at a later
        `poll`, with which the batch is done then.

        Args:
            reason: what `error` says.
            is_dropped: whether nobody wants the rows any more, nor anything measured.
        """
        if self.is_done:
            return
        self._ending = Cancelled(reason)
        if self._job is not None:
            self._job.cancel(reason)
            if is_dropped or self._job.error is not None:
                self._job = None
        if self._job is None:
            self._end(self._ending)
        else:
            self.poll()

    def _end(self, error: MtsError | None = None) -> None:
        if not self._is_over:
            self._is_over, self.error = True, self.error or error
            self._ended()

    def _go_on(self, item: BatchItem) -> None:
        if self._job is None:
            self._item_began_s = self._clock()
            self._job = item.start()
        elif self._job.poll():
            job, self._job = self._job, None
            found = job.result()
            report = item.keep(found) or found.report
            self._add(_with_files(row_of(item, report, self._clock() - self._item_began_s), found))
            self._failures = []

    def _fail(self, item: BatchItem, error: MtsError) -> None:
        self._job = None
        seconds = self._clock() - self._item_began_s
        self._add(BatchRow(item.name, seconds=seconds, error=str(error), file=item.file, volume_id=item.volume_id))
        if not isinstance(error, (DeadWorkerError, ModelError, UsageError)) or NOT_FINITE in str(error):
            self._failures = []  # of this image alone
            return
        is_repeated = bool(self._failures) and _is_alike(self._failures[-1], error)
        self._failures = [*(self._failures if is_repeated else []), error]
        is_death = isinstance(error, DeadWorkerError) and not isinstance(error, BrokenWorkerError)
        if len(self._failures) >= (DEATHS_IN_A_ROW if is_death else FAILURES_IN_A_ROW) and self.error is None:
            self._give_up(error)

    def _give_up(self, error: MtsError) -> None:
        self.error = error
        for item in self._items[len(self.rows) :]:
            reason = f"not tried, because of {len(self._failures)} failures in a row: {error}"
            self.rows.append(BatchRow(item.name, error=reason, file=item.file, volume_id=item.volume_id))

    def _add(self, row: BatchRow) -> None:
        if self.error is None:  # taking in a result may have closed the scene
            self.rows.append(row)


def _is_alike(one: MtsError, other: MtsError) -> bool:
    return isinstance(one, DeadWorkerError) if isinstance(other, DeadWorkerError) else str(one) == str(other)


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


def row_of(item: BatchItem, report: Mapping[str, Any], seconds: float) -> BatchRow:
    """The row of an image that was segmented or checked, from its report."""
    verdict = None if report["ood"] is None else Verdict.from_dict(report["ood"])
    task, model = str(report.get("task", "")), report.get("model", {})
    quality, thorough = report.get("quality") or {}, report.get("thorough") or {}
    return BatchRow(
        item.name,
        task,
        verdict_words(verdict, task),
        None if verdict is None else verdict.p_value,
        {name: volume_mm3 / MM3_PER_ML for name, volume_mm3 in _volumes_mm3(report).items()},
        seconds,
        tuple(str(warning) for warning in report.get("warnings", [])),
        ood=verdict,
        model=str(model.get("name", "")),
        model_sha256=str(model.get("sha256", "")),
        file=item.file,
        volume_id=item.volume_id,
        figures=report.get("figures", {}),
        quality=str(quality.get("answer", "")),
        predicted_dice=quality.get("predicted_dice"),
        thorough=str(thorough.get("answer", "")),
        agreement=thorough.get("agreement"),
        agreements=agreements_of(report),
    )


def _with_files(row: BatchRow, found: JobResult) -> BatchRow:
    """The same row with the picture of the result, and with where its files are."""
    warnings = row.warnings
    if found.thumbnail_failure:
        warnings = (*warnings, f"no picture could be drawn ({found.thumbnail_failure})")
    picture = b"" if found.thumbnail is None else framed_picture(found.thumbnail, row.verdict)
    return replace(row, warnings=warnings, output=str(found.output or ""), thumbnail=picture)


def _volumes_mm3(report: Mapping[str, Any]) -> dict[str, float]:
    volumes = {str(label["name"]): label["volume_mm3"] for label in report.get("labels", [])}
    return {name: float(volume_mm3) for name, volume_mm3 in volumes.items() if volume_mm3 is not None}
