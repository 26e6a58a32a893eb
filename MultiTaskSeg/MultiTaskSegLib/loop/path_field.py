"""A path that the user chooses and that is remembered for other scenes."""

from __future__ import annotations

from typing import Any

import qt
import slicer

GROUP = "MultiTaskSeg"


class PathField:
    """A ``ctkPathLineEdit`` with the value of a setting of the application."""

    def __init__(self, line_edit: Any, setting: str) -> None:
        """Take over the widget, and show what was chosen last."""
        self._line_edit, self._key = line_edit, f"{GROUP}/{setting}"
        line_edit.currentPath = str(slicer.util.settingsValue(self._key, "") or "")

    @property
    def path(self) -> str:
        """What is chosen; remembered from now on."""
        path = str(self._line_edit.currentPath).strip()
        qt.QSettings().setValue(self._key, path)
        return path

    def choose(self, path: str) -> None:
        """Put a path into the field."""
        self._line_edit.currentPath = path
