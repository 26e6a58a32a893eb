"""A run says from its first step when all of it is over, measuring included. Time passes only when told."""

from __future__ import annotations

import io
import re

import pytest

from trainer.report import progress
from trainer.report.run_progress import RunProgress


class Clock:
    def __init__(self) -> None:
        self.now_s = 500.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    monkeypatch.setattr(progress, "LOG_INTERVAL_S", 0.0)
    return io.StringIO()


def lines(stream: io.StringIO) -> list[str]:
    return stream.getvalue().splitlines()


def percent(line: str) -> int:
    found = re.search(r"(\d+) %", line)
    assert found
    return int(found[1])


def test_what_follows_the_training_is_in_the_estimate_from_the_first_step_on(clock: Clock, stream: io.StringIO) -> None:
    run = RunProgress(stream, clock, after=lambda training_s: 0.25 * training_s)
    run.start_from(0.0)
    for step in range(1, 5):
        clock.now_s += 10
        run.trained(step / 4, 10.0 * step, f"step {step}")
    run.follow("validating")
    clock.now_s += 4
    run.did(4.0, "measuring A, 1 of 2")
    clock.now_s += 6
    run.did(6.0, "measuring A, 2 of 2")
    run.finish()
    assert lines(stream) == [
        "training:  20 %, 40 s left, step 1",
        "training:  40 %, 30 s left, step 2",
        "training:  60 %, 20 s left, step 3",
        "training:  80 %, 10 s left, step 4",
        "training:  80 %, 10 s left, validating",
        "training:  88 %, 6 s left, measuring A, 1 of 2",
        "training:  99 %, 0 s left, measuring A, 2 of 2",
        "training: 100 %, took 50 s",
    ]


def test_measuring_that_is_slower_than_expected_says_so_and_what_is_shown_never_goes_back(
    clock: Clock, stream: io.StringIO
) -> None:
    run = RunProgress(stream, clock, after=lambda training_s: 10.0)
    run.start_from(0.0)
    clock.now_s += 90
    run.trained(1.0, 90.0)
    run.follow("measuring", expected_s=10.0)
    for number in range(1, 5):
        clock.now_s += 4  # twice as slow
        run.did(2.0, f"{number}")
    left = [int(re.search(r"(\d+) s left", line)[1]) for line in lines(stream)[2:]]  # type: ignore[index]
    # What was expected weighs as a tenth of it: (4 + 1) / (2 + 1) times the 8 seconds that are left, and so on.
    assert left == [13, 11, 7, 4]
    shown = [percent(line) for line in lines(stream)]
    assert shown == sorted(shown)
    assert shown[-1] < 100


def test_a_resumed_run_counts_what_was_done_before(clock: Clock, stream: io.StringIO) -> None:
    run = RunProgress(stream, clock, after=lambda training_s: 20.0)
    run.start_from(0.5)
    clock.now_s += 10
    run.trained(0.6, 60.0)
    assert lines(stream) == ["training:  50 %, 1 min 00 s left"]


def test_without_anything_that_follows_training_is_all(clock: Clock, stream: io.StringIO) -> None:
    run = RunProgress(stream, clock)
    run.start_from(0.0)
    clock.now_s += 10
    run.trained(0.5, 10.0)
    clock.now_s += 10
    run.trained(1.0, 20.0)
    run.follow("validating")
    run.finish()
    assert lines(stream) == ["training:  50 %, 10 s left", "training: 100 %, took 20 s"]
