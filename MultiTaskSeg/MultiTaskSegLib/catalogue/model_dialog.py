"""The window with the list of models: choose, add, import, remove, look closer. Nothing in it holds the panel up."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from MultiTaskSegLib.catalogue.import_form import UI_FOLDER, ImportChoice, ImportForm
from MultiTaskSegLib.catalogue.intake import CopyJob, Intake
from MultiTaskSegLib.catalogue.model_table import ModelTable, is_used
from MultiTaskSegLib.chosen_model import is_importable
from MultiTaskSegLib.installation.installation import ensure_packages
from MultiTaskSegLib.job import shared_runner
from MultiTaskSegLib.job_result import JobResult
from MultiTaskSegLib.panel.element.row_activation import when_activated
from MultiTaskSegLib.panel.element.text_size import letters_wide, lines_high
from MultiTaskSegLib.panel.run_control import RunControl
from MultiTaskSegLib.panel.summary import error_text, notice_text
from MultiTaskSegLib.runtime.errors import MtsError, ResourceError
from MultiTaskSegLib.runtime.model.model_folder import free_file, model_folder
from MultiTaskSegLib.runtime.model.model_list import ListedModel, listed_models
from MultiTaskSegLib.runtime.model.released import NAMES
from MultiTaskSegLib.typed_error import typed_errors


class ModelDialog:
    """The window of one panel; it is made once and shown whenever it is wanted."""

    def __init__(
        self, parent: Any, used: Callable[[], str], choose: Callable[[str], object], for_check: bool = False
    ) -> None:
        """Make it, without showing it.

        Args:
            parent: the window above which it appears.
            used: returns the path that the panel has; empty where the image decides.
            choose: is called with the path that the panel is to use.
            for_check: whether images are checked with the model, for which it needs reference images.
        """
        self._used, self._choose, self._for_check = used, choose, for_check
        self._form: ImportForm | None = None
        self.dialog = slicer.util.loadUI(str(UI_FOLDER / "ModelList.ui"))
        self.dialog.setParent(parent, qt.Qt.Dialog)
        self.ui = ui = slicer.util.childWidgetVariables(self.dialog)
        ui.modelTable.minimumHeight = lines_high(self.dialog, 11)
        ui.cardText.minimumHeight = lines_high(self.dialog, 10)
        self.dialog.resize(letters_wide(self.dialog, 140), lines_high(self.dialog, 28))
        self._table = ModelTable(ui.modelTable)
        self.control = RunControl(ui.addButton, ui.progressBar, ui.progressLabel, _("Add file..."), self._on_finished)
        ui.modelTable.connect("itemSelectionChanged()", self._show_selected)
        when_activated(ui.modelTable, lambda _row: self._use())
        for button, action in (
            (ui.useButton, self._use),
            (ui.cardButton, self._show_card),
            (ui.openButton, self._open_folder),
            (ui.removeButton, self._remove),
            (ui.addButton, self._add_file),
            (ui.addFolderButton, self._add_folder),
            (ui.closeButton, self.dialog.close),
        ):
            button.connect("clicked(bool)", lambda _checked, action=action: action())

    def show(self) -> None:
        """Bring it to the front, with the list as it is now."""
        self.refresh()
        self.dialog.show()
        self.dialog.raise_()
        self.dialog.activateWindow()

    def refresh(self) -> None:
        """Read the list again."""
        self._table.show(listed_models(), self._used())
        self._show_selected()
        self.control.show(True)
        self.ui.addFolderButton.enabled = not self.control.is_running

    def release(self) -> None:
        """The panel is about to go: end what is under way."""
        self.control.release()
        self.dialog.close()
        self.dialog.deleteLater()

    def take_in(self, path: str) -> None:
        """Copy a model file into the user's folder, or ask what to import of a folder or zip file of nnU-Net."""
        self._say("")
        with self._told():
            if is_importable(path):
                self._ready()
                job: Any = shared_runner().trained_models(path)
                self._watch(Intake(job, lambda found: self._ask(path, found)))
            else:
                self._watch(Intake(CopyJob(Path(path), model_folder()), self._added))

    def _ask(self, source: str, found: JobResult) -> None:
        self._form = ImportForm(self.dialog, source, found.models, lambda choice: self._import(source, choice))

    def _import(self, source: str, choice: ImportChoice) -> None:
        with self._told():
            folder = model_folder()
            # Others, such as a training, may take the name while it is imported.
            place = partial(free_file, folder, choice.name, NAMES)
            job: Any = shared_runner().import_model(source, place, **choice.request())
            self._watch(Intake(job, self._imported))

    def _imported(self, found: JobResult) -> None:
        self._show_text(found.card)
        if found.output is not None:
            self._added(found.output)

    def _added(self, path: Path) -> None:
        """A file has come into the list: use it at once, where it can be used."""
        self.refresh()
        self._table.select(path)
        model = self._table.selected()
        if model is not None and not self._objection(model):
            self._use()
        self._say(notice_text(_("{name} is in the list of models.").format(name=path.name)))

    def _use(self) -> None:
        model = self._table.selected()
        if model is None or self._objection(model):
            return
        # Where released ones lie changes with every update, so they are not named: the image decides.
        self._choose("" if model.is_released else str(model.path))
        self.refresh()

    def _show_card(self) -> None:
        model = self._table.selected()
        if model is not None:
            with self._told():
                self._ready()
                job: Any = shared_runner().card(model.path)
                self._watch(Intake(job, lambda found: self._show_text(found.card)))

    def _open_folder(self) -> None:
        model = self._table.selected()
        with self._told():
            folder = model_folder() if model is None else model.path.parent
            if not qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(folder))):
                raise ResourceError("the system opened no window", file=folder, remedy="Open the folder by hand")

    def _remove(self) -> None:
        """Delete a file of the user, after a question."""
        model = self._table.selected()
        if model is None or model.is_released or not self._is_agreed(model):
            return
        was_used = is_used(model, self._used())
        with self._told():
            try:
                model.path.unlink()
            except OSError as error:
                raise ResourceError(
                    f"the file cannot be deleted ({error.strerror})", file=model.path, remedy="Close other programs"
                ) from error
        if was_used and not model.path.exists():
            self._choose("")
        self.refresh()

    def _is_agreed(self, model: ListedModel) -> bool:
        if slicer.app.testingEnabled():
            return False
        box = qt.QMessageBox(self.dialog)
        box.setWindowTitle(_("Remove a model"))
        box.setText(
            _("Delete the model {name}?\n{path}\n\nIt does not go to the trash.").format(
                name=model.name, path=model.path
            )
        )
        box.setStandardButtons(qt.QMessageBox.Yes | qt.QMessageBox.Cancel)
        box.button(qt.QMessageBox.Yes).setText(_("Delete"))
        box.setDefaultButton(qt.QMessageBox.Cancel)
        box.setEscapeButton(qt.QMessageBox.Cancel)
        return bool(box.exec_() == qt.QMessageBox.Yes)

    def _add_file(self) -> None:
        """Ask for a file; or cancel what is under way, which the same button does."""
        if self.control.is_running:
            self.control.cancel()
            return
        kinds = _("Models and zip files of nnU-Net (*.safetensors *.zip)")
        if path := qt.QFileDialog.getOpenFileName(self.dialog, _("Add a model"), "", kinds):
            self.take_in(str(path))

    def _add_folder(self) -> None:
        if path := qt.QFileDialog.getExistingDirectory(self.dialog, _("Import a folder of nnU-Net")):
            self.take_in(str(path))

    def _ready(self) -> None:
        """Have the packages that the worker needs, after a question. Raises where they are not wanted."""
        with self.control.preparing():
            ensure_packages()

    def _watch(self, run: Intake) -> None:
        self.control.watch(run)
        self.ui.addFolderButton.enabled = False

    def _on_finished(self, run: Intake) -> None:
        self.ui.addFolderButton.enabled = True
        with self._told():
            run.finish()
        self.refresh()

    def _show_selected(self) -> None:
        model = self._table.selected()
        objection = "" if model is None else self._objection(model)
        free = "" if self._used() else _("The image decides among the models with a mark: the nearest one is used.")
        self.ui.hintLabel.text = html.escape(objection or (free if model is None else str(model.path)))
        self.ui.useButton.enabled = model is not None and not objection
        self.ui.cardButton.enabled = model is not None and not model.problem and not self.control.is_running
        self.ui.openButton.enabled = True
        self.ui.removeButton.enabled = model is not None and not model.is_released and bool(model.name)

    def _objection(self, model: ListedModel) -> str:
        """Why the panel cannot use a model; empty when it can."""
        if model.problem:
            return _("{name} cannot be used: {problem}.").format(name=model.name or model.path, problem=model.problem)
        if self._for_check and not model.is_checked:
            return _("No image can be checked with {name}: the model has no reference images.").format(name=model.name)
        return ""

    def _show_text(self, text: str) -> None:
        self.ui.cardText.setPlainText(text)
        self.ui.cardText.visible = bool(text)

    def _say(self, text: str) -> None:
        self.ui.messageLabel.text = text
        self.ui.messageLabel.visible = bool(text)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Whatever goes wrong in the block is said."""
        try:
            with typed_errors():
                yield
        except MtsError as error:
            self._say(error_text(str(error)))
