"""Progress reports: what is written, when, and how the remaining time is estimated."""

from __future__ import annotations

import io
import threading
import time

import pytest

from MultiTaskSegLib.runtime.machine.native_output import captured_native_output
from trainer.report.note import write_note
from trainer.report.progress import Progress, duration_text


class Clock:
    """Time that passes only when told."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class Terminal(io.StringIO):
    """A text stream that claims to be a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-3, "0 s"), (0, "0 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (185, "3 min 05 s"), (7620, "2 h 07 min")],
)
def test_duration_has_at_most_two_units(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


def test_remaining_time_follows_the_mean_speed() -> None:
    clock = Clock()
    progress = Progress(100, "train", io.StringIO(), clock)
    assert progress.remaining_s(0) is None
    clock.now_s += 20
    assert progress.remaining_s(25) == pytest.approx(60.0)


def test_resumed_work_is_not_counted_as_speed() -> None:
    clock = Clock()
    progress = Progress(100, "train", io.StringIO(), clock)
    progress.start_from(50)
    clock.now_s += 10
    assert progress.remaining_s(60) == pytest.approx(40.0)
    assert progress.remaining_s(50) is None


def test_log_gets_whole_lines_at_most_every_interval_and_the_last_one_always() -> None:
    clock, stream = Clock(), io.StringIO()
    progress = Progress(100, "train", stream, clock)
    for done in range(1, 101):
        clock.now_s += 1
        progress.update(done, f"loss {done}")
    lines = stream.getvalue().splitlines()
    assert "\r" not in stream.getvalue()
    assert len(lines) == 1 + 10
    assert lines[0] == "train:   1 % (1/100), 1 min 39 s left, loss 1"
    assert lines[-1] == "train: 100 % (100/100), took 1 min 40 s, loss 100"


@pytest.mark.parametrize("stream, interval_s", [(io.StringIO, 10.0), (Terminal, 0.2)])
def test_a_log_is_told_every_ten_seconds_and_a_terminal_five_times_a_second(
    stream: type[io.StringIO], interval_s: float
) -> None:
    clock, out = Clock(), stream()
    progress = Progress(100, "train", out, clock)
    progress.update(1)
    clock.now_s += 0.99 * interval_s
    progress.update(2)
    assert "(2/100)" not in out.getvalue()
    clock.now_s += 0.02 * interval_s
    progress.update(3)
    assert "(3/100)" in out.getvalue()


def test_a_share_of_the_whole_is_shown_as_percentage_alone() -> None:
    clock, stream = Clock(), io.StringIO()
    progress = Progress(1.0, "train", stream, clock)
    clock.now_s += 10
    progress.update(0.25)
    assert stream.getvalue() == "train:  25 %, 30 s left\n"


def test_terminal_rewrites_one_line_and_leaves_no_rest_of_a_longer_one() -> None:
    clock, stream = Clock(), Terminal()
    progress = Progress(2, "read", stream, clock)
    clock.now_s += 1
    progress.update(1, "a very long note about this case")
    clock.now_s += 1
    progress.update(2)
    first, second = stream.getvalue().rstrip("\n").split("\r")[1:]
    assert len(second) == len(first)
    assert second.rstrip() == "read: 100 % (2/2), took 2 s"
    assert stream.getvalue().count("\n") == 1


def test_close_ends_an_unfinished_terminal_line_once() -> None:
    clock, stream = Clock(), Terminal()
    progress = Progress(2, "read", stream, clock)
    progress.update(1)
    progress.close()
    progress.close()
    progress.update(2)
    assert stream.getvalue().endswith("\n")
    assert stream.getvalue().count("\n") == 1


@pytest.mark.parametrize("total", [0, -1, float("nan")])
def test_a_total_that_is_not_positive_is_refused(total: float) -> None:
    with pytest.raises(ValueError, match="positive"):
        Progress(total, "x", io.StringIO())


def test_nothing_is_written_while_another_thread_reads_an_image() -> None:
    written: list[str] = []

    class Console(io.StringIO):
        """Remembers whether an image was being read."""

        def write(self, text: str) -> int:
            written.append("while reading" if reading.is_set() else "afterwards")
            return super().write(text)

    reading, begun = threading.Event(), threading.Event()

    def read() -> None:
        with captured_native_output():
            reading.set()
            begun.set()
            time.sleep(0.05)
            reading.clear()

    thread = threading.Thread(target=read)
    thread.start()
    begun.wait(5)
    stream = Console()
    Progress(2, "preparing", stream).update(1)
    write_note("so", stream)
    thread.join()
    assert written == ["afterwards"] * 2
