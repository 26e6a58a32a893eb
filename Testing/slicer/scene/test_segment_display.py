"""How segments are drawn over an image, and how one that is doubted differs."""

from __future__ import annotations

import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")

from MultiTaskSegLib.scene.segmentation import add_segmentation, mark_as_doubtful
from Testing.slicer import scene_samples as samples

pytestmark = pytest.mark.usefixtures("session")


def test_outlines_are_seen_well_and_the_image_through_what_they_enclose():
    node = add_segmentation(samples.volume(), samples.labels(), samples.LEGEND, "Result")
    display = node.GetDisplayNode()
    assert 2 <= display.GetSliceIntersectionThickness() <= 3
    for name in node.GetSegmentation().GetSegmentIDs():
        assert display.GetSegmentOpacity2DOutline(name) == 1.0
        assert 0.15 < display.GetSegmentOpacity2DFill(name) < 0.4


def test_of_a_doubted_result_only_outlines_are_drawn():
    node = add_segmentation(samples.volume(), samples.labels(), samples.LEGEND, "Result")
    mark_as_doubtful(node)
    display = node.GetDisplayNode()
    for name in node.GetSegmentation().GetSegmentIDs():
        assert display.GetSegmentOpacity2DFill(name) == 0.0
        assert display.GetSegmentOpacity2DOutline(name) == 1.0
