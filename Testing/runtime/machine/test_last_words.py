"""A process that crashes or is asked to end says so."""

from __future__ import annotations

import faulthandler
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MultiTaskSegLib.runtime import cli
from MultiTaskSegLib.runtime.machine.last_words import Terminated, last_words
from Testing.runtime.tiny_model import write_tiny_model

CRASH = """
import ctypes, sys
from MultiTaskSegLib.runtime.machine.native_output import captured_native_output
from MultiTaskSegLib.runtime.machine.last_words import last_words
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
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_request_to_end_is_told_and_the_handler_before_comes_back(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    number = getattr(signal, name)
    # Whatever started the tests may have it ignored, as nohup does.
    found = signal.signal(number, signal.SIG_DFL)

    def ask(options: object) -> int:
        os.kill(os.getpid(), number)
        return 0

    monkeypatch.setattr(cli, "_info", ask)
    try:
        assert cli.main(["info", "m"]) == 130
        assert signal.getsignal(number) == signal.SIG_DFL
    finally:
        signal.signal(number, found)
    assert capsys.readouterr().err == "multitaskseg: interrupted\n"


@pytest.mark.skipif(sys.platform == "win32", reason="sends a signal")
def test_a_request_that_is_to_be_passed_over_stays_so() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with last_words():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.skipif(sys.platform == "win32", reason="sends a signal")
@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_run_that_is_ended_while_it_writes_leaves_the_earlier_result_and_no_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    model, image, folder = write_tiny_model(tmp_path / "tiny.mts.safetensors"), tmp_path / "scan.nrrd", tmp_path / "o"
    voxels = np.random.default_rng(8).normal(200, 40, (8, 9, 10)).astype(np.float32)
    sitk.WriteImage(sitk.GetImageFromArray(voxels), str(image))
    words = ["segment", str(image), "-m", str(model), "-o", str(folder), "--device", "cpu"]
    assert cli.main(words) == 0
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    left, plain = [number], os.replace

    def ended(source: Path, target: Path) -> None:
        """After so many files the system ends the process."""
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGTERM)
        left[0] -= 1
        plain(source, target)

    monkeypatch.setattr(os, "replace", ended)
    assert cli.main(words) == 130
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


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
