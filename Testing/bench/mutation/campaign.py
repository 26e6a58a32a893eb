"""One whole run: coverage map, sample, tests without any mutation, every mutant; what is done is kept, not repeated."""

from __future__ import annotations

import hashlib
import json
import os
import queue
import sys
import time
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from Testing.bench.mutation.checkout_copy import CheckoutCopy
from Testing.bench.mutation.chosen_tests import choose, ordered
from Testing.bench.mutation.coverage_map import CoverageMap, read_map
from Testing.bench.mutation.mutant import Mutant
from Testing.bench.mutation.outcome_log import OutcomeLog
from Testing.bench.mutation.plugin.coverage_recorder import FOLDERS, TARGET
from Testing.bench.mutation.pytest_run import PytestRun, pytest_command, run_limited, run_pytest
from Testing.bench.mutation.sample import points_by_room, sample

USUAL_TIMES = 3
LEAST_LIMIT_S = 60.0
"""A busy machine may take so long to start Python and import torch."""


@dataclass(frozen=True)
class Settings:
    """What decides the figure."""

    commit: str
    seed: int
    mutants: int
    limit_s: float
    rooms: Mapping[str, str]
    tests: tuple[str, ...] = ()
    """Folders below ``Testing``; empty for all of them."""


class Campaign:
    """The run of one commit; what it keeps is in the folder ``out``."""

    def __init__(self, repository: Path, settings: Settings, out: Path) -> None:
        self.repository, self.settings, self.out = repository, settings, out
        out.mkdir(parents=True, exist_ok=True)

    def run(self, copies: list[CheckoutCopy], resume: bool) -> list[dict[str, Any]]:
        """Outcomes in the order of the sample."""
        log = OutcomeLog(self.out / "outcomes.jsonl", asdict(self.settings))
        known = log.open(resume)
        free: queue.SimpleQueue[CheckoutCopy] = queue.SimpleQueue()
        for copy in copies:
            free.put(copy)
        found = self.coverage_map(free, len(copies))
        by_room = points_by_room(copies[0].folder, self.settings.rooms)
        drawn = sample(by_room, self.settings.mutants, self.settings.seed)
        _tell(f"{len(drawn)} mutants of {sum(map(len, by_room.values()))} points; {len(known)} known already")
        chosen = {m.id: choose(m, found, copies[0].folder, self.settings.limit_s) for _, m in drawn}
        steady = self.steady_tests(copies[0], found, {test for tests in chosen.values() for test in tests})
        waiting = [(room, mutant) for room, mutant in drawn if mutant.id not in known]
        started = time.monotonic()
        with ThreadPoolExecutor(len(copies)) as pool:
            futures = []
            for room, mutant in waiting:
                tests = [test for test in chosen[mutant.id] if test in steady["passed"]]
                limit_s = max(LEAST_LIMIT_S, USUAL_TIMES * (found.cost(tests) + steady["start_s"]))
                futures.append(pool.submit(_try, free, room, mutant, tests, limit_s))
            for done, future in enumerate(as_completed(futures), 1):
                outcome = future.result()
                log.add(outcome)
                known[outcome["id"]] = outcome
                _tell_progress(outcome, done, len(waiting), time.monotonic() - started)
        return [known[mutant.id] for _, mutant in drawn]

    def coverage_map(self, free: queue.SimpleQueue[CheckoutCopy], jobs: int) -> CoverageMap:
        """Run every test once and record which lines it runs, one folder of tests at a time in each copy."""
        folder = self.out / f"map-{self.settings.commit[:12]}"
        folder.mkdir(exist_ok=True)
        parts = {path: folder / f"{path.name}.json" for path in parts_with_tests(self.repository, self.settings.tests)}
        # The folders with most files take longest: begun first, they do not keep the others waiting.
        largest = sorted(parts, key=lambda path: -len(list(path.rglob("test_*.py"))))

        def record(tests: Path) -> None:
            """In whichever copy is free."""
            copy = free.get()
            try:
                _tell(f"coverage map: {tests.name}")
                self._record(copy, copy.folder / tests.relative_to(self.repository), parts[tests])
            finally:
                free.put(copy)

        with ThreadPoolExecutor(jobs) as pool:
            for _ in pool.map(record, [path for path in largest if not parts[path].exists()]):
                pass
        return read_map(parts.values())

    def _record(self, copy: CheckoutCopy, tests: Path, target: Path) -> None:
        covered = os.pathsep.join(str((copy.folder / folder).resolve()) for folder in self.settings.rooms.values())
        environment = {**copy.environment(), TARGET: str(target.resolve()), FOLDERS: covered}
        words = target.with_suffix(".txt")
        command = [*pytest_command("coverage_recorder"), tests.relative_to(copy.folder).as_posix()]
        status = run_limited(command, copy, environment, words, None)
        if not target.exists():
            raise RuntimeError(f"no coverage map of {tests.name} (pytest ended with {status}): see {words}")

    def steady_tests(self, copy: CheckoutCopy, found: CoverageMap, tests: Iterable[str]) -> dict[str, Any]:
        """Chosen tests that pass in the copy without any mutation, and how long pytest needs before the first one."""
        order = ordered(tests, found)
        digest = hashlib.sha256("\n".join(order).encode()).hexdigest()[:12]
        path = self.out / f"unmutated-{self.settings.commit[:12]}-{digest}.json"
        if not path.exists():
            _tell(f"{len(order)} tests without any mutation, about {found.cost(order):.0f} s")
            done = run_pytest(copy, order, None, stop_at_first=False)
            start_s = max(0.0, done.seconds - found.cost(order))
            facts = {"passed": done.passed, "failed": done.failed, "start_s": round(start_s, 1)}
            if order and not done.passed:
                raise RuntimeError(f"no test passes in the copy without any mutation:\n{done.last_words}")
            path.write_text(json.dumps(facts), "utf-8")
        steady = json.loads(path.read_text("utf-8"))
        if found.left_out or steady["failed"]:
            _tell(f"fail without any mutation and are left out: {[*found.left_out, *steady['failed']]}")
        return {**steady, "passed": set(steady["passed"])}


def parts_with_tests(root: Path, names: Collection[str]) -> list[Path]:
    """Folders of tests directly below ``Testing``, all or these alone; each is a part of the map."""
    folders = [path for path in sorted((root / "Testing").iterdir()) if path.is_dir() and any(path.rglob("test_*.py"))]
    return [path for path in folders if not names or path.name in names]


def _try(
    free: queue.SimpleQueue[CheckoutCopy], room: str, mutant: Mutant, tests: list[str], limit_s: float
) -> dict[str, Any]:
    copy = free.get()
    try:
        source = (copy.folder / mutant.file).read_text("utf-8").splitlines()[mutant.line - 1].strip()
        done = meet(copy, mutant, tests, limit_s) if tests else None
    finally:
        free.put(copy)
    return outcome_of(room, mutant, source, tests, done)


def meet(copy: CheckoutCopy, mutant: Mutant, tests: list[str], limit_s: float) -> PytestRun:
    """Run its tests on a mutant. That the time is over counts where the same tests need less without the mutation.

    The machine may have become busy: then the mutant is tried once more, with twice the time. Where that is over
    without the mutation, too, no test has noticed anything.
    """
    for patience in (1, 2):
        with copy.mutated(mutant):
            done = run_pytest(copy, tests, patience * limit_s, stop_at_first=True)
        if done.outcome != "timeout":
            return done
        if run_pytest(copy, tests, patience * limit_s, stop_at_first=True).outcome != "timeout":
            return done
    return replace(done, status=0)


def outcome_of(room: str, mutant: Mutant, source: str, tests: list[str], done: PytestRun | None) -> dict[str, Any]:
    """What is kept of a mutant; without tests it survives unseen."""
    facts = {name: getattr(mutant, name) for name in ("id", "file", "line", "operator", "before", "after")}
    result = {"outcome": done.outcome if done else "survived", "seconds": done.seconds if done else 0.0}
    found = {**facts, "room": room, "source": source, **result, "chosen": len(tests)}
    found["passed"] = done.passed if done else []
    if done and done.failed:
        found["noticed_by"] = done.failed[0]
    elif done and done.outcome == "error":
        found["last_words"] = done.last_words
    return found


def _tell_progress(outcome: Mapping[str, Any], done: int, total: int, elapsed_s: float) -> None:
    left_min = elapsed_s / done * (total - done) / 60
    place = f"{outcome['file']}:{outcome['line']} {outcome['operator']}"
    _tell(f"{done}/{total} {outcome['outcome']:8} {outcome['seconds']:6.1f} s  {place}; {left_min:.0f} min left")


def _tell(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
