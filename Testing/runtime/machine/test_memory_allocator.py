"""What leaves much behind runs in a thread of its own, and nobody notices."""

from __future__ import annotations

import threading

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
