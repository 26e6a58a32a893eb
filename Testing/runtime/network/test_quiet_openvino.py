"""OpenVINO computes and tells nobody: its telemetry is kept away."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest

from MultiTaskSegLib.runtime.network import backend_choice, quiet_openvino

REPOSITORY = Path(__file__).resolve().parents[3]
STARTED = """
import json, sys, time

heard = []
EVENTS = ("os.fork", "os.posix_spawn", "subprocess.Popen", "socket.connect", "socket.getaddrinfo")
sys.addaudithook(lambda event, words: heard.append(event) if event in EVENTS else None)
"""
LOUD = "import openvino\n"
QUIET = """
import torch
from MultiTaskSegLib.runtime.network.backend import TorchBackend
from MultiTaskSegLib.runtime.network.compiled_backend import openvino_backend
from Testing.runtime.tiny_model import tiny_network

openvino_backend(TorchBackend(tiny_network(), torch.device("cpu")))
"""
TOLD = """
time.sleep(0.5)
print(json.dumps(heard))
"""

installed = pytest.mark.skipif(find_spec("openvino") is None, reason="OpenVINO is not installed")


def heard_of(code: str, home: Path) -> list[str]:
    """What a new process of a user asked of network and system, with ``home`` as its home folder."""
    home.mkdir()
    # With CI in the environment the telemetry would hold its tongue.
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    environment |= {"HOME": str(home), "LOCALAPPDATA": str(home)}
    done = subprocess.run(
        [sys.executable, "-c", STARTED + code + TOLD],
        cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    found: list[str] = json.loads(done.stdout.splitlines()[-1])
    return found


@installed
def test_compiling_a_network_sends_nothing_starts_nothing_and_leaves_no_trace_of_the_user(tmp_path: Path) -> None:
    assert heard_of(QUIET, tmp_path / "quiet") == []
    assert list((tmp_path / "quiet").iterdir()) == []


@installed
def test_without_that_the_package_would_keep_a_number_for_the_user(tmp_path: Path) -> None:
    """The day that this fails, OpenVINO has learnt to ask, and the guard may go."""
    heard_of(LOUD, tmp_path / "loud")
    assert list((tmp_path / "loud").rglob("openvino_ga_cid"))


def test_where_the_telemetry_is_loaded_already_openvino_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(quiet_openvino, "find_spec", lambda name: object())
    monkeypatch.setattr(backend_choice, "is_address_space_limited", lambda: False)
    monkeypatch.setitem(sys.modules, quiet_openvino.TELEMETRY, None)
    assert backend_choice._compiles(torch.device("cpu"))
    monkeypatch.setitem(sys.modules, quiet_openvino.TELEMETRY, ModuleType(quiet_openvino.TELEMETRY))
    assert not quiet_openvino.is_openvino_usable()
    assert not backend_choice._compiles(torch.device("cpu"))
    with pytest.raises(ImportError, match="would report"):
        quiet_openvino.quiet_openvino()
