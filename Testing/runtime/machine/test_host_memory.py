"""How much main memory is left: the smallest of what machine, container and process leave."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from MultiTaskSegLib.runtime.machine import host_memory
from MultiTaskSegLib.runtime.machine.control_group import GroupMemory
from MultiTaskSegLib.runtime.machine.host_memory import available_bytes, is_address_space_limited, total_bytes

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the files of Linux")


@linux
def test_the_smallest_of_what_the_groups_leave_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    memories = [GroupMemory(9_000_000, 4_000_000), GroupMemory(8_000_000, 5_000_000)]
    monkeypatch.setattr(host_memory, "group_memories", lambda: memories)
    assert available_bytes() == 4_000_000
    assert total_bytes() == 8_000_000


@linux
def test_a_container_with_a_limit_beyond_the_machine_s_memory_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_memory, "group_memories", list)
    of_the_machine = total_bytes()
    monkeypatch.setattr(host_memory, "group_memories", lambda: [GroupMemory(2**60, 2**60)])
    assert total_bytes() == of_the_machine


@linux
def test_a_limit_of_the_address_space_counts_as_far_as_it_is_not_used_up(monkeypatch: pytest.MonkeyPatch) -> None:
    import resource

    monkeypatch.setattr(host_memory, "group_memories", list)
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    monkeypatch.setattr(resource, "getrlimit", lambda _: (taken + 50_000_000, resource.RLIM_INFINITY))
    left = available_bytes()
    assert left is not None
    assert abs(left - 50_000_000) < 20_000_000


@linux
def test_whether_addresses_are_counted_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    import resource

    for limit, expected in ((2**40, True), (resource.RLIM_INFINITY, False)):
        monkeypatch.setattr(resource, "getrlimit", lambda _, limit=limit: (limit, resource.RLIM_INFINITY))
        assert is_address_space_limited() is expected


def test_a_mac_whose_vm_stat_does_not_answer_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(command: list[str], *, timeout: float, **_: object) -> None:
        assert 1.0 <= timeout <= 10.0
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(subprocess, "run", hang)
    assert available_bytes() is None


def test_a_mac_without_vm_stat_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*_: object, **__: object) -> None:
        raise FileNotFoundError

    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(subprocess, "run", absent)
    assert available_bytes() is None
