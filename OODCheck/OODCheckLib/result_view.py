"""The table of a batch in the panel: one row per image, double-click to see it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from MultiTaskSegLib.panel.element.plain_tip import plain_tip
from MultiTaskSegLib.panel.element.row_activation import when_activated
from MultiTaskSegLib.panel.element.table_fit import TableFit
from MultiTaskSegLib.panel.verdict_banner import Level
from MultiTaskSegLib.scene.batch.batch_table import batch_rows_of
from MultiTaskSegLib.task_list import short_name
from OODCheckLib.result_table import NOT_CHECKED, WORDS, texts_of, write_csv

SHOWN = ("image", "verdict", "p_value", "score", "nearest_task")
DIGITS = 3
FILE_NAME = "ood_check.csv"


class ResultView:
    """Shows a result table of the scene in a ``QTableWidget`` and saves it."""

    def __init__(self, widget: Any, export_button: Any, activated: Callable[[int], object]) -> None:
        """Take over the widgets.

        Args:
            widget: a ``QTableWidget``.
            export_button: saves the table as a CSV file that the user names.
            activated: is called with the number of the row that is double-clicked, or on which Return is pressed.
        """
        self._widget = widget
        self._node: slicer.vtkMRMLTableNode | None = None
        self._stamp: tuple[str, int] | None = None
        titles = [_("Image"), _("Verdict"), _("p"), _("Score"), _("Nearest task")]
        widget.setColumnCount(len(titles))
        widget.setHorizontalHeaderLabels(titles)
        for column, title in enumerate(SHOWN):
            # Names can be of any length; they share what the others leave, and have a tip.
            mode = qt.QHeaderView.Stretch if title in ("image", "nearest_task") else qt.QHeaderView.ResizeToContents
            widget.horizontalHeader().setSectionResizeMode(column, mode)
        self._fit = TableFit(widget)
        when_activated(widget, activated)
        export_button.connect("clicked(bool)", self._on_export)

    def show(self, node: slicer.vtkMRMLTableNode | None) -> None:
        """Show the rows of a table node; none without one."""
        stamp = None if node is None else (node.GetID(), node.GetMTime())
        if node is self._node and stamp == self._stamp:
            return
        self._node, self._stamp = node, stamp
        rows = [] if node is None else batch_rows_of(node)  # once: they are read anew for each call
        self._widget.setRowCount(len(rows))
        for row, texts in enumerate(map(texts_of, rows)):
            for column, title in enumerate(SHOWN):
                item = qt.QTableWidgetItem(_shown_text(title, texts[title]))
                tip = texts["message"] or (texts["file"] if title == "image" else "") or texts[title]
                item.setToolTip(plain_tip(tip))
                if title == "verdict":
                    _colour(item, texts["verdict"])
                self._widget.setItem(row, column, item)
        self._fit.fit()

    def _on_export(self, _checked: bool = False) -> None:
        path = qt.QFileDialog.getSaveFileName(self._widget, _("Save the table"), FILE_NAME, "CSV (*.csv)")
        if path and self._node is not None:
            with slicer.util.tryWithErrorDisplay(_("The table could not be saved.")):
                write_csv(self._node, path)


def _shown_text(title: str, text: str) -> str:
    if title == "verdict":
        return _short_words(_level(text))
    if title == "nearest_task":
        return short_name(text)
    is_figure = title in ("p_value", "score") and text
    return f"{float(text):.{DIGITS}g}" if is_figure else text


def _short_words(level: Level | None) -> str:
    if level is None:
        return _("not checked")
    return {Level.KNOWN: _("in"), Level.UNUSUAL: _("unusual"), Level.FOREIGN: _("OUT")}[level]


def _level(words: str) -> Level | None:
    return (
        next((Level[name] for name, known in WORDS.items() if known == words), None) if words != NOT_CHECKED else None
    )


def _colour(item: Any, words: str) -> None:
    level = _level(words)
    if level is not None:
        item.setBackground(qt.QBrush(qt.QColor(level.value)))
        item.setForeground(qt.QBrush(qt.QColor("#ffffff")))
