"""The processor: how many of its cores this process may use."""

from __future__ import annotations

import os


def usable_cores() -> int:
    """At least 1; fewer than there are where the process was given some of them only (Slurm, taskset)."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
