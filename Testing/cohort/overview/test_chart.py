"""Charts are to scale, and show names as text."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from MultiTaskSegLib.cohort.overview.chart import HEIGHT, WIDTH, histogram, stacked_bars

COLOURS = {"good": "#00ff00", "bad": "#ff0000"}


def bars(chart: str) -> list[tuple[float, float, str]]:
    """Top, height and colour of each bar; the chart is well formed."""
    found = ElementTree.fromstring(chart).findall("rect")
    return [(float(one.get("y")), float(one.get("height")), one.get("fill")) for one in found]


def test_parts_are_as_high_as_they_are_many_and_stand_on_each_other():
    chart = stacked_bars([("May", {"good": 3, "bad": 1}), ("June", {}), ("July", {"bad": 2})], COLOURS)
    quarter = HEIGHT / 4
    assert bars(chart) == [
        (quarter, 3 * quarter, "#00ff00"),
        (0, quarter, "#ff0000"),
        (2 * quarter, 2 * quarter, "#ff0000"),
    ]


def test_a_histogram_counts_every_value_and_draws_the_limit_in_its_place():
    chart = histogram([0.0] * 6 + [2.0] * 3, limit=1.0)
    assert sorted(height for _, height, _ in bars(chart)) == [HEIGHT / 2, HEIGHT]
    assert float(re.search(r'<line x1="([\d.]+)"', chart)[1]) == WIDTH / 2


@pytest.mark.parametrize(
    "values", [[3.0], [3.0, 3.0], [0.705, 0.7049999999999998], [1e6, 1e6 + 1e-9], [0.0, 5e-324], [-2e17, -2e17 + 32]]
)
def test_values_that_are_equal_but_for_rounding_are_one_bar(values: list[float]):
    assert len(bars(histogram(values))) == 1
    assert len(bars(histogram(values, limit=values[0]))) == 1


def test_values_that_differ_a_little_are_two_bars():
    assert len(bars(histogram([1.0, 1.0 + 1e-7]))) == 2


def test_a_limit_beyond_all_values_is_shown():
    assert float(re.search(r'<line x1="([\d.]+)"', histogram([0.0, 0.5], limit=1.0))[1]) == WIDTH


def test_names_are_shown_as_text():
    assert ElementTree.fromstring(stacked_bars([("<i>&", {"good": 1})], COLOURS)).find("text").text == "<i>&"
