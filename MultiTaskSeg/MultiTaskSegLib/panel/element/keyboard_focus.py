"""Lets the keyboard reach widgets that are made of several: with the Tab key, and with the letters of their titles."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import qt

COMPOUND = ("qMRMLNodeComboBox", "ctkPathLineEdit", "ctkSliderWidget")
FIELDS = ("QComboBox", "QAbstractSpinBox")  # which one of them types into


def make_reachable(ui: Any) -> None:
    """Hand the focus of each compound widget of a panel to the field inside it.

    None of them takes the focus on its own account, which is all that the letter of a title asks for. A selector of
    nodes is left out by the Tab key as well: its box hands the focus back to the selector.
    """
    for widget in vars(ui).values():
        field = next(_fields(widget), None) if any(map(widget.inherits, COMPOUND)) else None
        if field is not None:
            field.setFocusProxy(None)
            widget.setFocusProxy(field)
            widget.setFocusPolicy(qt.Qt.StrongFocus)


def _fields(widget: Any) -> Iterator[Any]:
    """The fields inside a widget, at whatever depth."""
    for child in widget.children():
        if any(map(child.inherits, FIELDS)):
            yield child
        else:
            yield from _fields(child)
