"""The list of a task's structures, each with a tick: which of them are wanted, remembered for each task."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import qt
from slicer.i18n import tr as _

from MultiTaskSegLib.panel.element.text_size import lines_high
from MultiTaskSegLib.runtime.errors import UsageError
from MultiTaskSegLib.task_list import KnownTask, offered_structures

AUTO = "auto"
NAME_ROLE = qt.Qt.UserRole
MAX_LINES = 6


class StructureChoice:
    """Keeps a list of ticks and the parameter ``leftOut`` the same: JSON, names that are not wanted, by task."""

    def __init__(self, ui: Any, store: Callable[[Any], object]) -> None:
        """Take over the widgets; ``store`` remembers the parameters for scenes to come."""
        self._store = store
        self._list, self._label = ui.structuresListWidget, ui.structuresLabel
        self._list.maximumHeight = lines_high(self._list, MAX_LINES)
        self._parameters: Any = None
        self._shown: tuple[Any, ...] = ()
        self._list.connect("itemChanged(QListWidgetItem*)", self._on_changed)

    def show(self, parameters: Any, tasks: Sequence[KnownTask]) -> None:
        """Offer the structures of the chosen task; of a task that is to be recognised all are wanted."""
        self._parameters = None  # what is filled in now is no choice of the user
        names = offered_structures(tasks, parameters.task) if parameters else ()
        self._list.visible = self._label.visible = names is None or len(names) > 1
        left_out = _left_out(parameters).get(parameters.task, []) if parameters else []
        if self._shown != (names, left_out):
            self._shown = (names, left_out)
            self._fill(names, left_out)
        self._parameters = None if names is None else parameters

    def _fill(self, names: Sequence[str] | None, left_out: Sequence[str]) -> None:
        self._list.clear()
        if names is None:
            item = qt.QListWidgetItem(_("All: which there are depends on the model, and none is chosen"))
            item.setFlags(qt.Qt.NoItemFlags)
            self._list.addItem(item)
        for name in names or ():
            item = qt.QListWidgetItem(name.replace("_", " "))
            item.setData(NAME_ROLE, name)
            item.setCheckState(qt.Qt.Unchecked if name in left_out else qt.Qt.Checked)
            self._list.addItem(item)

    def _on_changed(self, _item: Any) -> None:
        if self._parameters is None:
            return
        items = [self._list.item(row) for row in range(self._list.count)]
        off = [str(item.data(NAME_ROLE)) for item in items if item.checkState() == qt.Qt.Unchecked]
        parameters, left_out = self._parameters, _left_out(self._parameters)
        names = [str(item.data(NAME_ROLE)) for item in items]
        # Another model that knows the task may have other structures: what was said of those stays.
        left_out[parameters.task] = [*off, *(name for name in left_out.get(parameters.task, []) if name not in names)]
        self._shown = (self._shown[0], left_out[parameters.task])
        parameters.leftOut = json.dumps({task: names for task, names in left_out.items() if names})
        self._store(parameters)


def wanted_structures(parameters: Any, tasks: Sequence[KnownTask]) -> list[str]:
    """Names of the structures that are ticked; none where all are, where the task is to be recognised, where there is
    but one, of which nobody is asked, and where which there are depends on the model, of which none is chosen.

    Raises:
        UsageError: none is ticked, which must not mean all.
    """
    left_out = _left_out(parameters).get(parameters.task, [])
    names = offered_structures(tasks, parameters.task) or ()
    wanted = [name for name in names if name not in left_out]
    if len(names) < 2:
        return []
    if not wanted:
        raise UsageError("no structure is ticked", remedy="Tick what is to be segmented")
    return [] if len(wanted) == len(names) else wanted


def _left_out(parameters: Any) -> dict[str, list[str]]:
    try:
        found = json.loads(parameters.leftOut or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
