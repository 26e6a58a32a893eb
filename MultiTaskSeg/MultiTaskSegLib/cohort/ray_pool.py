"""Workers through Ray: on this machine, or on a cluster whose machines see the same folders and this package."""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from MultiTaskSegLib.cohort.case_worker import CaseWorker, CohortJob
from MultiTaskSegLib.cohort.dispatch import WorkerEvent
from MultiTaskSegLib.cohort.ray_head import RayHead
from MultiTaskSegLib.cohort.result.case_outcome import CaseOutcome
from MultiTaskSegLib.cohort.source.case import Case
from MultiTaskSegLib.runtime.errors import ResourceError, UsageError

RAY_STATISTICS = "RAY_USAGE_STATS_ENABLED"
PACKAGES = ("ray", "pyarrow")
WAIT_S = 1.0
START_LIMIT_S = 600.0
WORDS = 400  # characters of what Ray says of a worker that ended
STARTS = 2
CLIENT = "ray://"
STORE_BYTES = 100 << 20  # for what goes between processes: paths and figures, never voxels


def require_packages() -> None:
    """Refuse to begin without the packages of the extra ``cluster``.

    Raises:
        UsageError: one is not installed.
    """
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise UsageError(
            f"cohorts need {' and '.join(missing)}, not installed here",
            remedy="Run 'pip install \".[cluster]\"' in the checkout",
        )


class _Actor:
    """A `CaseWorker` in a process of its own."""

    def __init__(self, job: CohortJob) -> None:
        self._worker = CaseWorker(job)

    def open(self) -> str:
        """See `CaseWorker.open`."""
        return self._worker.open()

    def run(self, case: Case, attempt: int) -> CaseOutcome:
        """See `CaseWorker.run`."""
        return self._worker.run(case, attempt)


class RayPool:
    """A `Pool` of actors, each with the model loaded.

    Args:
        job: what they do.
        workers: how many there will be at once.
        address: of a cluster (``auto``, ``host:port``, ``ray://...``); None starts Ray here.
        cpus, gpus: processors and graphics cards that one takes.
        clock: seconds.

    Raises:
        ResourceError: there is no cluster at the address, or this machine has not the graphics cards.
    """

    def __init__(
        self,
        job: CohortJob,
        workers: int,
        address: str | None = None,
        cpus: float = 1.0,
        gpus: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        import ray

        self._ray: Any = ray
        _begin(ray, address, max(1, math.ceil(workers * cpus)))
        if not address and gpus:
            _require_cards(ray, workers * gpus)
        self._actor: Any = ray.remote(num_cpus=cpus, num_gpus=gpus, max_restarts=0, max_task_retries=0)(_Actor)
        self._job, self._clock = job, clock
        self._wanted = f"{cpus:g} processors and {gpus:g} graphics cards"
        self._actors: dict[int, Any] = {}
        self._under_way: dict[Any, int] = {}
        self._ready: set[int] = set()
        # A client far from the cluster need not be able to reach the head itself.
        watched = bool(address) and not str(address).startswith(CLIENT)
        self._head = RayHead(ray.get_runtime_context().gcs_address, clock) if watched else None
        self._since_s = clock()  # when there was a worker, or when it began

    def start(self, worker: int) -> None:
        """Begin to start an actor; the cluster may let it wait."""
        actor = self._actors[worker] = self._actor.remote(self._job)
        self._under_way[actor.open.remote()] = worker

    def hand(self, worker: int, case: Case, attempt: int) -> None:
        """Give it a case."""
        self._under_way[self._actors[worker].run.remote(case, attempt)] = worker

    def wait(self) -> list[WorkerEvent]:
        """Wait for a second at most.

        Raises:
            ResourceError: for long there has been no worker, and none could be started; or the head is gone.
        """
        if self._head is not None:
            self._head.require()
        ended, _ = self._ray.wait(list(self._under_way), num_returns=1, timeout=WAIT_S)
        now_s = self._clock()
        if ended or self._ready:
            self._since_s = now_s
        elif now_s - self._since_s > START_LIMIT_S:
            raise ResourceError(
                f"no worker could be started within {START_LIMIT_S:.0f} s: each takes {self._wanted}",
                remedy="Ask for less with --cpus and --gpus, or wait until the cluster has some free",
            )
        return [self._event(reference) for reference in ended]

    def stop(self) -> None:
        """End the workers, and leave the cluster, which itself goes on; a Ray that was started here ends."""
        # A head that is gone ends nobody; Ray would wait for it, and then end the program. Workers end by themselves.
        if self._head is None or self._head.answers():
            for actor in self._actors.values():
                self._ray.kill(actor)
        self._actors.clear()
        self._under_way.clear()
        self._ray.shutdown()

    def _event(self, reference: Any) -> WorkerEvent:
        worker = self._under_way.pop(reference)
        try:
            told = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            self._ready.discard(worker)
            self._ray.kill(self._actors.pop(worker))  # also one that is alive, but cannot answer
            return WorkerEvent(worker, death=_in_short(error))
        self._ready.add(worker)
        return WorkerEvent(worker, refusal=told) if isinstance(told, str) else WorkerEvent(worker, told)


def _begin(ray: Any, address: str | None, processors: int) -> None:
    """Connect to a cluster, or start Ray here: twice where it takes longer than Ray waits, as on a busy machine."""
    # A Ray that is started here would send usage statistics to its makers; of a cluster its owner decides.
    os.environ[RAY_STATISTICS] = "0"
    here = {"num_cpus": processors, "include_dashboard": False, "object_store_memory": STORE_BYTES}
    text = ""
    for _ in range(1 if address else STARTS):
        try:
            # Without an address Ray would look for a cluster that somebody left here, and wait for it for minutes.
            ray.init(
                address=address or "local",
                log_to_driver=False,
                logging_level=logging.CRITICAL,
                **({} if address else here),
            )
        except Exception as error:  # Ray raises what it likes, also a bare Exception where its start takes too long
            text = " ".join(str(error).split())
            ray.shutdown()
        else:
            return
    raise ResourceError(
        f"there is no Ray cluster at {address} ({text})" if address else f"Ray cannot be started ({text})",
        remedy="Start it, or correct --address" if address else "Check memory and the folder for temporary files",
    )


def _require_cards(ray: Any, wanted: float) -> None:
    """Of this machine nobody will bring more, so that workers would wait for them in vain."""
    found = float(ray.cluster_resources().get("GPU", 0.0))
    if found < wanted:
        ray.shutdown()
        raise ResourceError(
            f"the workers take {wanted:g} graphics cards, and this machine has {found:g}",
            remedy="Ask for fewer --workers or --gpus, or use --device cpu",
        )


def _in_short(error: Exception) -> str:
    """What Ray says first, and last, of the pages that it says."""
    lines = [line.strip().rstrip(". ") for line in str(error).splitlines() if line.strip()]
    return ": ".join(dict.fromkeys((*lines[:1], *lines[-1:])))[:WORDS] or type(error).__name__
