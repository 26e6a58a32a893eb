"""What a million scans would take, from what was measured of fewer; how well the same lines foretold a longer run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

MILLION = 1_000_000
HOUR_S, GB = 3600.0, 1e9
GROWING = ("cases_s", "sum_up_s", "again_s", "driver_cpu_s", "result_bytes", "result_files")
ASSUMPTIONS = (
    "A scan takes the seconds of processor time, and the bytes on the disk, that are given; other sizes differ.",
    "Workers do not wait for disk or network: reading and writing is part of the measured seconds, on a local disk.",
    "The driver is one process that hands out cases one by one: its processor seconds per case bound the throughput.",
    "Costs grow in proportion to the number of cases: to check it, the longer run is foretold from the shorter ones.",
    "Ray was measured on one machine; a cluster adds the time of one message there and one back for each case.",
)


def foretold(shorter: Sequence[Mapping[str, Any]], count: int) -> dict[str, float]:
    """Costs of so many cases, as straight lines through those of shorter runs.

    >>> runs = [{**dict.fromkeys(GROWING, 2.0), "cases": 1}, {**dict.fromkeys(GROWING, 4.0), "cases": 2}]
    >>> foretold(runs, 5)["cases_s"]
    10.0
    """
    found = {}
    for key in GROWING:
        slope, start = np.polyfit([run["cases"] for run in shorter], [run[key] for run in shorter], 1)
        found[key] = round(float(start + slope * count), 3)
    return found


def million(runs: Sequence[Mapping[str, Any]], scan_s: float, scan_bytes: float) -> dict[str, float | None]:
    """Costs of 10^6 scans; of what the driver holds None where the longest run was too short to see it grow.

    Args:
        runs: that were measured, the longest at the end.
        scan_s: processor seconds of one scan.
        scan_bytes: of one result on the disk.
    """
    whole, memory = foretold(runs, MILLION), runs[-1]["memory"]
    driver_s = whole["driver_cpu_s"] / MILLION
    return {
        "scan_s": scan_s,
        "processor_hours": scan_s * MILLION / HOUR_S,
        "driver_hours": driver_s * MILLION / HOUR_S,
        "workers_that_one_driver_feeds": scan_s / driver_s,
        "days_with_100_workers": max(scan_s / 100, driver_s) * MILLION / HOUR_S / 24,
        "result_gb": scan_bytes * MILLION / GB,
        "result_files": whole["result_files"],
        "table_and_page_s": whole["sum_up_s"],
        "next_call_s": whole["again_s"],
        "driver_gb": _driver_gb(memory) if "driver_mb" in memory else None,
    }


def _driver_gb(memory: Mapping[str, Any]) -> float:
    return float((memory["driver_mb"] * (1 << 20) + memory["driver_bytes_per_case"] * MILLION) / GB)
