"""A clock that counts descendants and stands still when it is told to."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path

import pytest

from Testing.bench import cpu_clock
from Testing.bench.cpu_clock import CpuClock, used_cpu_s


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """CPU seconds that the process has used; change the first entry to let time pass."""
    seconds = [100.0]
    monkeypatch.setattr(cpu_clock, "used_cpu_s", lambda: seconds[0])
    return seconds


def test_the_clock_counts_from_start_to_stop_only(used: list[float]) -> None:
    clock = CpuClock()
    used[0] = 110.0
    assert clock.seconds == 0.0
    clock.start()
    used[0] = 113.0
    assert clock.seconds == 3.0
    clock.stop()
    used[0] = 150.0
    clock.stop()
    assert clock.seconds == 3.0
    clock.start()
    used[0] = 151.5
    assert clock.seconds == 4.5


def test_a_block_is_left_out_even_when_it_fails(used: list[float]) -> None:
    clock = CpuClock()
    clock.start()
    used[0] = 101.0

    def fail() -> None:
        with clock.stopped():
            used[0] = 190.0
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    used[0] = 192.0
    assert clock.seconds == 3.0


@pytest.mark.skipif(sys.platform == "win32", reason="the system has no resource usage of processes")
def test_running_descendants_of_any_depth_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own, tick = os.getpid(), os.sysconf("SC_CLK_TCK")
    # Two threads of this process have a child each, one of which has a child of its own; the last one has just ended.
    for pid, thread, children in ((own, 1, "11 "), (own, 2, "12 13"), (12, 12, "14"), (11, 11, ""), (14, 14, "")):
        folder = tmp_path / str(pid) / "task" / str(thread)
        folder.mkdir(parents=True)
        (folder / "children").write_text(children)
    for pid, times in ((11, (1, 2, 0, 0)), (12, (10, 20, 0, 0)), (14, (100, 200, 1000, 2000))):
        ticks = " ".join(str(t * tick) for t in times)
        (tmp_path / str(pid) / "stat").write_text(f"{pid} (a ) name) S 1 2 3 4 5 6 7 8 9 10 {ticks} 20 0\n")
    monkeypatch.setattr(cpu_clock, "PROCESSES", tmp_path)
    before = sum(resource.getrusage(who).ru_utime for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    assert 3 + 30 + 3300 + before <= used_cpu_s() < 3 + 30 + 3300 + before + 100
