"""The list of Pythons that the worker may run with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
from slicer.i18n import tr as _

from MultiTaskSegLib.installation.chosen_python import OWN, choose_python, chosen_path
from MultiTaskSegLib.interpreter.found_pythons import found_pythons
from MultiTaskSegLib.panel.element.choice_list import ChoiceList
from MultiTaskSegLib.runtime.errors import MtsError

BROWSE = "..."


class PythonChoice:
    """Keeps a combo box and the setting the same."""

    def __init__(self, combo_box: Any, fail: Callable[[str], object]) -> None:
        """Take over the combo box; ``fail`` is told in words why a choice is not possible."""
        self._combo_box, self._fail = combo_box, fail
        self._list = ChoiceList(combo_box, self._choose)
        self.show()

    def show(self) -> None:
        """Offer Slicer's own, what is found on the machine, what is chosen, and to look for another."""
        chosen = chosen_path()
        paths = list(dict.fromkeys([*map(str, found_pythons()), *([chosen] if chosen else [])]))
        entries = [(OWN, _("Of this Slicer")), *((path, path) for path in paths), (BROWSE, _("Another..."))]
        self._list.offer(entries, chosen)

    def _choose(self, value: str) -> None:
        if value == BROWSE:
            value = str(qt.QFileDialog.getOpenFileName(self._combo_box, _("The program python")) or chosen_path())
        try:
            choose_python(value)
        except MtsError as error:
            self._fail(str(error))
        self.show()
