"""A double click on the row of a table, or Return, on every system."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt

KEYS = ("Return", "Enter")


def when_activated(widget: Any, activated: Callable[[int], object]) -> None:
    """Call ``activated`` with the number of the row of a ``QTableWidget`` that is double-clicked, or on which Return or
    Enter is pressed.

    The keys are listened to apart: on macOS Qt takes them for the wish to edit a cell, and tells nobody.
    """

    def on_key() -> None:
        """The row that the keyboard is at, if any."""
        if widget.currentRow() >= 0:
            activated(widget.currentRow())

    widget.connect("cellActivated(int,int)", lambda row, _column: activated(row))
    for key in KEYS:
        shortcut = qt.QShortcut(qt.QKeySequence(key), widget)  # goes with the widget
        shortcut.setContext(qt.Qt.WidgetShortcut)
        shortcut.connect("activated()", on_key)
