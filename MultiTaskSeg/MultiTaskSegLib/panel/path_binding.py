"""A path of the parameter node in a ``ctkPathLineEdit``, which Slicer binds to ``Path`` values only."""

from __future__ import annotations

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
        """Write the path into the parameter node; also for right before use, as the widget is silent when cleared."""
        if self._node is not None:
            self._shown = self._line_edit.currentPath
            setattr(self._node, self._name, self._shown)
