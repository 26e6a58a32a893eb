"""One pytest process over chosen tests in a copy of the checkout, with a limit of time."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from Testing.bench.mutation.checkout_copy import CheckoutCopy
from Testing.bench.mutation.plugin.given_order import ORDER, REPORT

NOTHING_COLLECTED = 5
TAIL = 600


@dataclass(frozen=True)
class PytestRun:
    """How it ended."""

    status: int | None
    """Exit status, negative for a signal; None when the time was over."""
    seconds: float
    passed: list[str]
    failed: list[str]
    last_words: str

    @property
    def outcome(self) -> str:
        """``timeout``, ``failed`` (a test), ``error`` (before any test, or a crash) or ``survived``."""
        if self.status is None:
            return "timeout"
        if self.failed:
            return "failed"
        return "survived" if self.status in (0, NOTHING_COLLECTED) else "error"


def run_pytest(copy: CheckoutCopy, tests: Sequence[str], limit_s: float | None, stop_at_first: bool) -> PytestRun:
    """Run tests in their order."""
    files = list(dict.fromkeys(test.partition("::")[0] for test in tests))
    with tempfile.TemporaryDirectory(prefix="mutation-", ignore_cleanup_errors=True) as folder:
        order, report, output = (Path(folder) / name for name in ("order.json", "report.jsonl", "output.txt"))
        order.write_text(json.dumps(list(tests)), "utf-8")
        report.touch()
        options = [*(["-x"] if stop_at_first else []), f"--basetemp={folder}/tests"]
        environment = {**copy.environment(), ORDER: str(order), REPORT: str(report)}
        started = time.monotonic()
        status = run_limited([*pytest_command("given_order"), *options, *files], copy, environment, output, limit_s)
        seconds = time.monotonic() - started
        told = [json.loads(line) for line in report.read_text("utf-8").splitlines()]
        words = output.read_text("utf-8", errors="replace")[-TAIL:]
    lines = [line for line in told if "test" in line]
    if status is not None:
        status = next((line["status"] for line in told if "status" in line), status)
    failed = list(dict.fromkeys(line["test"] for line in lines if line["outcome"] == "failed"))
    # A skipped test is not called, and a process that crashed has no end of the call to tell.
    called = [line["test"] for line in lines if line["when"] == "call" and line["outcome"] == "passed"]
    return PytestRun(status, round(seconds, 1), [test for test in called if test not in failed], failed, words)


def pytest_command(plugin: str) -> list[str]:
    """Quiet, with one of our plugins, the same draws every time and no memory of earlier runs."""
    draws = [] if os.environ.get("PYTEST_DISABLE_PLUGIN_AUTOLOAD") else ["--hypothesis-seed=0"]
    return [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", plugin, *draws]


def run_limited(
    command: Sequence[str], copy: CheckoutCopy, environment: dict[str, str], output: Path, limit_s: float | None
) -> int | None:
    """Exit status of a command in the copy; None when it had to be ended, with every process that it started."""
    with output.open("wb") as stream:
        process = subprocess.Popen(
            command, cwd=copy.folder, env=environment, stdout=stream, stderr=stream, start_new_session=True
        )
        try:
            return process.wait(limit_s)
        except subprocess.TimeoutExpired:
            return None
        finally:
            # Also after a good end: a worker that a mutant has orphaned would keep running.
            _end_group(process)


def _end_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
