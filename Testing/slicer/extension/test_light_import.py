"""Slicer starts with both modules: they must not bring the heavy packages along."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")
pytest.importorskip(
    "PySide6.QtWidgets", reason="PySide6 or the system libraries it needs are missing", exc_type=ImportError
)

HEAVY = ("torch", "scipy", "SimpleITK", "safetensors", "matplotlib")
CODE = """
import json, sys
from Testing.slicer.mrml_session import MrmlSession
from Testing.slicer.stand_ins.installation import install
session = MrmlSession()
install()
before = set(sys.modules)
import MultiTaskSeg, OODCheck
print(json.dumps(sorted({name.partition(".")[0] for name in set(sys.modules) - before})))
"""


def test_importing_both_modules_loads_no_heavy_package(repository):
    command = [sys.executable, "-c", CODE]
    done = subprocess.run(command, capture_output=True, text=True, cwd=repository, check=True)
    loaded = json.loads(done.stdout.splitlines()[-1])
    assert {"MultiTaskSeg", "OODCheck"} <= set(loaded)
    assert set(loaded) & set(HEAVY) == set()
