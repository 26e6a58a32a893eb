"""What the performance page says of cohorts and of drift."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Figures = dict[str, Any]


def drift_table(found: Figures) -> Iterator[str]:
    """How often chance passes for drift, and how often a change is found."""
    yield "### Drift: false alarms, and changes that are found"
    yield ""
    yield (
        f"Share of {found['cohorts']} cohorts, drawn at random, in which p is at most {found['alpha']:g} (up to "
        f"{found['rounds']} random orders). Found near: the day told is at most ten cases from the true one."
    )
    yield ""
    yield "| cohorts | share | found near |"
    yield "|---|---|---|"
    for row in found["scenarios"]:
        near = f" {row['near']:.2f} " if "near" in row else " "
        yield f"| {row['title']} | {row['rate']:.3f} |{near}|"


def cohort_table(found: Figures) -> Iterator[str]:
    """Faults, memory, throughput and what a million scans would take; of what was measured."""
    yield "### Cohorts"
    if found["kills"]:
        yield from _kills(found["kills"])
    if "corrupt" in found:
        yield from _corrupt(found["corrupt"])
    if found.get("lost_hosts"):
        yield from _lost_hosts(found["lost_hosts"])
    if found["long_runs"]:
        yield from _long_runs(found)
    if "workers" in found:
        yield from _workers(found["workers"])
    if "million" in found:
        yield from _million(found["million"], found["assumptions"])


def _kills(kills: list[Figures]) -> Iterator[str]:
    total = {key: sum(one[key] for one in kills) for key in kills[0]}
    yield ""
    yield (
        f"{total['worker_kills']} kills of workers and {total['driver_kills']} of drivers at random moments, in "
        f"{len(kills)} cohorts of {kills[0]['cases']} cases: {total['lost']} lost, {total['doubled']} done twice, "
        f"{total['changed']} finished results written again, {total['different']} other than without kills; "
        f"{total['left_over']} processes of killed drivers were still there after "
        f"{kills[-1].get('farewell_s', 20.0):.0f} s."
    )


def _corrupt(found: Figures) -> Iterator[str]:
    reasons, attempts = found["reasons"], sorted(set(found["attempts"].values()))
    yield ""
    yield (
        f"{found['cases']} files of which a gzip file ended early and one was no image: {found['done']} done in "
        f"{found['wall_s']:.0f} s, {len(reasons)} failed with their reasons after {', '.join(map(str, attempts))} "
        f"attempts, status {found['exit']}. The next call looked at {len(found['again_tried'])} files "
        f"({found['again_s']:.0f} s) and wrote {found['changed']} finished results anew; with the files mended it did "
        f"{len(found['mended_done'])} and ended with {found['mended_exit']}."
    )


def _lost_hosts(runs: list[Figures]) -> Iterator[str]:
    yield ""
    yield "Two hosts with a worker each (two network namespaces of one machine), of which one is lost in the middle:"
    yield ""
    yield "| host | cases | done before | by its end | s to its end | status | of the next call | lost | twice |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for run in runs:
        yield (
            f"| {run['way']} | {run['cases']} | {run['before']} | {run['first']} | {run['ended_s']:.0f} | "
            f"{run['exit']} | {run['again']} | {run['lost']} | {run['doubled']} |"
        )


def _long_runs(found: Figures) -> Iterator[str]:
    yield ""
    titles = ("volumes", "done", "s from first to last", "s for tables and page", "s of a call with nothing to do")
    yield f"| {' | '.join((*titles, 'driver CPU s', 'MB of results'))} |"
    yield "|---|---|---|---|---|---|---|"
    for run in found["long_runs"]:
        yield (
            f"| {run['cases']} | {run['done']} | {run['cases_s']:.0f} | {run['sum_up_s']:.0f} | {run['again_s']:.1f} | "
            f"{run['driver_cpu_s']:.1f} | {run['result_bytes'] / 1e6:.1f} |"
        )
    memory = found["long_runs"][-1]["memory"]
    if "driver_mb" in memory:
        yield ""
        yield (
            f"Memory of the longest run: driver at most {memory['driver_mb']:.0f} MB, growing by "
            f"{memory['driver_bytes_per_case']} bytes a case in its second half; worker {memory['worker_mb']:.0f} MB, "
            f"{memory['worker_bytes_per_case']} bytes."
        )
    if "foretold" in found:
        longest, told = found["long_runs"][-1], found["foretold"]
        yield ""
        yield f"A case takes {1000 * found['alone_s']:.1f} ms alone, {found['overhead_ms']:.1f} ms more in a cohort."
        yield (
            f"Foretold of the longest run from the shorter ones: {told['cases_s']:.0f} s (measured "
            f"{longest['cases_s']:.0f}), driver {told['driver_cpu_s']:.1f} CPU s ({longest['driver_cpu_s']:.1f}), "
            f"results {told['result_bytes'] / 1e6:.1f} MB ({longest['result_bytes'] / 1e6:.1f})."
        )


def _workers(found: Figures) -> Iterator[str]:
    size = " x ".join(str(n) for n in found["shape_zyx"])
    yield ""
    yield (
        f"Two workers do {found['ratio']:.2f} times as many cases as one ({found['cases']} volumes of {size} voxels, "
        f"one core each, medians of {len(found['cases_per_s']['1'])} rounds)."
    )


def _million(costs: Figures, assumptions: list[str]) -> Iterator[str]:
    memory = "" if costs["driver_gb"] is None else f", {costs['driver_gb']:.1f} GB of memory for the driver"
    yield ""
    yield (
        f"A million scans of {costs['scan_s']:.1f} processor seconds: {costs['processor_hours']:.0f} processor hours "
        f"of workers and {costs['driver_hours']:.1f} of the driver, which could feed "
        f"{costs['workers_that_one_driver_feeds']:.0f} workers; {costs['days_with_100_workers']:.1f} days with 100 "
        f"workers; {costs['result_gb']:.0f} GB in {costs['result_files'] / 1e6:.1f} million files; "
        f"{costs['table_and_page_s']:.0f} s for tables and page, {costs['next_call_s']:.0f} s for a next call that "
        f"finds nothing to do{memory}. Assumptions:"
    )
    yield ""
    yield from (f"- {text}" for text in assumptions)
