"""STAND-INS for the parts of Slicer that slicer-core lacks: Qt, CTK and MRML widgets, and Slicer's Python classes.

What passes on them shows that the modules' code is coherent: names in the .ui files, connections, enabling, the flow of
a run. It does not show how Slicer's own widgets behave, nor that Slicer loads the modules.
"""

from __future__ import annotations

import ctypes
import sys

SPARE_REFERENCES = 100_000  # more than a test run can use up


def keep_true_alive() -> None:
    """Give ``True`` references that are never given back.

    Each ``emit()`` of PySide6 6.12 returns True without a reference of its own, so that before Python 3.12, where True
    is immortal, a long test run ends in "deallocating True or False".
    """
    if sys.version_info < (3, 12):
        increment = ctypes.pythonapi.Py_IncRef
        increment.argtypes = [ctypes.py_object]
        for _ in range(SPARE_REFERENCES):
            increment(True)


keep_true_alive()
