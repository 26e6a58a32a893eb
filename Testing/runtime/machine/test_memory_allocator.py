"""What leaves much behind runs in a thread of its own, and nobody notices."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import time
import weakref

import numpy as np
import pytest

from MultiTaskSegLib.runtime.machine.memory_allocator import in_own_heap


def test_it_runs_in_another_thread_and_gives_back_what_it_found() -> None:
    assert in_own_heap(threading.get_ident) != threading.get_ident()
    assert in_own_heap(lambda: 3) == 3


@pytest.mark.parametrize("kind", [MemoryError, ImportError, KeyboardInterrupt, SystemExit])
def test_what_it_raises_reaches_the_caller(kind: type[BaseException]) -> None:
    def fail() -> None:
        raise kind("words")

    with pytest.raises(kind, match="words"):
        in_own_heap(fail)


def test_where_no_thread_can_be_started_it_runs_in_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_more(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", no_more)
    assert in_own_heap(threading.get_ident) == threading.get_ident()


def test_what_lay_in_memory_as_it_failed_is_free_when_the_caller_has_seen_the_failure() -> None:
    held: list[weakref.ref[object]] = []

    def fail() -> None:
        large = np.zeros(1000)
        held.append(weakref.ref(large))
        raise MemoryError("words")

    gc.disable()
    try:
        with pytest.raises(MemoryError) as caught:
            in_own_heap(fail)
        del caught
        assert held[0]() is None
    finally:
        gc.enable()


INTERRUPTED = """
import os, signal, threading, torch
from MultiTaskSegLib.runtime.machine.memory_allocator import in_own_heap

def compute():
    threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    values = torch.rand(1, 4, 24, 24, 24)
    while True:
        values = torch.nn.functional.conv3d(values, torch.ones(4, 4, 3, 3, 3), padding=1).sigmoid()

try:
    in_own_heap(compute)
except KeyboardInterrupt:
    raise SystemExit(130)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="sends a signal")
def test_a_process_that_is_interrupted_meanwhile_ends_as_it_wants_to() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, timeout=120, check=False
    )
    assert (ended.returncode, ended.stderr) == (130, "")


def test_what_is_interrupted_while_its_thread_begins_ends_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    began, ended = threading.Event(), threading.Event()

    def compute() -> None:
        began.set()
        try:
            while True:
                time.sleep(0.01)
        finally:
            ended.set()

    start = threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        start(thread)
        assert began.wait(30)
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        in_own_heap(compute)
    assert ended.wait(30)


def test_what_is_interrupted_before_its_thread_begins_never_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[threading.Thread] = []

    def interrupted(thread: threading.Thread) -> None:
        held.append(thread)
        raise KeyboardInterrupt

    calls: list[int] = []
    start = threading.Thread.start
    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        in_own_heap(lambda: calls.append(1))
    start(held[0])
    held[0].join(30)
    assert calls == []
