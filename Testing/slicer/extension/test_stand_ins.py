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


def calls_of_the_stand_in_while_reading(widget: object, name: str) -> int:
    """How often Python functions of the stand-in are entered for one property, with those that Qt enters itself."""
    entered = 0

    def count(frame, event, _argument):
        nonlocal entered
        entered += event == "call" and frame.f_code.co_filename.endswith("python_qt.py")

    sys.setprofile(count)
    try:
        getattr(widget, name)
    finally:
        sys.setprofile(None)
    return entered


@pytest.mark.parametrize("kind", ["QWidget", "QComboBox", "QTableWidget", "QProgressBar", "QPushButton", "QLabel"])
def test_a_property_whose_getter_is_virtual_does_not_ask_for_itself(stand_ins, kind):
    widget = getattr(stand_ins, kind)()
    meta = widget.metaObject()
    names = [meta.property(index).name() for index in range(meta.propertyCount())]
    counts = {name: calls_of_the_stand_in_while_reading(widget, name) for name in names}
    assert {name: count for name, count in counts.items() if count > 10} == {}
