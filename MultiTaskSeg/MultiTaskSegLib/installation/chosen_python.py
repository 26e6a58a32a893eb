"""The Python that the user has chosen for the worker, as a setting of the application on this machine."""

from __future__ import annotations

from pathlib import Path

import qt
import slicer

from MultiTaskSegLib.installation.torch_probe import TorchState, TorchTrial
from MultiTaskSegLib.interpreter.other_python import OtherPython, other_python, use_python
from MultiTaskSegLib.job import shared_runner
from MultiTaskSegLib.runtime.errors import ResourceError, UsageError

SETTING = "MultiTaskSeg/python"
OWN = ""


def chosen_path() -> str:
    """The path that is remembered; empty for Slicer's own Python."""
    value = slicer.util.settingsValue(SETTING, OWN)
    return value if isinstance(value, str) else OWN


def apply_choice() -> OtherPython | None:
    """Let the worker follow what is remembered; what it is. A run that is under way goes on as it began."""
    if shared_runner().is_busy:
        return other_python()
    path = chosen_path()
    other = OtherPython(Path(path), slicer.util.startupEnvironment()) if path else None
    if use_python(other):
        shared_runner().close()  # one of before runs with another Python
    return other


def choose_python(path: str) -> None:
    """Remember a Python, from the next run on; empty for Slicer's own.

    Raises:
        UsageError: a run is under way.
        ResourceError: there is no such file.
    """
    if shared_runner().is_busy:
        raise UsageError("a run is under way", remedy="Wait for it or cancel it before another Python is chosen")
    if path and not Path(path).is_file():
        raise ResourceError("there is no such Python", file=path, remedy="Choose the program python itself")
    qt.QSettings().setValue(SETTING, path)
    apply_choice()


def require_usable() -> str:
    """Refuse another Python that cannot run the worker; what it has is not touched. Its version of torch.

    Raises:
        ResourceError: with what is missing and how to get it.
    """
    other = other_python()
    assert other is not None
    found = TorchTrial().outcome(lambda: slicer.app.processEvents(qt.QEventLoop.ExcludeUserInputEvents))
    if found.state is not TorchState.READY:
        raise ResourceError(
            f"the chosen Python cannot run the worker ({found.detail})",
            file=other.path,
            remedy=f'Run "{other.path}" -m pip install torch numpy scipy SimpleITK safetensors,'
            " or choose this Slicer's Python under Advanced",
        )
    return found.detail
