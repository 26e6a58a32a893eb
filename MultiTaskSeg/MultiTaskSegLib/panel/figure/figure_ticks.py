"""A menu with a tick for each measurement of Segment Statistics that the images of a batch are to get."""

from __future__ import annotations

import json
from typing import Any

import qt
from slicer.i18n import tr as _

from MultiTaskSegLib.scene.figure.measurement import measurements


class FigureTicks:
    """Keeps the ticks and the parameter ``batchFigures`` the same: JSON, a list of columns."""

    def __init__(self, button: Any) -> None:
        """Take over the button, a ``QPushButton``; it says how many are ticked."""
        self._button = button
        self._parameters: Any = None
        self.menu = qt.QMenu(button)
        self._actions = {one.column: self.menu.addAction(one.column) for one in measurements()}
        for action in self._actions.values():
            action.setCheckable(True)
        button.setMenu(self.menu)
        self.menu.connect("triggered(QAction*)", self._on_triggered)

    def show(self, parameters: Any) -> None:
        """Show what a parameter node says; without one nothing is ticked."""
        self._parameters = parameters
        ticked = ticked_figures(parameters)
        for column, action in self._actions.items():
            action.setChecked(column in ticked)
        text = _("Figures: {count} of {all}").format(count=len(ticked), all=len(self._actions))
        self._button.text = text if ticked else _("Figures")

    def _on_triggered(self, _action: Any) -> None:
        if self._parameters is not None:
            ticked = [column for column, action in self._actions.items() if action.property("checked")]
            self._parameters.batchFigures = json.dumps(ticked) if ticked else ""
        self.show(self._parameters)


def ticked_figures(parameters: Any) -> list[str]:
    """Columns that a parameter node says are ticked, as far as there are such."""
    try:
        found = json.loads(parameters.batchFigures or "[]") if parameters is not None else []
    except ValueError:
        return []
    ticked = found if isinstance(found, list) else []
    return [one.column for one in measurements() if one.column in ticked]
