"""Opens a module's panel on the stand-in widgets, as Slicer would when the user selects the module."""

from __future__ import annotations

import importlib.util
import sys
import time
import types
from pathlib import Path

import shiboken6
import slicer

from MultiTaskSegLib import job
from Testing.slicer.mrml_session import ModuleStandIn, MrmlSession
from Testing.slicer.stand_ins.installation import application

REPOSITORY = Path(__file__).resolve().parents[3]


def load_module(name: str) -> types.ModuleType:
    """A scripted module from its file, as Slicer loads it, with its library beside it."""
    folder = REPOSITORY / name
    for part, file in ((f"{name}Lib", folder / f"{name}Lib" / "__init__.py"), (name, folder / f"{name}.py")):
        if getattr(sys.modules.get(part), "__file__", None) is not None:
            continue  # not when it is a bare folder that happens to have the name
        spec = importlib.util.spec_from_file_location(part, file)
        sys.modules[part] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[part])
    return sys.modules[name]


class Panels:
    """The open panels of one test."""

    def __init__(self, qt: types.ModuleType, session: MrmlSession) -> None:
        self._qt, self._session, self._open = qt, session, []

    def open(self, name: str, entered: bool = True) -> object:
        """Import the module, make its widget, set it up, and turn to it unless it is only made (``getModuleLogic``)."""
        module = load_module(name)
        setattr(self._session.modules, name.lower(), ModuleStandIn(path=module.__file__))
        parent = slicer.qMRMLWidget()
        parent.setLayout(self._qt.QVBoxLayout())
        widget = getattr(module, f"{name}Widget")(parent)
        widget.setup()
        self._open.append(widget)
        if entered:
            widget.enter()
        return widget

    def close(self) -> None:
        """Unload the modules and end the shared worker."""
        for widget in self._open:
            widget.cleanup()
            forget_scene(widget)
            # Now and in this order: the garbage collector would free widgets in any order and crash.
            shiboken6.delete(widget._timer if hasattr(widget, "_timer") else widget._run.timer)
            shiboken6.delete(widget.parent)
        job.shared_runner().close()


def forget_scene(widget) -> None:
    """What Slicer's own selectors do when they go: they leave no observer on the scene."""
    for part in vars(widget.ui).values():
        if hasattr(part, "forget_scene"):
            part.forget_scene()


def run_event_loop_until(condition, seconds: float = 30.0) -> bool:
    """Let Qt handle its events, timers included, until something is the case."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        application().processEvents()
        if condition():
            return True
        time.sleep(0.01)
    return False
