"""One of two hosts is lost in the middle of a cohort: killed, cut off from the other, or the head of the cluster."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from MultiTaskSegLib.cohort.result.case_record import DONE
from MultiTaskSegLib.cohort.result.results import all_results
from Testing.bench.cohort.cohort_call import Place, end_all, ended, processes_of, write_images
from Testing.bench.cohort.random_kills import marks_of, scores_without_kills
from Testing.bench.cohort.ray_hosts import RayHosts

# Without a head the others have 30 s: the cases must take longer.
CASES, CASES_WITHOUT_HEAD = 120, 900
SHAPE_ZYX = (24, 32, 32)
BEFORE = 20  # cases that are done when the host is lost
RUN_LIMIT_S = 600.0
KILLED, CUT, HEAD = "killed", "cable pulled", "head killed"
WAYS = (KILLED, CUT, HEAD)


def lost_host(folder: Path, model: Path, way: str, cases: int = 0) -> dict[str, Any]:
    """One cohort with a worker on each of two hosts, one of which is lost in one of `WAYS`.

    Args:
        folder: for images, results and what was said.
        model: file.
        way: see there.
        cases: 0 for as many as it needs.

    Returns:
        ``way``, ``cases``; ``before``: cases done when it was lost;
        ``exit``: status of the run; ``ended_s``: seconds from the loss to its end; ``first``: cases done by then;
        ``told``: what the journal or the run said of the loss; ``again``: status of the same call afterwards;
        ``lost``, ``doubled``, ``changed``, ``different``: as of `killed_cohort`.
    """
    cases = cases or (CASES_WITHOUT_HEAD if way == HEAD else CASES)
    place = Place(model, folder / f"images_of_hosts{cases}", folder / "out_hosts")
    write_images(place.images, cases, SHAPE_ZYX)
    shutil.rmtree(place.output, ignore_errors=True)
    said = folder / "said_of_hosts"
    shutil.rmtree(said, ignore_errors=True)
    with RayHosts(said) as cluster:
        run = cluster.begin(place, "run.txt")
        _until(run, lambda: all(cluster.workers(host) for host in (0, 1)) and len(place.events(DONE)) >= BEFORE)
        found: dict[str, Any] = {"way": way, "cases": cases, "before": len(place.events(DONE))}
        seen, began_s = marks_of(place), time.monotonic()
        _lose(cluster, way, run)
        found["exit"] = _status(run)
        found |= {"ended_s": round(time.monotonic() - began_s, 1), "first": len(all_results(place.output))}
        found["told"] = _told(place, said / "run.txt")
        if way == HEAD:
            cluster.hosts.kill(0)
            cluster.start_head()
        found["again"] = _status(cluster.begin(place, "again.txt", workers=1))
    return found | _faults(place, seen, folder)


def _until(run: subprocess.Popen[bytes], is_so: Callable[[], bool]) -> None:
    end_s = time.monotonic() + RUN_LIMIT_S
    while not is_so():
        if run.poll() is not None or time.monotonic() > end_s:
            raise RuntimeError("the cohort ended, or did not begin, before a host could be lost")
        time.sleep(0.05)


def _lose(cluster: RayHosts, way: str, run: subprocess.Popen[bytes]) -> None:
    if way == CUT:
        cluster.hosts.pull_cable()
    elif way == KILLED:
        cluster.hosts.kill(1)
    else:
        cluster.hosts.kill(0, spared=[run.pid])


def _status(run: subprocess.Popen[bytes]) -> int | None:
    """None: it had to be killed."""
    if not ended(run, RUN_LIMIT_S):
        end_all(processes_of(run.pid))
        return None
    return run.returncode


def _told(place: Place, said: Path) -> list[str]:
    """Reasons of the journal, and the last line of the run."""
    reasons = [entry["reason"] for entry in place.events("tried")]
    return [*reasons, *[line for line in said.read_text("utf-8").splitlines() if line.startswith("multitaskseg: ")]]


def _faults(place: Place, seen: dict[str, tuple[int, int]], folder: Path) -> dict[str, int]:
    records = all_results(place.output)
    names = [record.case for record in records]
    images = {path.name for path in place.images.iterdir()}
    done = [entry["case"] for entry in place.events(DONE)]
    marks = marks_of(place)
    expected = scores_without_kills(Place(place.model, place.images, folder / f"whole_of_hosts{len(images)}"))
    return {
        "lost": len(images - {record.case for record in records if record.status == DONE}),
        "doubled": len(names) - len(set(names)) + len(done) - len(set(done)),
        "changed": sum(marks.get(name) != mark for name, mark in seen.items()),
        "different": sum(expected[record.case] != record.score for record in records),
    }
