"""With text of twice the size, or on a screen of twice the scale, nothing is tiny or cut off (ON STAND-IN WIDGETS)."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")
QtWidgets = pytest.importorskip(
    "PySide6.QtWidgets", reason="PySide6 or the system libraries it needs are missing", exc_type=ImportError
)

TEXTS = (QtWidgets.QAbstractButton, QtWidgets.QComboBox, QtWidgets.QLineEdit, QtWidgets.QAbstractSpinBox)
SCREEN = """
from Testing.slicer.stand_ins.installation import install
qt = install()
import numpy as np
from PySide6.QtWidgets import QApplication
from MultiTaskSegLib.panel.batch_view import _icon
from MultiTaskSegLib.picture.framed_picture import framed_picture
side, ratio = 40, QApplication.primaryScreen().devicePixelRatio()
shown = _icon(framed_picture(np.zeros((90, 90, 3), np.uint8), ""), side).pixmap(qt.QSize(side, side), ratio)
print(ratio, shown.width(), shown.devicePixelRatio())
"""


@pytest.fixture(params=[1, 2])
def text_height(stand_ins, request) -> Iterator[int]:
    """The height of a line, usual or doubled, of every widget that is made in the test."""
    usual = QtWidgets.QApplication.font()
    font = QtWidgets.QApplication.font()
    font.setPointSizeF(request.param * usual.pointSizeF())
    QtWidgets.QApplication.setFont(font)
    yield stand_ins.QFontMetrics(font).lineSpacing()
    QtWidgets.QApplication.setFont(usual)


def cut_off(window: QtWidgets.QWidget) -> list[str]:
    """Names of visible widgets with text that are lower than they must be."""
    window.resize(400, 900)
    window.show()
    QtWidgets.QApplication.processEvents()
    shown = [child for kind in TEXTS for child in window.findChildren(kind) if child.isVisible()]
    shown = [child for child in shown if not child.property("objectName").startswith("qt_")]  # of a spin box
    assert shown
    needed = {child: QtWidgets.QWidget.minimumSizeHint(child) for child in shown}
    return [child.property("objectName") for child in shown if QtWidgets.QWidget.height(child) < needed[child].height()]


def test_lists_tables_and_pictures_of_the_panel_grow_with_the_text(text_height, panel):
    assert panel.ui.structuresListWidget.maximumHeight == 6 * text_height
    assert panel.ui.batchTableWidget.iconSize.height() == 3 * text_height
    panel.ui.modelsButton.click()
    shown = panel._model.list
    assert shown.ui.modelTable.minimumHeight == 11 * text_height
    assert shown.ui.cardText.minimumHeight == 10 * text_height
    assert shown.dialog.height >= 28 * text_height


def test_no_text_of_a_panel_is_cut_off(text_height, panel, open_panel):
    panel.ui.modelsButton.click()
    windows = (panel.parent, open_panel("OODCheck").parent, panel._model.list.dialog)
    assert [cut_off(window) for window in windows] == [[], [], []]


def test_no_window_fixes_a_size_in_pixels(repository):
    fixed = []
    for file in sorted(repository.glob("*/Resources/UI/*.ui")):
        for size in ElementTree.parse(file).iter("property"):
            if size.get("name") in ("minimumSize", "maximumSize", "iconSize", "baseSize"):
                fixed.append(f"{file.name}: {size.get('name')}")
    assert fixed == []


@pytest.mark.parametrize("scale", ["1", "2"])
def test_pictures_have_every_pixel_of_a_fine_screen(repository, scale):
    paths = os.pathsep.join(str(repository / part) for part in (Path("."), "MultiTaskSeg", "OODCheck"))
    environment = {**os.environ, "QT_SCALE_FACTOR": scale, "PYTHONPATH": paths}
    done = subprocess.run([sys.executable, "-c", SCREEN], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    ratio, width, drawn = done.stdout.split()
    assert (float(ratio), int(width), float(drawn)) == (float(scale), 40 * int(scale), float(scale))
