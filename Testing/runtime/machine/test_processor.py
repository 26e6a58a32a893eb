"""The name of the processor, told without starting a program."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from MultiTaskSegLib.runtime.machine import processor

UNREADABLE = "unreadable"
REPOSITORY = Path(__file__).resolve().parents[3]
LISTENING = """
import sys
from MultiTaskSegLib.runtime.machine.processor import processor_name
from MultiTaskSegLib.runtime.network import backend_choice
started = []
sys.addaudithook(lambda event, words: started.append(words) if event in ("subprocess.Popen", "os.system") else None)
assert processor_name()
import torch
backend_choice._key("a digest", torch.device("cpu"))
assert started == [], started
"""


def test_the_name_is_that_of_the_first_processor_of_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = tmp_path / "cpuinfo"
    told.write_text("processor\t: 0\nmodel name\t: Maker 5: Fast\nprocessor\t: 1\nmodel name\t: Other\n", "utf-8")
    monkeypatch.setattr(processor, "CPU_INFO", told)
    assert processor.processor_name() == "Maker 5: Fast"


@pytest.mark.parametrize("content", ["Hardware\t: board\n", None, UNREADABLE])
def test_without_one_the_environment_tells_and_else_the_family(
    content: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = tmp_path / "cpuinfo"
    if content is UNREADABLE:
        told.mkdir()
    elif content is not None:
        told.write_text(content, "utf-8")
    monkeypatch.setattr(processor, "CPU_INFO", told)
    monkeypatch.setenv("PROCESSOR_IDENTIFIER", "Intel64 Family 6")
    assert processor.processor_name() == "Intel64 Family 6"
    monkeypatch.delenv("PROCESSOR_IDENTIFIER")
    assert processor.processor_name() == platform.machine()


def test_what_is_remembered_of_a_machine_is_named_without_starting_a_program() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LISTENING], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
