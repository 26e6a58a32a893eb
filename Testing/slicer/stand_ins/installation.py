"""Puts the stand-ins where the modules import them from."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
import types

import slicer
from PySide6.QtCore import QCoreApplication, QSettings, qInstallMessageHandler
from PySide6.QtGui import QColor, QPalette
from PySide6.QtWidgets import QApplication, QStyleFactory

from Testing.slicer.stand_ins import parameter_node, slicer_python
from Testing.slicer.stand_ins.python_qt import build_qt, loader_class
from Testing.slicer.stand_ins.slicer_widgets import ctk_classes, mrml_classes


def application() -> QApplication:
    """The one Qt application, drawing into memory."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    # Qt's own notes about the stand-in widgets (signals that only Slicer's classes have) would hide real messages.
    qInstallMessageHandler(lambda *_: None)
    return QApplication.instance() or QApplication(["stand-in for Slicer"])


def install() -> types.ModuleType:
    """Make ``import qt``, ``import ctk`` and Slicer's Python classes work; returns the stand-in ``qt``."""
    application()
    _keep_settings_out_of_the_home_folder()
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
        setattr(parameters, name, getattr(parameter_node, name))
    sys.modules.update({"qt": qt, "ctk": ctk})
    sys.modules.update({module.__name__: module for module in (translation, bases, parameters)})
    return qt


DARK_COLOURS = {
    "Window": "#353535",
    "WindowText": "#ffffff",
    "Base": "#232323",
    "AlternateBase": "#2c2c2c",
    "Text": "#ffffff",
    "Button": "#353535",
    "ButtonText": "#ffffff",
    "ToolTipBase": "#353535",
    "ToolTipText": "#ffffff",
    "Highlight": "#2a82da",
    "HighlightedText": "#000000",
}


def use_style(style: str) -> None:
    """Draw widgets as in Slicer's ``light`` or ``dark`` style, as far as Qt's Fusion style goes."""
    application().setStyle("Fusion")
    palette = QStyleFactory.create("Fusion").standardPalette()
    if style == "dark":
        for role, colour in DARK_COLOURS.items():
            palette.setColor(getattr(QPalette.ColorRole, role), QColor(colour))
        for role in ("WindowText", "Text", "ButtonText"):
            palette.setColor(QPalette.ColorGroup.Disabled, getattr(QPalette.ColorRole, role), QColor("#7f7f7f"))
    application().setPalette(palette)


def _keep_settings_out_of_the_home_folder() -> None:
    """``qt.QSettings()`` reads and writes a file in a temporary folder."""
    QCoreApplication.setOrganizationName("stand-in")
    QCoreApplication.setApplicationName("Slicer")
    QSettings.setDefaultFormat(QSettings.Format.IniFormat)
    folder = tempfile.mkdtemp(prefix="multitaskseg-settings-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    QSettings.setPath(QSettings.Format.IniFormat, QSettings.Scope.UserScope, folder)
