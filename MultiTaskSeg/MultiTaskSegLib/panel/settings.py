"""Choices that outlive a scene, as settings of the application: model file, device, what to do with earlier results."""

from __future__ import annotations

from typing import Any

import qt
import slicer

from MultiTaskSegLib.registration.sample_data import is_sample_model

GROUP = "MultiTaskSeg"
KEPT = ("modelPath", "device", "existing", "leftOut")
# An attribute, because a parameter that a node loses when its scene is closed is at once written again by Slicer.
APPLIED = "MultiTaskSeg.SettingsApplied"


def apply_settings(parameters: Any) -> None:
    """Give a new parameter node the choices that were made last; values of a wrong kind are left out.

    A node that has been given them, or that was loaded with a scene, is left as it is; it need not have all of them.
    """
    if parameters.parameterNode.GetAttribute(APPLIED) is not None:
        return
    parameters.parameterNode.SetAttribute(APPLIED, "1")
    for name in (name for name in KEPT if hasattr(parameters, name)):
        value = slicer.util.settingsValue(f"{GROUP}/{name}", None)
        if isinstance(value, str) and not _is_of_the_tutorial(name, value):
            setattr(parameters, name, value)


def store_settings(parameters: Any) -> None:
    """Remember the choices for scenes to come; the model of the tutorial, which knows no real image, is none."""
    settings = qt.QSettings()
    for name in (name for name in KEPT if hasattr(parameters, name)):
        value = getattr(parameters, name)
        if not _is_of_the_tutorial(name, value):
            settings.setValue(f"{GROUP}/{name}", value)


def remember_model(path: str) -> None:
    """Remember the choice of a model for scenes to come; both panels begin with it."""
    if not _is_of_the_tutorial("modelPath", path):
        qt.QSettings().setValue(f"{GROUP}/modelPath", path)


def _is_of_the_tutorial(name: str, value: str) -> bool:
    return name == "modelPath" and is_sample_model(value)
