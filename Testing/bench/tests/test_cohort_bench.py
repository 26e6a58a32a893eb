"""What the benchmark of cohorts adds up, and what its page says."""

from __future__ import annotations

from typing import Any

import pytest

from Testing.bench.cohort.cost_model import GROWING, MILLION, foretold, million
from Testing.bench.cohort.long_run import memory_growth
from Testing.bench.cohort.table import cohort_table, drift_table


def run(cases: int) -> dict[str, Any]:
    """Costs of two units at the start and a hundredth for each case."""
    memory = {"driver_mb": 100.0, "worker_mb": 200.0, "driver_bytes_per_case": 1000, "worker_bytes_per_case": 0}
    timed = {"wall_s": 1.0, "begin_s": 1.0, "image_bytes": 1}
    return {**dict.fromkeys(GROWING, 2 + cases / 100), **timed, "cases": cases, "done": cases, "memory": memory}


def test_straight_lines_are_foretold_exactly():
    assert foretold([run(100), run(300)], 5000) == pytest.approx(dict.fromkeys(GROWING, 52.0))


def test_a_million_costs_a_million_times_one():
    found = million([run(100), run(300), run(900)], scan_s=36.0, scan_bytes=2e6)
    assert found["processor_hours"] == pytest.approx(10_000)
    assert found["driver_hours"] == pytest.approx((2 + MILLION / 100) / 3600)
    assert found["days_with_100_workers"] == pytest.approx(0.36 * MILLION / 86400)
    assert found["result_gb"] == pytest.approx(2000)
    assert found["driver_gb"] == pytest.approx(100 * 2**20 / 1e9 + 1)


def test_a_run_too_short_to_see_memory_grow_says_nothing_of_it():
    runs = [run(1), run(4), run(40) | {"memory": memory_growth([(1, 100.0, 300.0)])}]
    costs = million(runs, 36.0, 2e6)
    assert costs["driver_gb"] is None
    found = {"kills": [], "long_runs": [], "million": costs, "assumptions": []}
    assert "GB of memory" not in "\n".join(cohort_table(found))


def test_memory_that_only_grows_while_everything_is_loaded_does_not_grow():
    samples = [(k, min(k, 50.0) + 100, 300.0) for k in range(200)]
    assert memory_growth(samples)["driver_bytes_per_case"] == 0
    assert memory_growth(samples[:2]) == {"samples": 2}


def test_the_page_tells_kills_memory_and_costs():
    kills = {"seed": 0, "cases": 60, "worker_kills": 7, "driver_kills": 3, "left_over": 0}
    kills |= dict.fromkeys(("lost", "doubled", "changed", "different"), 0)
    found: dict[str, Any] = {"kills": [kills], "long_runs": [run(100), run(300), run(900)], "alone_s": 0.01}
    found |= {"foretold": foretold([run(100), run(300)], 900), "overhead_ms": 12.3}
    text = "\n".join(cohort_table(found))
    assert "7 kills of workers and 3 of drivers" in text
    assert "0 lost, 0 done twice" in text
    assert "were still there after 20 s" in text, "as it was measured before the time was noted"
    assert "were still there after 90 s" in "\n".join(cohort_table(found | {"kills": [kills | {"farewell_s": 90.0}]}))
    assert "12.3 ms" in text
    assert "million" not in text
    workers = {"shape_zyx": [1, 2, 3], "cases": 4, "cases_per_s": {"1": [1.0], "2": [1.9]}, "ratio": 1.9}
    found |= {"workers": workers, "million": million(found["long_runs"], 36.0, 2e6), "assumptions": ["One."]}
    text = "\n".join(cohort_table(found))
    assert "1.90 times" in text
    assert "10000 processor hours" in text
    assert "- One." in text


def test_the_page_tells_lost_hosts_and_corrupt_files():
    corrupt = {"cases": 1000, "done": 998, "exit": 4, "wall_s": 61.2, "reasons": {"a": "x", "b": "y"}}
    corrupt |= {"attempts": {"a": 3, "b": 3}, "again_exit": 4, "again_s": 9.6, "again_tried": ["a", "b"], "changed": 0}
    corrupt |= {"mended_exit": 0, "mended_done": ["a", "b"]}
    lost = {"way": "killed", "cases": 120, "before": 21, "first": 120, "ended_s": 7.4, "exit": 0, "again": 0}
    lost |= dict.fromkeys(("lost", "doubled", "changed", "different"), 0)
    text = "\n".join(cohort_table({"kills": [], "long_runs": [], "corrupt": corrupt, "lost_hosts": [lost]}))
    assert "998 done in 61 s, 2 failed with their reasons after 3 attempts, status 4" in text
    assert "The next call looked at 2 files (10 s) and wrote 0 finished results anew" in text
    assert "| killed | 120 | 21 | 120 | 7 | 0 | 0 | 0 | 0 |" in text


def test_the_page_tells_how_often_chance_passes_for_drift():
    rows = [{"title": "no change", "step": 0.0, "rate": 0.05}, {"title": "1 SD", "step": 1.0, "rate": 0.9, "near": 0.8}]
    text = "\n".join(drift_table({"alpha": 0.05, "cohorts": 1000, "rounds": 1999, "scenarios": rows}))
    assert "| no change | 0.050 | |" in text
    assert "| 1 SD | 0.900 | 0.80 |" in text
