"""The list of models in a table widget; the one that is used has a mark, and one that cannot be used says why."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import qt
from slicer.i18n import tr as _

from MultiTaskSegLib.panel.element.plain_tip import plain_tip
from MultiTaskSegLib.panel.element.text_size import letters_wide
from MultiTaskSegLib.runtime.model.model_list import ListedModel
from MultiTaskSegLib.task_list import short_name

SEGMENTS_COLUMN, MODALITY_COLUMN, LICENCE_COLUMN = 1, 2, 5
MARK = "\u2713 "
LONG_TEXT_LETTERS = 20  # of columns whose texts may be long; they are wrapped, and shown whole in the tip


class ModelTable:
    """Fills a ``QTableWidget`` and knows which model is in which row."""

    def __init__(self, widget: Any) -> None:
        """Take over the widget."""
        self._widget = widget
        self._models: list[ListedModel] = []
        titles = _titles()
        widget.setColumnCount(len(titles))
        widget.setHorizontalHeaderLabels(titles)
        header = widget.horizontalHeader()
        header.setSectionResizeMode(qt.QHeaderView.ResizeToContents)
        header.setSectionResizeMode(SEGMENTS_COLUMN, qt.QHeaderView.Stretch)
        for column in (MODALITY_COLUMN, LICENCE_COLUMN):
            header.setSectionResizeMode(column, qt.QHeaderView.Interactive)
            widget.setColumnWidth(column, letters_wide(widget, LONG_TEXT_LETTERS))

    def show(self, models: Sequence[ListedModel], used: str) -> None:
        """Show these models instead of what was there; ``used`` is the panel's path, or empty."""
        row = self._widget.currentRow()
        kept = self._models[row].path if 0 <= row < len(self._models) else None
        self._models = list(models)
        self._widget.setRowCount(len(models))
        for number, model in enumerate(models):
            for column, text in enumerate(_texts(model, is_used(model, used))):
                item = qt.QTableWidgetItem(text)
                item.setToolTip(plain_tip(_tip(model)))
                self._widget.setItem(number, column, item)
        if kept is not None:
            self.select(kept)

    def select(self, path: Path) -> None:
        """Go to the row of a file, if there is one."""
        for number, model in enumerate(self._models):
            if model.path == path:
                self._widget.setCurrentCell(number, 0)

    def selected(self) -> ListedModel | None:
        """The model of the current row, if there is one."""
        row = self._widget.currentRow()
        return self._models[row] if 0 <= row < len(self._models) else None


def is_used(model: ListedModel, used: str) -> bool:
    """Whether a model is the one that a panel has, or one of those among which the image decides."""
    return (model.is_checked and not model.problem) if not used else model.path == Path(used)


def _titles() -> list[str]:
    return [_("Name"), _("Segments"), _("Modality"), _("Channels"), _("Size"), _("Licence"), _("Checked")]


def _texts(model: ListedModel, used: bool) -> list[str]:
    name = f"{MARK if used else ''}{model.name or model.path}"
    if model.problem:
        return [name, _("cannot be used: {problem}").format(problem=model.problem), "", "", model.size_text(), "", ""]
    segments = model.segments(short=True) if len(model.tasks) == 1 else _task_names(model)
    checked = _("yes") if model.is_checked else _("no")
    return [
        name,
        segments,
        ", ".join(model.modalities),
        model.channel_text(),
        model.size_text(),
        model.licence,
        checked,
    ]


def _task_names(model: ListedModel) -> str:
    return ", ".join(short_name(task.name) for task in model.tasks)


def _tip(model: ListedModel) -> str:
    lines = [model.segments(), model.licence_text, str(model.path)]
    return "\n".join(line for line in lines if line)
