"""What the panel shows: the choices, the verdict on the selected volume, the table of several images, messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slicer.i18n import tr as _

from MultiTaskSegLib.catalogue.model_choice import ModelChoice
from MultiTaskSegLib.panel.element.choice_list import ChoiceList
from MultiTaskSegLib.panel.message_view import MessageView, values_of
from MultiTaskSegLib.panel.path_binding import PathBinding
from MultiTaskSegLib.panel.run_choices import device_entries
from MultiTaskSegLib.scene.result_record import current_verdict
from OODCheckLib.check_banner import volume_text
from OODCheckLib.result_view import ResultView
from OODCheckLib.spectrum_plot import kept_spectrum

VOLUME, SCENE, FOLDER = "volume", "scene", "folder"
CAUSES = ("inputVolume", "scope", "folder", "modelPath", "device")  # what a message is about


class CheckView:
    """Keeps the widgets that Slicer does not bind itself and the parameters the same."""

    def __init__(self, ui: Any, activated: Callable[[int], object]) -> None:
        """Take over the widgets; ``activated`` is called with the number of a row of the table."""
        self.ui = ui
        self._parameters: Any = None
        self._lists = {
            "scope": ChoiceList(ui.scopeComboBox, lambda value: self._choose("scope", value)),
            "device": ChoiceList(ui.deviceComboBox, lambda value: self._choose("device", value)),
        }
        self._folder = PathBinding(ui.folderPathLineEdit, "folder")
        self.model = ModelChoice(ui, lambda: self._parameters, for_check=True)
        self.message = MessageView(ui.messageLabel, lambda: values_of(self._parameters, CAUSES))
        self._results = ResultView(ui.resultTable, ui.exportButton, activated)

    def show(self, parameters: Any) -> None:
        """Show the choices of a parameter node, or go on without one."""
        self._parameters = parameters
        self._folder.show(parameters)
        self.model.show(parameters)
        scope, device = (VOLUME, "auto") if parameters is None else (parameters.scope, parameters.device)
        self._lists["scope"].offer(_scopes(), scope)
        self._lists["device"].offer(device_entries((), device), device)
        self.ui.inputLabel.visible = self.ui.inputSelector.visible = scope == VOLUME
        self.ui.folderLabel.visible = self.ui.folderPathLineEdit.visible = scope == FOLDER
        self.message.update()

    def show_result(self) -> None:
        """The verdict that the selected volume carries, and the table of the last batch.

        A message stands alone: below "not done" nothing may look like the outcome.
        """
        volume = self._volume()
        results = None if self._parameters is None else self._parameters.results
        self._results.show(results)
        self.ui.resultsCollapsibleButton.visible = results is not None
        self.ui.resultLabel.text = volume_text(volume)
        self.ui.resultLabel.visible = bool(self.ui.resultLabel.text) and not self.ui.messageLabel.text
        self.ui.spectrumButton.enabled = volume is not None and kept_spectrum(volume) is not None
        self.ui.distancesButton.enabled = current_verdict(volume) is not None

    @property
    def can_start(self) -> bool:
        """Whether there is something to check."""
        node = self._parameters
        if node is None:
            return False
        return {VOLUME: node.inputVolume is not None, FOLDER: bool(node.folder)}.get(node.scope, True)

    def store(self) -> None:
        """Take over paths that the user has typed."""
        self._folder.store()
        self.model.store()

    def _volume(self) -> Any:
        return None if self._parameters is None else self._parameters.inputVolume

    def _choose(self, name: str, value: str) -> None:
        if self._parameters is not None:
            setattr(self._parameters, name, value)


def _scopes() -> list[tuple[str, str]]:
    return [(VOLUME, _("Selected volume")), (SCENE, _("All images of the scene")), (FOLDER, _("Folder"))]
