"""Why a worker is gone: killed by the system for its memory, or broken before it could start to work."""

from __future__ import annotations

import os
import queue
import sys

import pytest

from MultiTaskSegLib.worker_process import WorkerProcess

DIE = "import os, signal, sys; print('last words', file=sys.stderr, flush=True); {}"
KILLED = {-number: DIE.format(f"os.kill(os.getpid(), {number})") for number in (9, 15)}
BROKEN = DIE.format("sys.exit(1)")
LACK_OF_MEMORY, BROKEN_START = "mostly a lack of memory", "install PyTorch again"


def notice(code: str, step: str) -> str:
    worker = WorkerProcess([sys.executable, "-c", code])
    try:
        assert worker.events.get(timeout=30) is None
        with pytest.raises(queue.Empty):
            worker.events.get_nowait()
        return str(worker.death_notice(step))
    finally:
        worker.end()


@pytest.mark.skipif(os.name == "nt", reason="sends a signal")
@pytest.mark.parametrize("step", ["starting", "reading", "model", "network"])
@pytest.mark.parametrize("code", KILLED)
def test_a_worker_that_the_system_kills_lacked_memory_whatever_it_was_doing(code: int, step: str) -> None:
    text = notice(KILLED[code], step)
    assert f"exit code {code}" in text
    assert "last words" in text
    assert LACK_OF_MEMORY in text
    assert BROKEN_START not in text


@pytest.mark.parametrize(
    ("step", "advice"),
    [("starting", BROKEN_START), ("reading", BROKEN_START), ("model", BROKEN_START), ("network", LACK_OF_MEMORY)],
)
def test_a_worker_that_ends_by_itself_while_it_starts_is_badly_installed(step: str, advice: str) -> None:
    text = notice(BROKEN, step)
    assert "exit code 1" in text
    assert advice in text


@pytest.mark.parametrize("step", ["starting", "model"])
def test_a_library_that_ends_the_process_for_lack_of_memory_is_not_badly_installed(step: str) -> None:
    text = notice(BROKEN.replace("last words", "OpenBLAS error: Memory allocation still failed after 10 retries"), step)
    assert LACK_OF_MEMORY in text
    assert BROKEN_START not in text
