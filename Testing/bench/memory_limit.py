"""A limit of memory for a child process, by a Linux control group of its own; needs the right to make one."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

# The place, the file of the limit and that of the peak, by version of the groups (man 7 cgroups).
VERSIONS = (
    (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes", "memory.max_usage_in_bytes"),
    (Path("/sys/fs/cgroup"), "memory.max", "memory.peak"),
)
GROUP = "multitaskseg-memory-bench"


@dataclass(frozen=True)
class LimitedRun:
    """How a child process ended.

    Attributes:
        exit_code: negative where a signal ended it.
        peak_bytes: of the group, files that were read among them.
        last_line: of what it wrote on standard error.
    """

    exit_code: int
    peak_bytes: int
    last_line: str


def run_limited(command: Sequence[str], limit_bytes: int, environment: Mapping[str, str]) -> LimitedRun:
    """Run a command that can take no more than so much memory.

    Raises:
        OSError: no group can be made here.
    """
    with _group(limit_bytes) as (folder, peak_file):
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env=environment, preexec_fn=_joins(folder)
        )
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        return LimitedRun(done.returncode, int((folder / peak_file).read_text()), lines[-1] if lines else "")


@contextmanager
def _group(limit_bytes: int) -> Iterator[tuple[Path, str]]:
    place, limit_file, peak_file = next((v for v in VERSIONS if (v[0] / "cgroup.procs").exists()), VERSIONS[-1])
    folder = place / f"{GROUP}-{os.getpid()}"
    folder.mkdir()
    try:
        (folder / limit_file).write_text(str(limit_bytes))
        yield folder, peak_file
    finally:
        folder.rmdir()


def _joins(folder: Path) -> Callable[[], None]:
    def join() -> None:
        """In the child, before the command."""
        (folder / "cgroup.procs").write_text(str(os.getpid()))

    return join
