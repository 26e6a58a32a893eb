"""Where jobs are done: here one after the other, in processes of this machine, or through Ray."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
from multiprocessing.connection import wait as wait_for_any
from multiprocessing.process import BaseProcess
from typing import Any, Protocol

from MultiTaskSegLib.runtime.errors import ResourceError, UsageError
from trainer.experiment.outcome import execute
from trainer.experiment.run import Job

GRACE_S = 10.0
RAY_STATISTICS = "RAY_USAGE_STATS_ENABLED"


class Executor(Protocol):
    """Does jobs. Results are in the jobs' folders; an executor only says which job has ended, however it did."""

    @property
    def slots(self) -> int:
        """How many jobs may be started at once."""

    def start(self, job: Job) -> None:
        """Begin a job, or note it down."""

    def wait(self) -> list[str]:
        """Wait until at least one of the started jobs has ended; names of all that have."""

    def stop(self) -> None:
        """End what still runs and free everything."""


class SequentialExecutor:
    """One job after the other in this process."""

    slots = 1

    def __init__(self) -> None:
        self._waiting: list[Job] = []

    def start(self, job: Job) -> None:
        """Note the job down."""
        self._waiting.append(job)

    def wait(self) -> list[str]:
        """Do the next job."""
        job = self._waiting.pop(0)
        execute(job)
        return [job.run.name]

    def stop(self) -> None:
        """Forget what has not begun."""
        self._waiting.clear()


class ProcessExecutor:
    """Several jobs at once, each in a process of its own, so that one that crashes takes no other with it.

    Args:
        slots: processes at once.

    Raises:
        UsageError: fewer than one.
    """

    def __init__(self, slots: int) -> None:
        if slots < 1:
            raise UsageError(f"{slots} runs at once are none", remedy="Give --jobs 1 or more")
        self.slots = slots
        self._running: dict[str, BaseProcess] = {}

    def start(self, job: Job) -> None:
        """Start a process; a fresh one, because forks of a process with threads can hang."""
        process = multiprocessing.get_context("spawn").Process(target=execute, args=(job,), name=job.run.name)
        process.start()
        self._running[job.run.name] = process

    def wait(self) -> list[str]:
        """Wait for the first processes to end."""
        wait_for_any([process.sentinel for process in self._running.values()])
        ended = [name for name, process in self._running.items() if not process.is_alive()]
        for name in ended:
            self._running.pop(name).join()
        return ended

    def stop(self) -> None:
        """Terminate what runs."""
        for process in self._running.values():
            process.terminate()
        for process in self._running.values():
            process.join(GRACE_S)
            if process.is_alive():
                process.kill()
        self._running.clear()


class RayExecutor:
    """Jobs through Ray: on this machine, or on a cluster whose machines see the same folders and this package.

    Args:
        address: of a cluster (``auto``, ``host:port``, ``ray://...``); None starts Ray here.
        cpus: processors that one job takes.
        gpus: graphics cards that one job takes.

    Raises:
        UsageError: Ray is not installed.
        ResourceError: there is no cluster at the address.
    """

    def __init__(self, address: str | None = None, cpus: float = 1.0, gpus: float = 0.0) -> None:
        try:
            import ray
        except ImportError as error:
            raise UsageError(
                "Ray is not installed",
                remedy="Run 'pip install \".[cluster]\"' in the checkout, or leave out --executor",
            ) from error
        self._ray: Any = ray
        # A Ray that is started here would send usage statistics to its makers; of a cluster its owner decides.
        os.environ[RAY_STATISTICS] = "0"
        try:
            # Without an address Ray would look for a cluster that somebody left here, and wait for it for minutes.
            ray.init(address=address or "local", log_to_driver=False)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise ResourceError(
                f"there is no Ray cluster at {address} ({error})", remedy="Start it, or correct --address"
            ) from error
        self._execute = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=0)(execute)
        self._running: dict[Any, str] = {}

    @property
    def slots(self) -> int:
        """As many as there are: Ray itself decides how many run at once."""
        return 1_000_000

    def start(self, job: Job) -> None:
        """Hand the job to Ray."""
        self._running[self._execute.remote(job)] = job.run.name

    def wait(self) -> list[str]:
        """Wait for the first jobs to end, well or not."""
        ended, _ = self._ray.wait(list(self._running), num_returns=1)
        for reference in ended:
            # A worker that died says so here; the job's folder tells the rest.
            with contextlib.suppress(self._ray.exceptions.RayError):
                self._ray.get(reference)
        return [self._running.pop(reference) for reference in ended]

    def stop(self) -> None:
        """Cancel what runs and leave the cluster, which itself goes on."""
        for reference in self._running:
            self._ray.cancel(reference, force=True)
        self._running.clear()
        self._ray.shutdown()


def make_executor(kind: str, jobs: int = 1, address: str | None = None) -> Executor:
    """The executor of the command line's options.

    Args:
        kind: ``sequential``, ``processes`` or ``ray``.
        jobs: processes at once.
        address: of a Ray cluster.

    Raises:
        UsageError: the kind is unknown, or an address is given without Ray.
    """
    if address is not None and kind != "ray":
        raise UsageError("--address is for Ray", remedy="Give --executor ray, or leave --address out")
    if kind == "ray":
        return RayExecutor(address)
    if kind == "processes":
        return ProcessExecutor(jobs)
    if kind == "sequential":
        return SequentialExecutor()
    raise UsageError(f"there is no executor {kind!r}", remedy="Use sequential, processes or ray")
