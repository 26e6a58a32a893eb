"""The button that tries PyTorch, installs it again if need be, and looks which devices there are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slicer.i18n import tr as _

from MultiTaskSegLib.installation.installation import ensure_torch
from MultiTaskSegLib.panel.interpreter.python_choice import PythonChoice
from MultiTaskSegLib.panel.message_view import MessageView
from MultiTaskSegLib.panel.run_choices import RunChoices, device_title
from MultiTaskSegLib.panel.summary import notice_text
from MultiTaskSegLib.runtime.errors import MtsError


class RepairButton:
    """Says what it found, and offers the devices to choose from."""

    def __init__(
        self, ui: Any, devices: Callable[[], list[dict[str, Any]]], choices: RunChoices, message: MessageView
    ) -> None:
        """Take over the button, and the list of Pythons, whose trial it starts.

        Args:
            ui: of the panel.
            devices: asks the worker which devices there are.
            choices: lists them.
            message: says what was found.
        """
        self._devices, self._choices, self._message = devices, choices, message
        self._python = PythonChoice(ui.pythonComboBox, message.fail)
        ui.repairButton.connect("clicked(bool)", self._on_button)

    def _on_button(self, _checked: bool = False) -> None:
        try:
            found = ensure_torch()
            devices = self._devices()
        except MtsError as error:
            self._message.fail(str(error))
            return
        self._choices.show_devices(devices)
        titles = "; ".join(device_title(device) for device in devices)
        text = _("PyTorch {version} can be used. {devices}.")
        self._message.say(notice_text(text.format(version=found.detail, devices=titles)))
