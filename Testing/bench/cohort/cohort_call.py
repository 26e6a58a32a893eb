"""A cohort in a process of its own, as from a command line: its journal, its processes, and what they hold."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from MultiTaskSegLib.cohort.result.journal import entries

SHAPE_ZYX = (8, 9, 10)
ACTOR = "ray::_Actor"
MB = 1 << 20
# Ray gives workers low priority by itself: on a machine that is busy with other things they would wait for minutes.
VARIABLES = {"RAY_worker_niceness": "0", "OMP_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Place:
    """Where a cohort is.

    Attributes:
        model: file.
        images: folder.
        output: folder of the results.
    """

    model: Path
    images: Path
    output: Path

    def begin(self, workers: int = 1, kind: str = "check", retries: int = 20) -> subprocess.Popen[bytes]:
        """Start the command; with the priority that this process has."""
        return subprocess.Popen(
            self.words(workers, kind, retries),
            env={**os.environ, **VARIABLES},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def words(self, workers: int = 1, kind: str = "check", retries: int = 20) -> list[str]:
        """The command line."""
        words = [str(self.images), "-m", str(self.model), "-o", str(self.output), "--workers", str(workers)]
        options = ["--cpus", "1", "--device", "cpu", "--retries", str(retries), "--json"]
        return [sys.executable, "-m", "MultiTaskSegLib.runtime.cli", "cohort", kind, *words, *options]

    def events(self, event: str = "") -> list[dict[str, Any]]:
        """Lines of the journal, of one kind or all; none before there is one."""
        if not self.output.exists():
            return []
        return [entry for entry in entries(self.output) if event in ("", entry["event"])]


def write_images(folder: Path, count: int, shape_zyx: tuple[int, int, int] = SHAPE_ZYX) -> None:
    """Volumes of noise, each another one; those that are there stay."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        path = folder / f"scan{number:06d}.nii.gz"
        if not path.exists():
            voxels = np.random.default_rng(number).normal(200, 40, shape_zyx).astype(np.float32)
            sitk.WriteImage(sitk.GetImageFromArray(voxels), str(folder / f".{path.name}"))
            (folder / f".{path.name}").rename(path)


def processes_of(root: int) -> dict[int, str]:
    """By number, the command line of a process and of all that it has started, directly or through others."""
    parents, names = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                names[int(entry.name)] = _words(int(entry.name))
    found, waiting = {root: names.get(root, "")}, [root]
    while waiting:
        parent = waiting.pop()
        children = [number for number, of in parents.items() if of == parent]
        found.update((child, names[child]) for child in children)
        waiting += children
    return found


def _words(process: int) -> str:
    return Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")


def workers_of(root: int) -> list[int]:
    """Processes of the workers of a run."""
    return [number for number, name in processes_of(root).items() if name.startswith(ACTOR)]


def resident_mb(process: int) -> float | None:
    """What a process holds; None when it is gone."""
    with suppress(OSError, IndexError, ValueError):
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / MB
    return None


def cpu_s(process: int) -> float | None:
    """Processor seconds of a process, all threads; None when it is gone."""
    with suppress(OSError, IndexError, ValueError):
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return None


def end_all(processes: dict[int, str]) -> int:
    """Kill those of the processes that are still the same; how many there were."""
    left = 0
    for number, name in processes.items():
        with suppress(OSError):
            if name and _words(number) == name:
                os.kill(number, signal.SIGKILL)
                left += 1
    return left


def ended(process: subprocess.Popen[bytes], limit_s: float) -> bool:
    """Whether a process ends within a time."""
    end_s = time.monotonic() + limit_s
    while process.poll() is None and time.monotonic() < end_s:
        time.sleep(0.05)
    return process.poll() is not None


def seconds_between(first: dict[str, Any], last: dict[str, Any]) -> float:
    """Of two lines of the journal, whole seconds."""
    return (datetime.fromisoformat(last["time"]) - datetime.fromisoformat(first["time"])).total_seconds()
