"""A table that is as high as its rows, up to a limit, and never asks for width."""

from __future__ import annotations

from typing import Any

MAX_HEIGHT_PIXELS = 260


class TableFit:
    """Keeps the height of a ``QTableWidget`` that of its rows.

    The table's own way (``AdjustToContents``) also asks for the width of its columns. One of them has all the room that
    is left, so that the table would ask for a little more than it has, get it, and ask again.
    """

    def __init__(self, widget: Any) -> None:
        """Take over the widget, whose ``sizeAdjustPolicy`` is ``AdjustIgnored``."""
        self._widget = widget
        self._is_fitting = False
        # Wrapped text takes more lines where a column gets narrower.
        widget.horizontalHeader().connect("sectionResized(int,int,int)", lambda *_: self.fit())

    def fit(self) -> None:
        """Bring the height up to date, after other rows have been filled in."""
        if self._is_fitting:
            return
        self._is_fitting = True
        widget = self._widget
        widget.resizeRowsToContents()
        titles = widget.horizontalHeader().sizeHint.height()
        wanted = widget.verticalHeader().length() + titles + 2 * widget.frameWidth
        widget.setFixedHeight(min(wanted, MAX_HEIGHT_PIXELS))
        self._is_fitting = False
