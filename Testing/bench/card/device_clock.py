"""Time and memory of work on a device that computes while the program goes on."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch

MB = 1e6


def settled(device: torch.device) -> None:
    """Wait until the device has done all it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def timed(work: Callable[[], Any], device: torch.device, rounds: int) -> dict[str, Any]:
    """Seconds and memory of a piece of work, after it was done once to warm up.

    Returns:
        ``first_s`` with all that is loaded and chosen at first use, ``wall_s`` the median of the rounds, ``least_s``
        and ``most_s`` their range, and ``peak_mb`` of the device's memory beyond what was taken before; None where the
        device does not tell.
    """
    before = _taken(device)
    first_s = _seconds(work, device)
    seconds = [_seconds(work, device) for _ in range(rounds)]
    peak = _peak(device)
    return {
        "first_s": first_s,
        "wall_s": median(seconds),
        "least_s": min(seconds),
        "most_s": max(seconds),
        "peak_mb": None if peak is None else (peak - before) / MB,
    }


def _seconds(work: Callable[[], Any], device: torch.device) -> float:
    settled(device)
    started_s = time.perf_counter()
    work()
    settled(device)
    return time.perf_counter() - started_s


def _taken(device: torch.device) -> int:
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        return int(torch.cuda.memory_allocated(device))
    return 0


def _peak(device: torch.device) -> int | None:
    return int(torch.cuda.max_memory_allocated(device)) if device.type == "cuda" else None
