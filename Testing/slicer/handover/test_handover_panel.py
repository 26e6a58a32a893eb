"""Several images handed to a cohort in the panel ON STAND-IN WIDGETS; the cohort is pretended."""

from __future__ import annotations

import sys

import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")

from MultiTaskSegLib.handover import cohort_process
from MultiTaskSegLib.runtime.model.released import released_model

COHORT, FOLDER = "cohort", "folder"
TABLE = """case,source,status,reason,task,verdict,quality,thorough,p_value,agreement,liver [mL],seconds,model,\
model_sha256,warnings
a,/a,done,,T,in distribution,good,look here,0.5,0.83,12.5,1.5,m,d,
b,/b,failed,no image,,,,,,,,,,,
"""


@pytest.fixture
def hand_over(panel, until, monkeypatch, tmp_path):
    """Presses the button for a cohort that leaves a table and a page, and waits for its end."""
    from pathlib import Path

    started: list[list[str]] = []
    output = Path(tmp_path) / "out"
    script = f"from pathlib import Path; out = Path({str(output)!r}); out.mkdir(); "
    script += f"(out / 'cohort.csv').write_text({TABLE!r}); (out / 'cohort.html').touch(); raise SystemExit(4)"
    begin = cohort_process.start_tree

    def start(command, *given):
        started.append(command)
        return begin([sys.executable, "-c", script], *given)

    def press(model: str) -> list[list[str]]:
        monkeypatch.setattr(cohort_process, "start_tree", start)
        panel.parameters.batchScope = COHORT
        panel.parameters.batchFolder, panel.parameters.batchOutput = str(tmp_path), str(output)
        panel.parameters.modelPath = model
        panel.ui.cohortAddressLineEdit.setText(" ray://host:1 ")
        panel.ui.batchButton.click()
        assert until(lambda: panel.ui.batchButton.text == "Segment all")
        return started

    return press


def test_table_and_page_of_a_cohort_are_shown_when_it_is_over(panel, hand_over):
    (command,) = hand_over(str(released_model(planar=False)))
    assert command[1:5] == ["-m", "MultiTaskSegLib.runtime.cli", "cohort", "segment"]
    assert "--address=ray://host:1" in command
    assert "--thorough" not in command
    table = panel.ui.batchTableWidget
    assert [table.item(row, 0).text() for row in range(table.rowCount)] == ["a", "b"]
    assert table.item(1, 3).text() == "no image"
    node = slicer.mrmlScene.GetFirstNodeByName("MultiTaskSeg cohort")
    assert node.GetNumberOfRows() == 2
    assert "cohort.html" in panel.ui.batchMessageLabel.text


def test_a_cohort_is_thorough_where_the_tick_says_so_and_its_answers_have_a_column(panel, hand_over):
    panel.ui.thoroughCheckBox.checked = True
    (command,) = hand_over(str(released_model(planar=False)))
    assert "--thorough" in command
    table = panel.ui.batchTableWidget
    assert [table.item(row, 4).text() for row in range(table.rowCount)] == ["look here\n0.83", ""]
    assert table.item(0, 1).text() == "in"
    assert panel.ui.batchThoroughLabel.text == "With the thorough check, 3 to 5 times as long"


def test_a_cohort_needs_a_model_that_is_named(panel, hand_over):
    assert hand_over("") == []
    assert "of one model" in panel.ui.batchMessageLabel.text


def test_address_and_workers_are_asked_for_a_cohort_alone(panel):
    for scope, is_offered in ((COHORT, True), (FOLDER, False)):
        panel.parameters.batchScope = scope
        for widget in (panel.ui.cohortAddressLineEdit, panel.ui.cohortWorkersSpinBox):
            assert widget.isHidden() is not is_offered
        assert not panel.ui.batchFolderPathLineEdit.isHidden()
