"""How much main memory is left: the smallest of what machine, container and process leave."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from MultiTaskSegLib.runtime.machine import host_memory
from MultiTaskSegLib.runtime.machine.host_memory import available_bytes, total_bytes

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the files of Linux")
LIMIT_BYTES, USED_BYTES, CACHE_BYTES = 9_000_000, 6_000_000, 1_000_000


def container(folder: Path, limit: int = LIMIT_BYTES) -> tuple[str, str, str]:
    """The files of a control group."""
    folder.mkdir()
    texts = {"limit": f"{limit}\n", "usage": f"{USED_BYTES}\n", "stat": f"anon 5\ninactive_file {CACHE_BYTES}\n"}
    for name, text in texts.items():
        (folder / name).write_text(text)
    limit_file, usage_file, statistics_file = (str(folder / name) for name in texts)
    return limit_file, usage_file, statistics_file


@linux
@pytest.mark.parametrize("version", [2, 1])
def test_a_container_of_either_version_limits_what_is_left_and_what_there_is(
    tmp_path: Path, version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = (str(tmp_path / "absent"),) * 3
    files = container(tmp_path / "group")
    monkeypatch.setattr(host_memory, "CGROUP_FILES", (files, absent) if version == 2 else (absent, files))
    assert available_bytes() == LIMIT_BYTES - USED_BYTES + CACHE_BYTES
    assert total_bytes() == LIMIT_BYTES


@linux
def test_a_container_with_a_limit_beyond_the_machine_s_memory_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_memory, "CGROUP_FILES", ())
    of_the_machine = total_bytes()
    monkeypatch.setattr(host_memory, "CGROUP_FILES", (container(tmp_path / "group", limit=2**60),))
    assert total_bytes() == of_the_machine


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
