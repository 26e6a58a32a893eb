"""The part of a panel that says which model is used: a path, a button for the list of models, and a note in sight."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from MultiTaskSegLib.catalogue.model_dialog import ModelDialog
from MultiTaskSegLib.catalogue.model_note import ModelNote
from MultiTaskSegLib.panel.path_binding import PathBinding
from MultiTaskSegLib.panel.settings import remember_model


class ModelChoice:
    """Keeps the parameter ``modelPath`` of a panel and its widgets the same; both modules have one."""

    def __init__(self, ui: Any, parameters: Callable[[], Any], for_check: bool = False) -> None:
        """Take over the widgets.

        Args:
            ui: of the panel, with ``modelPathLineEdit``, ``modelsButton``, ``modelNoteLabel``, ``releasedModelButton``
                and ``importModelButton``.
            parameters: returns the parameter node that is shown, or None.
            for_check: whether images are checked with the model, and not segmented.
        """
        self._parameters, self._for_check = parameters, for_check
        self._button = ui.modelsButton
        self.list: ModelDialog | None = None
        self._path = PathBinding(ui.modelPathLineEdit, "modelPath")
        self._note = ModelNote(
            ui.modelNoteLabel,
            ui.releasedModelButton,
            ui.importModelButton,
            lambda: self.use(""),
            self._import,
            for_check,
        )
        ui.modelsButton.connect("clicked(bool)", lambda _checked: self._opened().show())

    def show(self, parameters: Any) -> None:
        """Show the model of a parameter node; None while a scene is being closed."""
        self._path.show(parameters)
        self._note.show("" if parameters is None else parameters.modelPath)

    def store(self) -> None:
        """Take over a path that the user has typed."""
        self._path.store()

    def use(self, path: str) -> None:
        """Use a model, now and in scenes to come; with an empty path the image decides."""
        parameters = self._parameters()
        if parameters is not None:
            parameters.modelPath = path
            remember_model(path)

    def release(self) -> None:
        """The panel is about to go."""
        if self.list is not None:
            self.list.release()
            self.list = None

    def _import(self) -> None:
        parameters = self._parameters()
        dialog = self._opened()
        dialog.show()
        if parameters is not None:
            dialog.take_in(parameters.modelPath)

    def _opened(self) -> ModelDialog:
        if self.list is None:
            self.list = ModelDialog(self._button.window(), self._used, self.use, self._for_check)
        return self.list

    def _used(self) -> str:
        parameters = self._parameters()
        return "" if parameters is None else str(parameters.modelPath)
