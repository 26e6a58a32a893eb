"""The figures of each segment in a table widget; a double click leads to the most uncertain place of a segment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isnan
from typing import Any

import qt
from slicer.i18n import tr as _

from MultiTaskSegLib.panel.element.plain_tip import plain_tip
from MultiTaskSegLib.panel.element.row_activation import when_activated
from MultiTaskSegLib.panel.element.table_fit import TableFit
from MultiTaskSegLib.panel.element.volume_text import volume_texts
from MultiTaskSegLib.scene.result_table import SegmentRow
from MultiTaskSegLib.scene.uncertain_region import HIGH_UNCERTAINTY

NAME_COLUMN = 0


class SegmentTable:
    """Fills a ``QTableWidget`` with the rows of a result."""

    def __init__(self, widget: Any, activated: Callable[[str], object]) -> None:
        """Take over the widget.

        Args:
            widget: a ``QTableWidget``.
            activated: is called with the ID of the segment whose row is double-clicked, or on which Return is pressed.
        """
        self._widget = widget
        self._ids: list[str] = []
        titles = self._titles()
        widget.setColumnCount(len(titles))
        for column, (title, tip) in enumerate(titles):
            item = qt.QTableWidgetItem(title)
            item.setToolTip(tip)
            widget.setHorizontalHeaderItem(column, item)
        header = widget.horizontalHeader()
        header.setSectionResizeMode(qt.QHeaderView.ResizeToContents)
        header.setSectionResizeMode(NAME_COLUMN, qt.QHeaderView.Stretch)
        widget.verticalHeader().setVisible(False)
        when_activated(widget, lambda row: activated(self._ids[row]))
        self._fit = TableFit(widget)

    @property
    def selected(self) -> str | None:
        """ID of the segment whose row is selected."""
        chosen = sorted({index.row() for index in self._widget.selectedIndexes()})
        return self._ids[chosen[0]] if chosen and chosen[0] < len(self._ids) else None

    def deselect(self) -> None:
        """Select no row."""
        self._widget.clearSelection()

    def show(
        self,
        rows: Sequence[SegmentRow],
        colours: Sequence[tuple[float, float, float]] = (),
        further: Sequence[tuple[str, Sequence[float]]] = (),
    ) -> None:
        """Show these rows, each with the colour of its segment (0 to 1), instead of what was there.

        ``further`` are titles and values of more columns, NaN for what is missing.
        """
        own = len(self._titles())
        self._widget.setColumnCount(own + len(further))
        for number, (title, _values) in enumerate(further):
            self._widget.setHorizontalHeaderItem(own + number, qt.QTableWidgetItem(title.replace(" [", "\n[")))
        self._ids = [row.segment_id for row in rows]
        self._widget.setRowCount(len(rows))
        texts = _texts(rows)
        for number, row in enumerate(rows):
            tip = _tip(row)
            more = ["" if isnan(values[number]) else f"{values[number]:.4g}" for _title, values in further]
            for column, text in enumerate([*texts[number], *more]):
                item = qt.QTableWidgetItem(text)
                if column != NAME_COLUMN:
                    item.setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
                item.setToolTip(plain_tip(f"{row.name}\n{tip}"))
                self._widget.setItem(number, column, item)
        for number, (red, green, blue) in enumerate(colours):
            self._widget.item(number, NAME_COLUMN).setData(qt.Qt.DecorationRole, qt.QColor.fromRgbF(red, green, blue))
        self._fit.fit()

    def _titles(self) -> list[tuple[str, str]]:
        uncertain = _("Volume of the segment where the uncertainty is {limit} or more, in millilitres")
        return [
            (_("Structure"), _("Name of the segment")),
            (_("Volume\n[mL]"), _("Volume of the segment in millilitres")),
            (_("Mean\nconf."), _("Mean calibrated probability of the label over the segment")),
            (_("Pred.\nDice"), _("Dice coefficient to be expected of the segment")),
            (_("Uncert.\n[mL]"), uncertain.format(limit=HIGH_UNCERTAINTY)),
        ]


def _tip(row: SegmentRow) -> str:
    if row.is_corrected:
        return _("Corrected after the run: what the model said of this segment no longer holds")
    place = _("Double-click or Return: show where this segment is most uncertain")
    lines = []
    if row.dice_at_least is not None:
        lines.append(_("Dice at least {bound:.2f} in nine of ten such images").format(bound=row.dice_at_least))
    if row.agreement is not None:
        lines.append(_("Further looks agree with a Dice of {dice:.2f}").format(dice=row.agreement))
    return "\n".join([*lines, place])


def _texts(rows: Sequence[SegmentRow]) -> list[list[str]]:
    """The cells; the volumes of a column have the same number of decimals."""
    volumes = volume_texts([row.volume_ml for row in rows])
    uncertain = volume_texts([row.uncertain_ml for row in rows])
    return [_row_texts(row, *figures) for row, *figures in zip(rows, volumes, uncertain, strict=True)]


def _row_texts(row: SegmentRow, volume: str, uncertain: str) -> list[str]:
    corrected = _("corrected") if row.is_corrected else ""
    if not row.is_found:
        return [row.name, _("not found"), corrected, "", ""]
    confidence = corrected if row.mean_confidence is None else f"{100.0 * row.mean_confidence:.0f} %"
    dice = "" if row.predicted_dice is None else f"{row.predicted_dice:.2f}"
    size = _("{count} voxels").format(count=row.voxels) if row.volume_ml is None else volume
    return [row.name, size, confidence, dice, uncertain]
