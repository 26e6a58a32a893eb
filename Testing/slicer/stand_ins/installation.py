"""Puts the stand-ins where the modules import them from."""

from __future__ import annotations

import ctypes
import os
import sys
import types

import slicer
from PySide6.QtCore import qInstallMessageHandler
from PySide6.QtWidgets import QApplication

from Testing.slicer.stand_ins import slicer_python
from Testing.slicer.stand_ins.python_qt import build_qt, loader_class
from Testing.slicer.stand_ins.slicer_widgets import ctk_classes, mrml_classes

SPARE_REFERENCES = 100_000  # more than a test run can use up


def keep_true_alive() -> None:
    """Give ``True`` references that are never given back, once per process.

    Each ``emit()`` of PySide6 6.12 returns True without a reference of its own, so that before Python 3.12, where True
    is immortal, a long test run ends in "deallocating True or False".
    """
    if sys.version_info < (3, 12):
        increment = ctypes.pythonapi.Py_IncRef
        increment.argtypes = [ctypes.py_object]
        for _ in range(SPARE_REFERENCES):
            increment(True)


def application() -> QApplication:
    """The one Qt application, drawing into memory."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    # Qt's own notes about the stand-in widgets (signals that only Slicer's classes have) would hide real messages.
    qInstallMessageHandler(lambda *_: None)
    if QApplication.instance() is None:
        keep_true_alive()
    return QApplication.instance() or QApplication(["stand-in for Slicer"])


def install() -> types.ModuleType:
    """Make ``import qt``, ``import ctk`` and Slicer's Python classes work; returns the stand-in ``qt``."""
    application()
    qt, ctk = build_qt(), types.ModuleType("ctk")
    custom = {**ctk_classes(qt), **mrml_classes(qt)}
    qt.QUiLoader = loader_class(qt, custom)
    vars(ctk).update({name: kind for name, kind in custom.items() if name.startswith("ctk")})
    for name in ("qMRMLWidget", "qMRMLNodeComboBox"):
        setattr(slicer, name, custom[name])
    translation = types.ModuleType("slicer.i18n")
    translation.tr = lambda text: text
    translation.translate = lambda _context, text: text
    bases = types.ModuleType("slicer.ScriptedLoadableModule")
    for name in ("", "Widget", "Logic", "Test"):
        setattr(bases, f"ScriptedLoadableModule{name}", getattr(slicer_python, f"ScriptedLoadableModule{name}"))
    parameters = types.ModuleType("slicer.parameterNodeWrapper")
    for name in ("Choice", "WithinRange", "parameterNodeWrapper"):
        setattr(parameters, name, getattr(slicer_python, name))
    sys.modules.update({"qt": qt, "ctk": ctk})
    sys.modules.update({module.__name__: module for module in (translation, bases, parameters)})
    return qt
