"""A process that crashes or is asked to end says so."""

from __future__ import annotations

import faulthandler
import os
import signal
import subprocess
import sys
import threading

import pytest

from trainer import cli
from trainer.report.last_words import Terminated, last_words

CRASH = """
import ctypes, sys
from MultiTaskSegLib.runtime.machine.native_output import captured_native_output
from trainer.report.last_words import last_words
with last_words():
    with captured_native_output():
        ctypes.string_at(0)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="sends a signal")
def test_a_crash_of_compiled_code_is_told_also_while_an_image_is_read() -> None:
    ended = subprocess.run([sys.executable, "-c", CRASH], capture_output=True, text=True, check=False)
    assert ended.returncode < 0
    assert "Segmentation fault" in ended.stderr
    assert "string_at" in ended.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="sends a signal")
def test_a_request_to_end_is_told_and_the_handler_before_comes_back(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(signal.SIGTERM)

    def ask(options: object) -> int:
        os.kill(os.getpid(), signal.SIGTERM)
        return 0

    monkeypatch.setattr(cli, "_info", ask)
    assert cli.main(["info", "m"]) == 130
    assert "--resume" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) == before


def test_it_is_an_interruption_to_whoever_knows_only_those() -> None:
    assert issubclass(Terminated, KeyboardInterrupt)


def test_other_threads_change_nothing_and_who_tells_crashes_already_goes_on() -> None:
    was = faulthandler.is_enabled()
    before = signal.getsignal(signal.SIGTERM)
    seen: list[object] = []

    def inside() -> None:
        with last_words():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert seen == [before]
    assert faulthandler.is_enabled() == was


def test_memory_that_ran_out_in_a_library_is_told_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def ask(options: object) -> int:
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(cli, "_info", ask)
    assert cli.main(["info", "m"]) == 4
    assert "not enough memory" in capsys.readouterr().err
