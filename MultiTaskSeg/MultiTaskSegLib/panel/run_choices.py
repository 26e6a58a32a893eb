"""The lists of the panel that say how a run is made: task, device, what becomes of an earlier result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from slicer.i18n import tr as _

from MultiTaskSegLib.panel.element.choice_list import ChoiceList
from MultiTaskSegLib.panel.existing_question import existing_choices
from MultiTaskSegLib.panel.settings import store_settings
from MultiTaskSegLib.task_list import KnownTask, short_name

AUTO = "auto"
BYTES_PER_GB = 1e9


class RunChoices:
    """Keeps three combo boxes and the parameters ``task``, ``device`` and ``existing`` the same."""

    def __init__(self, ui: Any) -> None:
        """Take over the combo boxes."""
        self._parameters: Any = None
        self._devices: Sequence[Mapping[str, Any]] = ()
        boxes = {"task": ui.taskComboBox, "device": ui.deviceComboBox, "existing": ui.existingComboBox}
        self._lists = {
            name: ChoiceList(box, lambda value, name=name: self._choose(name, value)) for name, box in boxes.items()
        }

    def show(self, parameters: Any, tasks: Sequence[KnownTask]) -> None:
        """Offer the tasks of the chosen model, the devices, and what may become of earlier results."""
        self._parameters = None  # what is filled in now is no choice of the user
        if parameters is None:
            return
        offered = {
            "task": task_entries(tasks, parameters.task),
            "device": device_entries(self._devices, parameters.device),
            "existing": existing_choices(),
        }
        for name, entries in offered.items():
            setattr(parameters, name, self._lists[name].offer(entries, getattr(parameters, name)))
        self._parameters = parameters

    def show_devices(self, devices: Sequence[Mapping[str, Any]]) -> None:
        """Offer these devices, which the worker found, by name and with their free memory."""
        self._devices = devices
        if self._parameters is not None:
            self._lists["device"].offer(device_entries(devices, self._parameters.device), self._parameters.device)

    def _choose(self, name: str, value: str) -> None:
        if self._parameters is not None:
            setattr(self._parameters, name, value)
            store_settings(self._parameters)


def task_entries(tasks: Sequence[KnownTask], chosen: str) -> list[tuple[str, str]]:
    """Values and titles for the list of tasks; ``chosen`` stays among them while a model cannot be read."""
    entries = [(AUTO, _("Recognise automatically")), *((task.name, task.title) for task in tasks)]
    if not tasks and chosen != AUTO:
        entries.append((chosen, _("{task} (the model cannot be read)").format(task=short_name(chosen))))
    return entries


def device_entries(devices: Sequence[Mapping[str, Any]], chosen: str) -> list[tuple[str, str]]:
    """Values and titles for the list of devices; ``chosen`` is always among them, also when it is not there now."""
    entries = [(AUTO, _("Automatic"))]
    entries += [(str(device["name"]), device_title(device)) for device in devices]
    if not devices:
        entries += [("cpu", _("Processor (CPU)")), ("cuda", _("Graphics card (CUDA)"))]
    if chosen not in dict(entries):
        entries.append((chosen, chosen))
    return entries


def device_title(device: Mapping[str, Any]) -> str:
    """What a device is and how much of its memory is free, where that is known."""
    free, total = device.get("free_bytes"), device.get("total_bytes")
    if free is None or total is None:
        return str(device["description"])
    return _("{device}: {free:.1f} of {total:.1f} GB free").format(
        device=device["description"], free=free / BYTES_PER_GB, total=total / BYTES_PER_GB
    )
