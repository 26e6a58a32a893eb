"""Benchmark processes that are started by hand say what they want."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("arguments", [[], ["missing.json"]])
@pytest.mark.parametrize("name", ["one_run", "nnunet_training", "own_training"])
def test_without_a_request_there_is_a_usage_line_and_no_traceback(name: str, arguments: list[str], repository: Path):
    command = [sys.executable, "-m", f"Testing.bench.{name}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=repository)
    assert done.returncode != 0
    assert done.stderr.startswith("usage: ")
    assert f"python -m Testing.bench.{name} REQUEST.json" in done.stderr
    assert "Traceback" not in done.stderr
