"""Choices that outlive a scene, as settings of the application: model file, device, what to do with earlier results."""

from __future__ import annotations

from typing import Any

import qt
import slicer

GROUP = "MultiTaskSeg"
KEPT = ("modelPath", "device", "existing")


def apply_settings(parameters: Any) -> None:
    """Give a new parameter node the choices that were made last; values of a wrong kind are left out."""
    for name in KEPT:
        value = slicer.util.settingsValue(f"{GROUP}/{name}", None)
        if isinstance(value, str):
            setattr(parameters, name, value)


def store_settings(parameters: Any) -> None:
    """Remember the choices for scenes to come."""
    settings = qt.QSettings()
    for name in KEPT:
        settings.setValue(f"{GROUP}/{name}", getattr(parameters, name))
