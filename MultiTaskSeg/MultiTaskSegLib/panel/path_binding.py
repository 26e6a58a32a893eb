"""A path of the parameter node in a ``ctkPathLineEdit``, which Slicer binds to ``Path`` values only."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any


class PathBinding:
    """Keeps a path line edit and a text parameter the same, whichever of them changes."""

    def __init__(self, line_edit: Any, name: str) -> None:
        """Take over the widget.

        Args:
            line_edit: a ``ctkPathLineEdit``.
            name: of the text parameter.
        """
        self._line_edit, self._name = line_edit, name
        self._node: Any = None
        self._shown = ""
        line_edit.connect("currentPathChanged(QString)", lambda _path: self.store())
        # The widget is silent about what its filters do not accept: nothing at all, and names with two dots.
        for field in _text_fields(line_edit):
            field.connect("editingFinished()", self.store)
            field.connect("textChanged(QString)", self._on_text)

    def show(self, node: Any) -> None:
        """Show the path of a parameter node, or go on without one; for whenever parameters have changed."""
        is_other_node, self._node = node is not self._node, None
        if node is None:
            return
        path = getattr(node, self._name)
        # What the user is typing is no path yet and must not be replaced by the last one that was.
        if is_other_node or path != self._shown:
            self._shown = path
            self._line_edit.currentPath = path
        self._node = node

    def store(self) -> None:
        """Write the path into the parameter node, if it is another one."""
        path = self._line_edit.currentPath
        if self._node is not None and path != self._shown:
            self._shown = path
            setattr(self._node, self._name, path)

    def _on_text(self, text: str) -> None:
        if not text or os.path.exists(text):
            self.store()


def _text_fields(widget: Any) -> Iterator[Any]:
    """The line edits inside a widget, at whatever depth."""
    for child in widget.children():
        if child.inherits("QLineEdit"):
            yield child
        else:
            yield from _text_fields(child)
