"""The part of the panel for several images: what to segment, one button, and a table of what became of each image."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from MultiTaskSegLib.batch import BatchRow
from MultiTaskSegLib.batch_table import figure_columns
from MultiTaskSegLib.panel.element.choice_list import ChoiceList
from MultiTaskSegLib.panel.element.plain_tip import plain_tip
from MultiTaskSegLib.panel.element.row_activation import when_activated
from MultiTaskSegLib.panel.element.table_fit import TableFit
from MultiTaskSegLib.panel.element.text_size import letters_wide, lines_high
from MultiTaskSegLib.panel.element.volume_text import volume_texts
from MultiTaskSegLib.panel.figure.figure_ticks import FigureTicks
from MultiTaskSegLib.panel.message_view import MessageView, values_of
from MultiTaskSegLib.panel.path_binding import PathBinding
from MultiTaskSegLib.panel.run_control import RunControl
from MultiTaskSegLib.panel.wish.thorough_choice import batch_text
from MultiTaskSegLib.picture.verdict_colour import BAD_COLOUR, COLOURS, GOOD_COLOUR, UNUSUAL_COLOUR
from MultiTaskSegLib.runtime.errors import InputError, UsageError
from MultiTaskSegLib.runtime.quality.usability import DO_NOT_USE, GOOD, LOOK_HERE
from MultiTaskSegLib.scene import attributes
from MultiTaskSegLib.scene.image_node import image_nodes
from MultiTaskSegLib.scene.volume_sequence import sequence_of
from MultiTaskSegLib.task_list import short_name
from MultiTaskSegLib.verdict_words import FOREIGN, KNOWN, UNCHECKED, UNUSUAL

SCENE, FRAMES, FOLDER, COHORT = "scene", "frames", "folder", "cohort"
CAUSES = ("batchScope", "batchFolder", "batchOutput", "batchFigures", "task", "modelPath", "device")  # of messages
PICTURE_LINES = 3  # of text, beside which a picture stands
TEXT_LETTERS = 28  # of columns of text beside those of figures
IMAGE_COLUMN, VERDICT_COLUMN, TOTAL_COLUMN, NOTE_COLUMN = 0, 1, 2, 3
ANSWER_COLOURS = {GOOD: GOOD_COLOUR, LOOK_HERE: UNUSUAL_COLOUR, DO_NOT_USE: BAD_COLOUR}


class BatchView:
    """Chooses the images of a batch, watches it and shows its rows; a double click turns to a volume of the scene."""

    def __init__(self, ui: Any, finished: Callable[[Any], object], activated: Callable[[Any], object]) -> None:
        """Take over the widgets.

        Args:
            ui: the widgets of the panel.
            finished: is called with the `SceneBatch` that is over, also when it was cancelled.
            activated: is called with the volume whose row is double-clicked, or on which Return is pressed.
        """
        self.ui = ui
        self._activated = activated
        self._parameters: Any = None
        self._rows: list[BatchRow] = []
        self._page_text = ""
        display = (ui.batchButton, ui.batchProgressBar, ui.batchProgressLabel)
        self.run = RunControl(*display, _("Segment all"), finished)
        self.message = MessageView(ui.batchMessageLabel, lambda: values_of(self._parameters, CAUSES))
        self._figures = FigureTicks(ui.batchFiguresButton)
        self._scopes = ChoiceList(ui.batchScopeComboBox, self._on_scope)
        self._paths = [
            PathBinding(ui.batchFolderPathLineEdit, "batchFolder"),
            PathBinding(ui.batchOutputPathLineEdit, "batchOutput"),
        ]
        self._set_up_table()

    def show(self, parameters: Any, can_start: bool) -> None:
        """Show the choices of a parameter node, or go on without one; ``can_start`` is whether nothing else runs."""
        self._parameters = parameters
        if parameters is None and self._rows:
            self.show_rows([])  # they belong to a scene that is being closed
        for path in self._paths:
            path.show(parameters)
        scope = SCENE if parameters is None else parameters.batchScope
        self.message.update()
        self._figures.show(parameters)
        self._scopes.offer(_scopes(), scope)
        for widget in (
            self.ui.batchFolderLabel,
            self.ui.batchFolderPathLineEdit,
            self.ui.batchOutputLabel,
            self.ui.batchOutputPathLineEdit,
        ):
            widget.visible = scope in (FOLDER, COHORT)
        for widget in (
            self.ui.cohortAddressLabel,
            self.ui.cohortAddressLineEdit,
            self.ui.cohortWorkersLabel,
            self.ui.cohortWorkersSpinBox,
        ):
            widget.visible = scope == COHORT
        self.ui.batchFiguresButton.visible = scope != COHORT  # Slicer's own figures, and a cohort knows no Slicer
        self.ui.batchUncertaintyCheckBox.visible = scope == SCENE  # elsewhere it is no volume of the scene
        is_thorough = parameters is not None and parameters.thorough
        self.ui.batchThoroughLabel.text = batch_text(*_known_images(parameters)) if is_thorough else ""
        self.ui.batchThoroughLabel.visible = is_thorough
        self.run.show(can_start and parameters is not None)

    def images(self) -> tuple[Any, str | None]:
        """What is to be segmented, and the folder for results of files, as the parameters say.

        Raises:
            InputError: there is no image, or the volume shows no sequence.
            UsageError: a folder is missing.
        """
        for path in self._paths:
            path.store()
        parameters = self._parameters
        if parameters.batchScope == FOLDER:
            if not parameters.batchFolder or not parameters.batchOutput:
                raise UsageError("a folder is missing", remedy="Choose a folder of images and one for the results")
            return parameters.batchFolder, parameters.batchOutput
        if parameters.batchScope == FRAMES:
            sequence = None if parameters.inputVolume is None else sequence_of(parameters.inputVolume)
            if sequence is None:
                raise InputError("the selected volume shows no sequence", remedy="Select one that does")
            return sequence, None
        return image_nodes(slicer.mrmlScene), None

    def cohort_places(self) -> tuple[str, str]:
        """Folder or list of the images, and the folder for the results, as the parameters say."""
        for path in self._paths:
            path.store()
        return self._parameters.batchFolder, self._parameters.batchOutput

    def cohort_wishes(self) -> dict[str, Any]:
        """Where a cohort is to run, and how many images at once."""
        address = self.ui.cohortAddressLineEdit.text.strip()
        return {"address": address, "workers": self.ui.cohortWorkersSpinBox.value}

    def show_rows(self, rows: list[BatchRow], page: Path | None = None) -> None:
        """Show what became of each image, and where the page of them is."""
        self._rows, self._page_text = rows, ""
        if page is not None:
            link = f'<a href="{html.escape(page.resolve().as_uri())}">{html.escape(page.name)}</a>'
            self._page_text = _("All images on one page, with pictures: {link}").format(link=link)
            self.message.say(self._page_text)
        table = self.ui.batchTableWidget
        answers, figures = _answers(rows), figure_columns(rows)
        further = [*answers, *((title, [_figure(value) for value in values]) for title, values in figures)]
        self._set_titles([":\n".join(title.rsplit(": ", 1)) for title, _cells in further], has_figures=bool(figures))
        table.setRowCount(len(rows))
        totals = volume_texts([sum(row.volumes_ml.values()) if row.volumes_ml else None for row in rows])
        for number, (row, total) in enumerate(zip(rows, totals, strict=True)):
            told = (row.image, short_name(row.task), *row.warnings, row.error)
            tip = plain_tip("\n".join(filter(None, told)))
            for column, text in enumerate([*_texts(row, total), *(cells[number] for _title, cells in further)]):
                item = qt.QTableWidgetItem(text)
                item.setToolTip(tip if text or column <= NOTE_COLUMN else _("There is no such figure of this image"))
                if column == IMAGE_COLUMN and row.thumbnail:
                    item.setIcon(_icon(row.thumbnail, table.iconSize.width()))
                if column == TOTAL_COLUMN or column > NOTE_COLUMN:
                    item.setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
                if column == VERDICT_COLUMN:
                    _paint(item, COLOURS.get(row.verdict))
                if column == NOTE_COLUMN + len(answers):
                    _paint(item, ANSWER_COLOURS.get(row.thorough))
                table.setItem(number, column, item)
        table.setColumnHidden(NOTE_COLUMN, not any(table.item(row, NOTE_COLUMN).text() for row in range(len(rows))))
        table.visible = bool(rows)
        self._fit.fit()

    def fail(self, message: str) -> None:
        """Say why not all is done; of what is done there may be a page."""
        self.message.fail(message, f"<p>{self._page_text}</p>" if self._page_text else "")

    def _set_up_table(self) -> None:
        table = self.ui.batchTableWidget
        table.horizontalHeader().setSectionResizeMode(qt.QHeaderView.ResizeToContents)
        self._set_titles([])
        side = lines_high(table, PICTURE_LINES)
        table.setIconSize(qt.QSize(side, side))
        table.verticalHeader().setVisible(False)
        when_activated(table, self._on_activated)
        self._fit = TableFit(table)

    def _set_titles(self, further: Sequence[str], *, has_figures: bool = False) -> None:
        titles = [_("Image"), _("Verdict"), _("Total\n[mL]"), _("Note"), *further]
        table = self.ui.batchTableWidget
        table.setColumnCount(len(titles))
        table.setHorizontalHeaderLabels(titles)
        header = table.horizontalHeader()
        # Two that take what is left would be left nothing beside many figures, which are scrolled to.
        for column in (IMAGE_COLUMN, NOTE_COLUMN):
            mode = qt.QHeaderView.Interactive if has_figures else qt.QHeaderView.Stretch
            header.setSectionResizeMode(column, mode)
            if has_figures:
                table.setColumnWidth(column, letters_wide(table, TEXT_LETTERS))
        header.moveSection(header.visualIndex(NOTE_COLUMN), len(titles) - 1)  # figures before words, which are long

    def _on_activated(self, row: int) -> None:
        # Not a node: the rows of a batch would keep volumes in memory that have been removed.
        node = slicer.mrmlScene.GetNodeByID(self._rows[row].volume_id or "")
        if node is not None:
            self._activated(node)

    def _on_scope(self, scope: str) -> None:
        if self._parameters is not None:
            self._parameters.batchScope = scope


def _scopes() -> list[tuple[str, str]]:
    return [
        (SCENE, _("All images of the scene")),
        (FRAMES, _("All frames of the selected volume's sequence")),
        (FOLDER, _("A folder of images")),
        (COHORT, _("A folder or list, handed to a cohort")),
    ]


def _icon(png: bytes, side: int) -> Any:
    """A picture for a cell, from a PNG file, whose longer side is shown with so many of Qt's pixels."""
    picture = qt.QPixmap()
    picture.loadFromData(png)
    # Twice as large as it is shown, for fine screens; the whole ones of a thousand rows would take 100 MB.
    return qt.QIcon(picture.scaled(2 * side, 2 * side, qt.Qt.KeepAspectRatio, qt.Qt.SmoothTransformation))


def _texts(row: BatchRow, total: str) -> list[str]:
    """The cells. A note says what the verdict does not."""
    if row.error:
        return [row.image, _("not done"), "", row.error]
    words = {FOREIGN: _("OUT"), UNUSUAL: _("unusual"), KNOWN: _("in"), UNCHECKED: _("not checked")}
    verdict = words.get(row.verdict, row.verdict)
    notes = [warning for warning in row.warnings if not warning.startswith(attributes.OOD_WARNING)]
    unsure = [_answer_words(row.quality)] if row.quality in (LOOK_HERE, DO_NOT_USE) else []
    return [row.image, verdict, total, " | ".join([*unsure, *notes])]


def _answers(rows: Sequence[BatchRow]) -> list[tuple[str, list[str]]]:
    """Title and cells of what the thorough check says; no column where none was made."""
    if not any(row.thorough for row in rows):
        return []
    cells = ["\n".join(filter(None, (_answer_words(row.thorough), _figure(row.agreement, ".2f")))) for row in rows]
    return [(_("Thorough\ncheck"), cells)]


def _answer_words(answer: str) -> str:
    """An answer in the language of the application."""
    return {GOOD: _("good"), LOOK_HERE: _("look here"), DO_NOT_USE: _("do not use")}.get(answer, answer)


def _figure(value: float | None, form: str = ".4g") -> str:
    return "" if value is None else format(value, form)


def _paint(item: Any, colour: str | None) -> None:
    """White on a colour; a cell without one stays as it is."""
    if colour is not None:
        item.setBackground(qt.QBrush(qt.QColor(colour)))
        item.setForeground(qt.QBrush(qt.QColor("#ffffff")))


def _known_images(parameters: Any) -> tuple[list[Any], int]:
    """Volumes that a batch is of, and how many images each stands for; none of files, which nobody has read yet."""
    if parameters.batchScope == SCENE:
        return image_nodes(slicer.mrmlScene), 1
    volume = parameters.inputVolume if parameters.batchScope == FRAMES else None
    sequence = None if volume is None else sequence_of(volume)
    return ([], 1) if sequence is None else ([volume], sequence.GetNumberOfDataNodes())
