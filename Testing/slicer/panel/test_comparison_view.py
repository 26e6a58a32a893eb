"""The comparison in the panel (ON STAND-IN WIDGETS)."""

from __future__ import annotations

import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")


def test_a_result_is_compared_with_another_segmentation_and_not_with_itself(panel, segment):
    assert not panel.ui.compareButton.enabled
    panel.parameters.existing = "keep"
    first = segment()
    second = segment()
    panel.ui.referenceSelector.setCurrentNode(second)
    assert not panel.ui.compareButton.enabled
    panel.ui.referenceSelector.setCurrentNode(first)
    assert panel.ui.compareButton.enabled
    panel.ui.compareButton.click()
    table = panel.ui.segmentTableWidget
    titles = [table.horizontalHeaderItem(column).text() for column in range(table.columnCount)]
    dice = titles.index("Dice with reference")
    assert {table.item(row, dice).text() for row in range(table.rowCount)} <= {"1", ""}
    panel.ui.differenceButton.click()
    assert "Added:" in panel.ui.comparisonLabel.text


def test_what_cannot_be_compared_is_said(panel, segment):
    segment()
    drawn = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Drawn")
    panel.ui.referenceSelector.setCurrentNode(drawn)
    panel.ui.compareButton.click()
    assert "no structure of the reference" in panel.ui.comparisonLabel.text
