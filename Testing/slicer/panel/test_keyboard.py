"""The panels without a mouse (ON STAND-IN WIDGETS, which hand focus on as Slicer's do)."""

from __future__ import annotations

import importlib
import xml.etree.ElementTree as ElementTree

import pytest

from Testing.house.source_tree import REPOSITORY

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")

pytest.importorskip(
    "PySide6.QtWidgets", reason="PySide6 or the system libraries it needs are missing", exc_type=ImportError
)

from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

MODULES = ("MultiTaskSeg", "OODCheck")


@pytest.fixture
def opened(open_panel, worker):
    """Opens a panel; returns it, with its letters and Tab stops as the .ui file tells them."""

    def open_it(module: str):
        tree = ElementTree.parse(REPOSITORY / module / "Resources" / "UI" / f"{module}.ui")
        buddies = [buddy.findtext("cstring") for buddy in tree.iterfind(".//property[@name='buddy']")]
        return open_panel(module), buddies, [stop.text for stop in tree.iter("tabstop")]

    return open_it


def takes_keys(widget) -> bool:
    """Whether the Tab key stops at a widget, stand-in or Qt's own, when it is in sight."""
    policy = widget.focusPolicy() if callable(widget.focusPolicy) else widget.focusPolicy
    return bool(policy.value & Qt.FocusPolicy.TabFocus.value) and widget.focusProxy() is None


@pytest.mark.parametrize("module", MODULES)
def test_the_letter_of_each_title_leads_into_a_field(opened, module):
    panel, buddies, _stops = opened(module)
    for name in buddies:
        widget = getattr(panel.ui, name)
        assert widget.focusPolicy.value, name  # all that a letter looks at
        while widget.focusProxy() is not None:
            widget = widget.focusProxy()
        assert widget.metaObject().className() not in ("qMRMLNodeComboBox", "ctkPathLineEdit", "ctkSliderWidget")


@pytest.mark.parametrize("module", MODULES)
def test_the_tab_key_stops_at_every_control_in_the_order_of_the_panel(opened, module):
    panel, _buddies, stops = opened(module)
    controls = {name: getattr(panel.ui, name) for name in stops}
    passed: list[str] = []
    widget = first = panel.ui.inputsCollapsibleButton
    while (widget := widget.nextInFocusChain()) is not first:
        owner = next((name for name, it in controls.items() if it is widget or it.isAncestorOf(widget)), None)
        if owner is not None and takes_keys(widget) and owner not in passed:
            passed.append(owner)
    assert passed == stops


@pytest.mark.parametrize("key", ["Return", "Enter"])
def test_return_on_a_row_is_heard_where_the_table_itself_tells_nobody(stand_ins, session, key):
    table, rows = stand_ins.QTableWidget(3, 2), []
    importlib.import_module("MultiTaskSegLib.panel.element.row_activation").when_activated(table, rows.append)
    (shortcut,) = [found for found in table.findChildren(stand_ins.QShortcut) if found.key.toString() == key]
    assert shortcut.context == Qt.ShortcutContext.WidgetShortcut  # of this table alone
    shortcut.activated.emit()
    assert rows == []  # no row is current
    for row in range(3):
        for column in range(2):
            table.setItem(row, column, stand_ins.QTableWidgetItem("x"))
    table.setCurrentCell(2, 1)
    shortcut.activated.emit()
    table.cellActivated.emit(1, 0)
    assert rows == [2, 1]


def test_a_pressed_key_is_heard_once(stand_ins, session, until):
    table, rows = stand_ins.QTableWidget(1, 1), []
    importlib.import_module("MultiTaskSegLib.panel.element.row_activation").when_activated(table, rows.append)
    table.setItem(0, 0, stand_ins.QTableWidgetItem("x"))
    table.setCurrentCell(0, 0)
    table.show()
    table.activateWindow()
    assert until(lambda: table.isActiveWindow)
    table.setFocus()
    QTest.keyClick(table, Qt.Key.Key_Return)
    assert rows == [0]
    table.hide()
