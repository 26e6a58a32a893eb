"""The line says how many are through, and how long the rest takes at the pace of this run."""

from __future__ import annotations

import io

from MultiTaskSegLib.cohort.progress import WRITTEN_S, CohortProgress


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def test_the_time_left_is_that_of_the_cases_that_this_run_has_left():
    clock = Clock()
    progress = CohortProgress(io.StringIO(), 100, 40, clock)
    assert progress.line(0) == "40 of 100 cases, 0 at work, waiting for workers"
    clock.seconds, progress.done, progress.failed = 50.0, 19, 1
    assert progress.line(2) == "60 of 100 cases, 1 failed, 2 at work, 2.50 s per case, 0:01:40 left"


def test_a_file_gets_a_line_now_and_then():
    clock, stream = Clock(), io.StringIO()
    progress = CohortProgress(stream, 3, 0, clock)
    for clock.seconds in (1.0, WRITTEN_S, WRITTEN_S + 1):
        progress.show(1)
    assert stream.getvalue() == "0 of 3 cases, 1 at work\n"
