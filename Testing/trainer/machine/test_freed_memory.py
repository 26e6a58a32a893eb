"""Settings of the C library's allocator."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

from MultiTaskSegLib.runtime.machine.memory_allocator import release_freed_memory
from trainer.machine.freed_memory import keep_freed_memory

PROGRAM = """
import sys, resource
from trainer.machine.freed_memory import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
for _ in range(12):
    b'x' * 80_000_000
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
"""

BLOCK_BYTES = 80_000_000
RELEASE = f"""
import resource
from MultiTaskSegLib.runtime.machine.memory_allocator import release_freed_memory
from trainer.machine.freed_memory import keep_freed_memory
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()
assert keep_freed_memory()
before = resident()
block = b"x" * {BLOCK_BYTES}
del block
kept = resident() - before
print(release_freed_memory(), kept, resident() - before)
"""


def _page_faults(mode: str) -> int:
    return int(subprocess.run([sys.executable, "-c", PROGRAM, mode], check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a setting of glibc")
def test_kept_memory_is_not_paged_in_again_for_every_array() -> None:
    page_bytes = resource.getpagesize()
    once = 80_000_000 // page_bytes
    assert _page_faults("default") > _page_faults("keep") + 5 * once


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a setting of glibc")
def test_kept_memory_stays_with_the_process_until_it_is_released() -> None:
    result = subprocess.run([sys.executable, "-c", RELEASE], check=True, capture_output=True, text=True)
    released, kept_bytes, left_bytes = result.stdout.split()
    assert released == "True"
    assert int(kept_bytes) > 0.9 * BLOCK_BYTES
    assert int(left_bytes) < 0.1 * BLOCK_BYTES


def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not keep_freed_memory()
    assert not release_freed_memory()
