"""What happens to a training of two processes at random moments, and whether it ends as if nothing had happened."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from typing import Any

import numpy as np

from Testing.bench.cohort.cohort_call import end_all, ended, processes_of
from Testing.bench.distributed.torchrun_call import Training, equal, is_alive, ranks_of

KILL, ASK, FULL = "killed", "asked to end", "full disk"
KINDS = (KILL, ASK, FULL)
AGENT_SHARE = 0.25  # of what happens to torchrun itself and not to one of its processes
EARLY_SHARE = 0.25  # of what happens before or while the training begins
EARLIEST_S, STEP_S = 10.0, 0.5
MOST_STEPS = 12  # from one checkpoint to the fault after it
FULL_BYTES = 60_000  # to which files may grow: less than a checkpoint has, and more than the log
FAREWELL_S = 60.0
RUN_LIMIT_S = 900.0
WORDS_OF_A_FULL_DISK = ("cannot be written", "Free disk space", "No space", "File too large")


def spoilt_run(training: Training, kind: str, count: int, seed: int, whole: dict[str, Any]) -> dict[str, Any]:
    """One run from its beginning to its end, with at most so many faults of a kind.

    Args:
        training: that has not been begun.
        kind: of `KINDS`.
        count: of faults.
        seed: of moments and victims.
        whole: outcome of a run that nothing has happened to.

    Returns:
        ``faults`` (how many), ``of_torchrun`` (how many of them hit it, and not one of its processes), ``in_training``
        (how many came after steps that were trained since the fault before), ``unreadable``
        (checkpoints after a fault), ``lost`` (checkpoints that were older than one before), ``left_over`` (processes
        that lived on without torchrun and had to be ended), ``silent`` (full disks without words), ``begun`` (how often
        the command was given), ``finished`` and ``equal`` (to the whole run, to the bit).
    """
    generator = np.random.default_rng([seed, KINDS.index(kind)])
    counts = dict.fromkeys(("faults", "of_torchrun", "in_training", "unreadable", "lost", "left_over", "silent"), 0)
    agent, begun, kept = training.begin(), 1, 0
    while counts["faults"] < count:
        if not _spoil(agent, training, kind, generator, counts, kept) and agent.returncode == 0:
            break
        try:
            steps = training.steps_kept()
            counts["lost"] += steps < kept
            kept = max(kept, steps)
        except Exception as error:  # whatever torch makes of a file that is no checkpoint
            sys.stderr.write(f"{training.name}: {type(error).__name__}: {error}\n")
            counts["unreadable"] += 1
        if agent.poll() is not None:
            agent, begun = training.begin(), begun + 1
    while ended(agent, RUN_LIMIT_S) and agent.returncode and begun <= count + 1:  # torchrun ends after its processes
        agent, begun = training.begin(), begun + 1
    if agent.poll() is None:  # it would train on beside the next run
        end_all(processes_of(agent.pid))
        agent.wait()
    is_finished = agent.poll() == 0
    is_equal = is_finished and equal(training.outcome(), whole)
    return {"kind": kind, "seed": seed, **counts, "begun": begun, "finished": is_finished, "equal": is_equal}


def _spoil(
    agent: subprocess.Popen[bytes], training: Training, kind: str, generator: np.random.Generator,
    counts: dict[str, int], kept: int,
) -> bool:  # fmt: skip
    """One fault, and what follows at once; whether there was one: not where torchrun has ended before."""
    while len(ranks_of(agent.pid)) < 2:
        if ended(agent, 0.05):
            return False
    is_early = generator.uniform() < EARLY_SHARE
    target = kept + int(generator.integers(1, MOST_STEPS + 1))
    while not is_early and training.steps_kept() < target:
        if ended(agent, 0.1):
            return False
    if ended(agent, generator.uniform(0, EARLIEST_S if is_early else STEP_S)):
        return False
    counts["in_training"] += not is_early
    ranks = ranks_of(agent.pid)
    is_agent = kind != FULL and generator.uniform() < AGENT_SHARE
    said_before = training.log.stat().st_size
    if kind == FULL:
        import resource  # not on Windows, where the tests of this bench run, too

        for process in (agent.pid, *ranks.values()):
            with suppress(ProcessLookupError):
                resource.prlimit(process, resource.RLIMIT_FSIZE, (FULL_BYTES, resource.RLIM_INFINITY))
    else:
        victim = agent.pid if is_agent or not ranks else int(generator.choice(sorted(ranks.values())))
        with suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL if kind == KILL else signal.SIGTERM)
    counts["faults"] += 1
    counts["of_torchrun"] += is_agent
    _settle(agent, ranks, counts, is_final=kind == FULL)
    if kind == FULL:
        said = training.log.read_bytes()[said_before:].decode("utf-8", "replace")
        counts["silent"] += not any(words in said for words in WORDS_OF_A_FULL_DISK)
    return True


def _settle(agent: subprocess.Popen[bytes], ranks: dict[int, int], counts: dict[str, int], is_final: bool) -> None:
    """Until the processes of before are gone; those that stay without torchrun are ended."""
    limit_s = time.monotonic() + (RUN_LIMIT_S if is_final else FAREWELL_S)
    while time.monotonic() < limit_s:
        gone = not any(map(is_alive, ranks.values()))
        if gone and (agent.poll() is not None or not is_final):
            break
        time.sleep(0.1)
    for process in ranks.values():
        if is_alive(process):
            counts["left_over"] += 1
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
