"""A table that is as high as its rows, up to a limit, and never asks for width."""

from __future__ import annotations

from typing import Any

import qt

from MultiTaskSegLib.panel.element.text_size import lines_high

MAX_LINES = 17


class TableFit:
    """Keeps the height of a ``QTableWidget`` that of its rows.

    The table's own way (``AdjustToContents``) also asks for the width of its columns. One of them has all the room that
    is left, so that the table would ask for a little more than it has, get it, and ask again.
    """

    def __init__(self, widget: Any) -> None:
        """Take over the widget, whose ``sizeAdjustPolicy`` is ``AdjustIgnored``."""
        self._widget = widget
        self._later = qt.QTimer(widget)  # goes with the widget
        self._later.setSingleShot(True)
        self._later.setInterval(0)
        self._later.connect("timeout()", self.fit)
        # Wrapped text takes more lines where a column gets narrower. Columns change one after the other, and a height
        # may bring a scroll bar that changes them once more: when all that is over.
        widget.horizontalHeader().connect("sectionResized(int,int,int)", lambda *_: self._later.start())

    def fit(self) -> None:
        """Bring the height up to date, after other rows have been filled in."""
        widget = self._widget
        widget.resizeRowsToContents()
        titles = widget.horizontalHeader().sizeHint.height()
        wanted = widget.verticalHeader().length() + titles + 2 * widget.frameWidth
        widget.setFixedHeight(min(wanted, lines_high(widget, MAX_LINES)))
