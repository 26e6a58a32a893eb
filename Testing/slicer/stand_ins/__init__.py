"""STAND-INS for the parts of Slicer that slicer-core lacks: Qt, CTK and MRML widgets, and Slicer's Python classes.

What passes on them shows that the modules' code is coherent: names in the .ui files, connections, enabling, the flow of
a run. It does not show how Slicer's own widgets behave, nor that Slicer loads the modules.
"""

from __future__ import annotations

import ctypes
import sys

SPARE_REFERENCES = 10**9  # as good as immortal, and far from the end of the counter


def keep_constants_alive() -> None:
    """Give ``None``, ``True`` and ``False`` references that are never given back.

    PySide6 6.12 is built for Python 3.12 and later, where these are immortal: each of its methods that returns None
    (``setText()``, ``processEvents()`` ...) and each ``emit()`` returns it without a reference of its own. On older
    Pythons every such call takes one away, and a long test run ends in "deallocating None". PySide6 6.11 does not.
    """
    if sys.version_info < (3, 12):
        for constant in (None, True, False):
            # Where CPython keeps the count; a loop over Py_IncRef would take seconds.
            ctypes.c_ssize_t.from_address(id(constant)).value += SPARE_REFERENCES


keep_constants_alive()
