"""Choices that outlive a scene, as settings of the application: model file, device, what to do with earlier results."""

from __future__ import annotations

from typing import Any

import qt
import slicer

GROUP = "MultiTaskSeg"
KEPT = ("modelPath", "device", "existing")
# An attribute, because a parameter that a node loses when its scene is closed is at once written again by Slicer.
APPLIED = "MultiTaskSeg.SettingsApplied"


def apply_settings(parameters: Any) -> None:
    """Give a new parameter node the choices that were made last; values of a wrong kind are left out.

    A node that has been given them, or that was loaded with a scene, is left as it is.
    """
    if parameters.parameterNode.GetAttribute(APPLIED) is not None:
        return
    parameters.parameterNode.SetAttribute(APPLIED, "1")
    for name in KEPT:
        value = slicer.util.settingsValue(f"{GROUP}/{name}", None)
        if isinstance(value, str):
            setattr(parameters, name, value)


def store_settings(parameters: Any) -> None:
    """Remember the choices for scenes to come."""
    settings = qt.QSettings()
    for name in KEPT:
        settings.setValue(f"{GROUP}/{name}", getattr(parameters, name))
