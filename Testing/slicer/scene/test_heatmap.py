"""Colours, threshold and legend of the uncertainty by the rules that make a map readable."""

from __future__ import annotations

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")

from MultiTaskSegLib.scene import heatmap
from Testing.slicer import scene_samples as samples


@pytest.fixture
def overlay(session):
    return heatmap.add_heatmap(samples.volume(), np.zeros((9, 12, 15), np.float32), "Uncertainty")


def lightness() -> np.ndarray:
    """CIE L* of the colours, which are sRGB."""
    colours = heatmap.colour_values()
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    return 116 * np.cbrt(linear @ [0.2126, 0.7152, 0.0722]) - 16


def test_a_table_has_256_colours_from_dark_to_bright():
    colours = heatmap.colour_values()
    assert colours.shape == (256, 3)
    assert colours.min() >= 0
    assert colours.max() <= 1
    assert lightness()[0] < 10
    assert lightness()[-1] > 95


def test_equal_steps_of_uncertainty_look_about_equal():
    # Also to eyes that tell no colours apart.
    steps = np.diff(lightness())
    assert steps.min() > 0.7 * steps.mean()
    assert steps.max() < 1.3 * steps.mean()


def test_red_never_falls_and_no_colour_is_a_grey_of_the_image():
    colours = heatmap.colour_values()
    assert (np.diff(colours[:, 0]) > 0).all()
    assert np.ptp(colours, axis=1).min() > 0.25


def test_the_colours_of_the_node_are_those_of_the_table_and_say_their_value(session):
    node = heatmap.uncertainty_colours(session.scene)
    rgba = np.zeros((256, 4))
    for index in range(256):
        node.GetColor(index, rgba[index])
    # It keeps them in bytes.
    np.testing.assert_allclose(rgba[:, :3], heatmap.colour_values(), atol=0.51 / 255)
    assert (rgba[:, 3] == 1).all()
    assert [node.GetColorName(index) for index in (0, 51, 255)] == ["0.000", "0.200", "1.000"]
    assert heatmap.uncertainty_colours(session.scene) is node


def test_what_is_certain_by_97_percent_is_transparent_at_first(overlay):
    def entropy(p: float) -> float:
        return float(-(p * np.log2(p) + (1 - p) * np.log2(1 - p)))

    display = overlay.GetDisplayNode()
    assert display.GetApplyThreshold()
    assert not display.GetAutoThreshold()
    assert entropy(0.975) < display.GetLowerThreshold() < entropy(0.965)
    assert display.GetUpperThreshold() == 1.0
    assert 0.3 < heatmap.DEFAULT_OPACITY < 0.9, "the image must be seen through it, and it on the image"


def test_values_are_not_smoothed_so_that_no_rim_is_drawn(overlay):
    assert not overlay.GetDisplayNode().GetInterpolate()


def test_the_legend_is_small_in_the_lower_right_corner_and_has_three_numbers(overlay):
    legend = slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(overlay)
    x, y = legend.GetPosition()
    width, height = legend.GetSize()
    assert 0.9 < x <= 1
    assert 0 <= y < 0.2
    assert 0.04 < width < 0.15
    assert 0.2 < height < 0.5
    assert legend.GetNumberOfLabels() == 3
    assert [legend.GetLabelFormat() % value for value in (0.0, 0.5, 1.0)] == ["0.0", "0.5", "1.0"]


def test_a_map_is_known_as_ours_and_lies_where_its_volume_does(session):
    volume = samples.volume("oblique")
    transform = session.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    volume.SetAndObserveTransformNodeID(transform.GetID())
    node = heatmap.add_heatmap(volume, np.zeros((9, 12, 15), np.float32), "Uncertainty")
    assert node.GetAttribute(heatmap.MAP_ATTRIBUTE) == "1"
    assert node.GetParentTransformNode() is transform
