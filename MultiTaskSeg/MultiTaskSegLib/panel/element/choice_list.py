"""A combo box whose entries stand for values of a parameter, each with a title for people."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


class ChoiceList:
    """Fills a ``QComboBox`` and keeps the value of the chosen entry."""

    def __init__(self, combo_box: Any, changed: Callable[[str], object]) -> None:
        """Take over the widget; ``changed`` is called with the value that the user chooses."""
        self._combo_box = combo_box
        self._changed = changed
        combo_box.connect("currentIndexChanged(int)", self._on_index)

    def offer(self, entries: Sequence[tuple[str, str]], value: str) -> str:
        """Offer ``(value, title)`` entries and select one without calling anybody; the value that is selected now.

        The first entry is selected where ``value`` is none of them.
        """
        was_blocked = self._combo_box.blockSignals(True)
        self._combo_box.clear()
        for entry, title in entries:
            self._combo_box.addItem(title, entry)
        self._combo_box.setCurrentIndex(max(self._combo_box.findData(value), 0))
        self._combo_box.blockSignals(was_blocked)
        return str(self._combo_box.currentData)

    def select(self, value: str) -> None:
        """Select the entry of a value without calling anybody; nothing happens where there is none."""
        index = self._combo_box.findData(value)
        if index >= 0 and index != self._combo_box.currentIndex:
            was_blocked = self._combo_box.blockSignals(True)
            self._combo_box.setCurrentIndex(index)
            self._combo_box.blockSignals(was_blocked)

    def _on_index(self, index: int) -> None:
        if index >= 0:
            self._changed(str(self._combo_box.currentData))
