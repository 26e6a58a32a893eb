"""The test bed itself must not end a long test run (ON STAND-IN WIDGETS)."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")
pytest.importorskip(
    "PySide6.QtWidgets", reason="PySide6 or the system libraries it needs are missing", exc_type=ImportError
)

MANY_CALLS = """
import sys
from Testing.slicer.stand_ins.installation import application
from PySide6.QtCore import QObject, Signal

class Sender(QObject):
    told = Signal()

app, sender = application(), Sender()
for _ in range(60_000):
    sender.setObjectName("x")
    sender.told.emit()
print("through", min(map(sys.getrefcount, (None, True, False))) > 500_000_000)
"""


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="None and True are immortal here")
def test_tens_of_thousands_of_calls_of_qt_do_not_use_up_none_and_true(repository):
    done = subprocess.run([sys.executable, "-c", MANY_CALLS], capture_output=True, text=True, cwd=repository)
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, ["through", "True"], "")
