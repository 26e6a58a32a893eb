"""What decides how wide and high the panels get, and how they are used without a mouse: the real .ui files."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import pytest

from Testing.house.source_tree import REPOSITORY

pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")

MODULES = ("MultiTaskSeg", "OODCheck")
SLICER_WIDTH = 394  # of Slicer's module panel, when nothing makes it wider
SCROLL_BAR = 14
CONTROLS = (
    "QComboBox", "QPushButton", "QCheckBox", "QLineEdit", "QSpinBox", "QTableWidget", "QListWidget",
    "qMRMLNodeComboBox", "ctk",
)  # fmt: skip
MENU_LETTERS = "FEVH"  # of Slicer's own menus


def widgets(module: str) -> dict[str, ElementTree.Element]:
    tree = ElementTree.parse(REPOSITORY / module / "Resources" / "UI" / f"{module}.ui")
    return {widget.get("name"): widget for widget in tree.iter("widget")}


def policies(widget: ElementTree.Element) -> tuple[str, str]:
    policy = widget.find("property[@name='sizePolicy']/sizepolicy")
    return ("", "") if policy is None else (policy.get("hsizetype"), policy.get("vsizetype"))


def value(widget: ElementTree.Element, name: str) -> str:
    found = widget.find(f"property[@name='{name}']")
    return "" if found is None else "".join(found.itertext()).strip()


@pytest.mark.parametrize("module", MODULES)
def test_tables_ask_for_no_width_and_let_the_tab_key_go(module):
    tables = [widget for widget in widgets(module).values() if widget.get("class") == "QTableWidget"]
    assert tables
    for table in tables:
        assert value(table, "sizeAdjustPolicy") == "QAbstractScrollArea::AdjustIgnored"
        assert policies(table) == ("Ignored", "Fixed")
        assert value(table, "tabKeyNavigation") == "false"


@pytest.mark.parametrize("module", MODULES)
def test_selectors_have_one_height_and_long_names_ask_for_no_width(module):
    for widget in widgets(module).values():
        if widget.get("class") in ("qMRMLNodeComboBox", "ctkPathLineEdit"):
            assert policies(widget) == ("Ignored", "Fixed")
        if widget.get("class") == "QComboBox":
            assert policies(widget)[1] == "Fixed"
            assert value(widget, "sizeAdjustPolicy") == "QComboBox::AdjustToMinimumContentsLengthWithIcon"


@pytest.mark.parametrize("module", MODULES)
def test_texts_that_are_filled_in_are_wrapped_and_ask_for_no_width(module):
    for name, widget in widgets(module).items():
        if widget.get("class") == "QLabel" and not value(widget, "text"):
            assert (name, value(widget, "wordWrap"), policies(widget)[0]) == (name, "true", "Ignored")


@pytest.mark.parametrize("module", MODULES)
def test_each_title_leads_to_its_control_by_a_letter_of_its_own(module):
    known, letters = widgets(module), []
    for name, widget in known.items():
        title = value(widget, "text")
        if widget.get("class") == "QLabel" and title:
            assert value(widget, "buddy") in known, name
            letters += re.findall(r"&(\w)", title.upper())
            assert title.count("&") == 1, name
    assert len(set(letters)) == len(letters)
    assert not set(letters) & set(MENU_LETTERS)


@pytest.mark.parametrize("module", MODULES)
def test_the_tab_key_goes_through_all_controls_from_the_top_to_the_bottom(module):
    tree = ElementTree.parse(REPOSITORY / module / "Resources" / "UI" / f"{module}.ui")
    stops = [stop.text for stop in tree.iter("tabstop")]
    controls = [
        widget.get("name")
        for widget in tree.iter("widget")
        if widget.get("class", "").startswith(CONTROLS) and widget.get("class") != "ctkCollapsibleButton"
    ]
    assert stops == controls


def fill(panel) -> None:
    """What a panel shows after work on an image with a name of 100 characters."""
    name = "x" * 100
    for label in ("resultLabel", "messageLabel", "modelNoteLabel", "progressLabel"):
        getattr(panel.ui, label).text = f"<p>{name} and more words</p>"
        getattr(panel.ui, label).visible = True
    for table in ("segmentTableWidget", "batchTableWidget", "resultTable"):
        widget = getattr(panel.ui, table, None)
        if widget is None:
            continue
        widget.visible = True
        widget.setRowCount(3)
        for row in range(3):
            for column in range(widget.columnCount):
                widget.setItem(row, column, type(panel).qt.QTableWidgetItem(name if column == 0 else "0.123"))
    for box in ("taskComboBox", "deviceComboBox", "scopeComboBox", "batchScopeComboBox"):
        if hasattr(panel.ui, box):
            getattr(panel.ui, box).addItem(name)
    for button in (
        "batchCollapsibleButton",
        "advancedCollapsibleButton",
        "resultsCollapsibleButton",
        "learnCollapsibleButton",
    ):
        if hasattr(panel.ui, button):
            getattr(panel.ui, button).collapsed = False
            getattr(panel.ui, button).visible = True


@pytest.fixture
def docked(open_panel, stand_ins, until):
    """A panel in a dock that, like Slicer's, grows with what the panel asks for; returns the widths that it takes."""
    import shiboken6

    areas = []

    def dock(module: str) -> list[int]:
        from Testing.slicer import scene_samples

        scene_samples.volume(name="y" * 100)
        panel = open_panel(module)
        type(panel).qt = stand_ins
        area = stand_ins.QScrollArea()
        area.setWidgetResizable(True)
        area.setWidget(panel.parent)
        areas.append(area)
        area.resize(SLICER_WIDTH, 900)
        area.show()
        fill(panel)
        seen = []
        for _step in range(8):
            until(lambda: False, 0.02)
            asked = panel.parent.layout().minimumSize().width() + SCROLL_BAR
            area.resize(max(area.width, asked), 900)
            seen.append(area.width)
        area.takeWidget()
        return seen

    yield dock
    for area in areas:
        shiboken6.delete(area)


@pytest.mark.parametrize("module", MODULES)
def test_a_panel_with_tables_and_long_names_is_as_narrow_as_slicers_own_and_stays_so(docked, worker, module):
    assert docked(module) == [SLICER_WIDTH] * 8


@pytest.mark.parametrize("module", MODULES)
def test_no_two_widgets_have_one_name(module):
    # The panel would find the last of them, and the other would never be filled in nor hidden.
    tree = ElementTree.parse(REPOSITORY / module / "Resources" / "UI" / f"{module}.ui")
    names = [widget.get("name") for widget in tree.iter("widget")]
    assert sorted(names) == sorted(set(names))
