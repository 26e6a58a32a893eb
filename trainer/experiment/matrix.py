"""A matrix of runs: skip what is done, do the rest, lose nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from trainer.experiment.executor import Executor
from trainer.experiment.outcome import Outcome, read_outcome
from trainer.experiment.run import Job, Run, make_jobs

Say = Callable[[str], None]


@dataclass(frozen=True)
class MatrixResult:
    """What became of a matrix.

    Attributes:
        metrics: by name of the runs that succeeded, now or earlier.
        failures: one line by name of the runs that did not.
        reused: names of the runs that had been done before.
        folders: by name.
        commits: of the source code by which the runs were done, in order of appearance.
    """

    metrics: dict[str, dict[str, Any]]
    failures: dict[str, str]
    reused: tuple[str, ...]
    folders: dict[str, Path]
    commits: tuple[str, ...] = ()


def expand(axes: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Every combination of the values of all axes; the last axis changes fastest.

    >>> expand({"source": ["a", "b"], "seed": [0, 1]})[1]
    {'source': 'a', 'seed': 1}
    """
    return [dict(zip(axes, values, strict=True)) for values in product(*axes.values())]


def run_matrix(runs: Sequence[Run], root: Path, executor: Executor, say: Say) -> MatrixResult:
    """Do every run that has not been done with the same parameters.

    A run that fails is reported and does not stop the others, except those that need it. After an interruption the
    same call goes on where it stood: finished runs are reused, an interrupted one is called again in its folder.

    Args:
        runs: in the order in which they should begin.
        root: each run gets a folder of its own in it.
        executor: where to do them; stopped in the end.
        say: takes one line per run.

    Raises:
        UsageError: the runs cannot be done as they are described; nothing has begun.
    """
    try:
        schedule = _Schedule(make_jobs(list(runs), root), say)
        while schedule.is_open:
            for job in schedule.startable(executor.slots):
                executor.start(job)
            if schedule.running:
                for name in executor.wait():
                    schedule.end(name)
    finally:
        executor.stop()
    return schedule.result()


class _Schedule:
    """Which jobs wait, run and are over."""

    def __init__(self, jobs: Mapping[str, Job], say: Say) -> None:
        self.jobs, self.say = jobs, say
        known = {name: read_outcome(job) for name, job in jobs.items()}
        self.over = {name: outcome for name, outcome in known.items() if outcome.metrics is not None}
        self.reused = tuple(self.over)
        self.waiting = [name for name in jobs if name not in self.over]
        self.running: set[str] = set()
        if self.reused:
            say(f"{len(self.reused)} of {len(jobs)} runs have been done before")

    @property
    def is_open(self) -> bool:
        """Whether there is anything left to do."""
        return bool(self.waiting or self.running)

    def startable(self, slots: int) -> list[Job]:
        """Jobs to begin now; they count as running from here on. Jobs whose needs failed are over."""
        chosen: list[Job] = []
        for name in list(self.waiting):
            needs = [self.over.get(need) for need in self.jobs[name].run.needs]
            failed = [n for n, o in zip(self.jobs[name].run.needs, needs, strict=True) if o and o.metrics is None]
            if failed:
                self._close(name, Outcome(None, f"it needs {failed[0]}, which failed"))
            elif len(self.running) < slots and all(needs):
                self.waiting.remove(name)
                self.running.add(name)
                chosen.append(self.jobs[name])
        return chosen

    def end(self, name: str) -> None:
        """A running job has ended; its folder says how."""
        self.running.remove(name)
        outcome = read_outcome(self.jobs[name])
        if outcome.metrics is None and not outcome.failure:
            outcome = Outcome(None, f"it ended without a result in {self.jobs[name].folder}")
        self._close(name, outcome)

    def _close(self, name: str, outcome: Outcome) -> None:
        if name in self.waiting:
            self.waiting.remove(name)
        self.over[name] = outcome
        how = f"failed: {outcome.failure}" if outcome.failure else f"done in {outcome.seconds:.0f} s"
        self.say(f"{len(self.over)}/{len(self.jobs)} {name} {how}")

    def result(self) -> MatrixResult:
        """Everything, in the order of the jobs."""
        outcomes = {name: self.over[name] for name in self.jobs}
        return MatrixResult(
            {name: outcome.metrics for name, outcome in outcomes.items() if outcome.metrics is not None},
            {name: outcome.failure for name, outcome in outcomes.items() if outcome.metrics is None},
            self.reused,
            {name: job.folder for name, job in self.jobs.items()},
            tuple(dict.fromkeys(outcome.commit for outcome in outcomes.values() if outcome.commit is not None)),
        )
