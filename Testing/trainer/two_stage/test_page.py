"""The report of two-stage learning: every figure in its place, and plots that can be read."""

from __future__ import annotations

import html
import itertools
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from Testing.trainer.two_stage.test_findings import NOTHING, PRETEXTS, metrics_of
from trainer.two_stage.findings import summarise
from trainer.two_stage.matrix import Cell
from trainer.two_stage.page import (
    EXPLANATION,
    choice_rows,
    curves_figure,
    figures,
    interval_text,
    method_name,
    write_page,
)

POSITIVES = "dice_positives_only"
STUDENT_DICE = {10: (0.52, 0.54, 0.56), 40: (0.7, 0.71, 0.75)}
ROWS = [
    "from scratch",
    "from scratch, as many steps as pre-training and fine-tuning",
    "teacher: denoising",
    "plain joint training of all tasks",
    "best single teacher (by validation)",
    "average of the teachers",
    "student",
]
CURVES = {
    "n10-s0-scratch": [[100, 0.1], [200, None], [300, 0.3]],
    "n10-s0-scratch-long": [[100, 0.1], [600, 0.35]],
    "n10-s0-joint-all": [[100, 0.1], [300, 0.25]],
    "n10-s0-joint-denoising": [[100, 0.2], [200, math.nan], [300, 0.4]],
    "n10-s0-pretrained-denoising": [[100, 0.3], [300, 0.5]],
    "n10-s0-joint-inpainting": [[100, 0.2], [300, 0.45]],
    "n10-s0-student": [[100, 0.4], [300, 0.6]],
}


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    """Two numbers of labels, three seeds of each."""
    runs: dict[str, dict[str, Any]] = {}
    cells = [Cell(count, seed, {}, NOTHING) for count in STUDENT_DICE for seed in range(3)]
    for cell in cells:
        runs |= metrics_of(cell, STUDENT_DICE[cell.labelled][cell.seed], joint_is_better=cell.labelled == 10)
    images = [
        {"labelled": cell.labelled, "seed": cell.seed, "validation": 5, "test": 9, "without_labels": 30}
        for cell in cells
    ]
    return summarise(cells, runs, PRETEXTS, "positives") | {"target": "A", "images": images, "curves": CURVES}


@pytest.fixture(scope="module")
def methods(found: dict[str, Any]) -> Figure:
    figure = figures(found)["methods"][0]
    figure.draw_without_rendering()
    return figure


@pytest.fixture(scope="module")
def curves() -> Figure:
    figure = curves_figure(CURVES)
    figure.draw_without_rendering()
    return figure


def words(figure: Figure) -> list[Text]:
    """All that is written; ticks beyond the ends of an axis are not drawn."""
    unseen = {
        id(label)
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        for tick in axis.get_major_ticks()
        if not min(axis.get_view_interval()) <= tick.get_loc() <= max(axis.get_view_interval())
        for label in (tick.label1, tick.label2)
    }
    return [t for t in figure.findobj(Text) if t.get_visible() and t.get_text() and id(t) not in unseen]


def test_every_seed_has_its_dot_in_the_row_of_its_method_and_a_line_at_their_mean(
    methods: Figure, found: dict[str, Any]
) -> None:
    assert [axes.get_title("left") for axes in methods.axes] == ["10 labelled images", "40 labelled images"]
    assert [label.get_text() for label in methods.axes[0].get_yticklabels()] == ROWS
    for axes, count in zip(methods.axes, ("10", "40"), strict=True):
        names = [name for name in found["labelled"][count] if name not in ("joint-denoising", "pretrained-denoising")]
        for row, (name, dots, line) in enumerate(zip(names, axes.collections, axes.lines, strict=True)):
            seeds = found["labelled"][count][name][POSITIVES]["seeds"]
            np.testing.assert_allclose(np.asarray(dots.get_offsets()), [[seed, row] for seed in seeds])
            np.testing.assert_allclose(line.get_xdata(), np.mean(seeds), rtol=1e-12)
            assert np.mean(line.get_ydata()) == pytest.approx(row)
            assert 0.2 < np.ptp(np.asarray(line.get_ydata())) < 1, "it must not reach into the next row"
            assert dots.get_zorder() > line.get_zorder()
    student = STUDENT_DICE[40]
    np.testing.assert_allclose(np.asarray(methods.axes[1].collections[-1].get_offsets())[:, 0], student)


def test_the_student_alone_has_a_colour_of_its_own(methods: Figure) -> None:
    for axes in methods.axes:
        colours = [tuple(dots.get_facecolor()[0]) for dots in axes.collections]
        assert len(set(colours[:-1])) == 1
        assert colours[-1] != colours[0]
        assert all(0.3 < colour[3] <= 1 for colour in colours), "dots that overlap must be seen"


def test_the_first_method_is_on_top_and_every_row_is_within_the_panel(methods: Figure) -> None:
    bottom, top = methods.axes[0].get_ylim()
    assert -1 < top < -0.3, "the whole of the first row, and no row of nothing"
    assert len(ROWS) - 1 + 0.3 < bottom < len(ROWS)


@pytest.mark.parametrize("name", ["methods", "curves"])
def test_words_are_large_enough_to_read_and_lie_within_the_picture(name: str, request: pytest.FixtureRequest) -> None:
    figure: Figure = request.getfixturevalue(name)
    for text in words(figure):
        assert 6 <= text.get_fontsize() <= 11, text.get_text()
        box = text.get_window_extent()
        assert figure.bbox.x0 - 1 <= box.x0 < box.x1 <= figure.bbox.x1 + 1, text.get_text()
        assert figure.bbox.y0 - 1 <= box.y0 < box.y1 <= figure.bbox.y1 + 1, text.get_text()
    for line in figure.axes[0].lines:
        assert 1 <= line.get_linewidth() <= 3
        assert line.get_markersize() < 7 or line.get_marker() == "None"


def test_rows_of_methods_are_apart_by_a_few_lines_of_text_whatever_their_number(
    methods: Figure, found: dict[str, Any]
) -> None:
    few = {name: found["labelled"]["10"][name] for name in ("scratch", "student")}
    small = figures(found | {"labelled": {"10": few}})["methods"][0]
    small.draw_without_rendering()
    # Above the first and below the last row there is room for half of one: more of it with few rows.
    for figure, most in ((methods, 4), (small, 5.5)):
        boxes = [label.get_window_extent() for label in figure.axes[0].get_yticklabels()]
        for upper, lower in itertools.pairwise(boxes):
            assert 1.0 < (upper.y0 - lower.y0) / upper.height < most
    inches = [axes.get_window_extent().width / methods.dpi for axes in methods.axes]
    assert all(2.5 < width < 4 for width in inches), "of a panel beside the names"


def test_curves_go_through_every_validation_that_has_a_dice(curves: Figure) -> None:
    (axes,) = curves.axes
    drawn = {line.get_label(): [list(point) for point in line.get_xydata()] for line in axes.lines}
    assert drawn == {
        name.removeprefix("n10-s0-"): [[step, dice] for step, dice in points if dice is not None and dice == dice]
        for name, points in CURVES.items()
    }
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("step of the training on labels", "validation Dice")
    assert [text.get_text() for text in axes.get_legend().get_texts()] == list(drawn)
    assert all(line.get_marker() == "o" for line in axes.lines)


def test_both_modes_of_a_task_have_its_colour_and_what_is_trained_jointly_is_dashed(curves: Figure) -> None:
    line = {line.get_label(): line for line in curves.axes[0].lines}
    assert line["joint-denoising"].get_color() == line["pretrained-denoising"].get_color()
    assert line["joint-denoising"].get_color() != line["joint-inpainting"].get_color()
    styles = {name: one.get_linestyle() for name, one in line.items()}
    assert styles["joint-denoising"] == styles["joint-inpainting"] == "--"
    assert styles["pretrained-denoising"] == styles["student"] == styles["scratch"] == "-"
    assert len({styles["scratch-long"], styles["joint-all"], "-", "--"}) == 4, "two baselines, told apart"
    thick = {name for name, one in line.items() if one.get_linewidth() > 2}
    assert thick == {"student", "scratch"}
    assert line["student"].get_color() != line["scratch"].get_color()


class Tables(HTMLParser):
    """Captions and cells of the tables of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: list[tuple[str, list[list[str]]]] = []
        self._into: list[str] | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: object) -> None:
        if tag == "table":
            self.tables.append(("", []))
        elif tag == "tr":
            self.tables[-1][1].append([])
        elif tag in ("th", "td", "caption"):
            self._into = []

    def handle_data(self, data: str) -> None:
        if self._into is not None:
            self._into.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag in ("th", "td", "caption"):
            text, self._into = "".join(self._into or []), None
            if tag == "caption":
                self.tables[-1] = (text, self.tables[-1][1])
            else:
                self.tables[-1][1][-1].append(text)


def test_the_page_has_a_table_of_methods_and_one_of_modes_for_each_number_of_labels(
    found: dict[str, Any], tmp_path: Path
) -> None:
    write_page(found, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    tables = Tables(text).tables
    assert len(tables) == 5
    both = "Both modes of every auxiliary task"
    assert [caption for caption, _ in tables[1:4:2]] == [both, both]
    assert tables[0][0] == (
        "Mean and 95 % interval over 3 seed(s), 9 test images; 5 more labelled images choose; 30 images are learnt "
        "from without labels"
    )
    for _, rows in tables[0:4:2]:
        assert [row[0] for row in rows] == ["Method", *ROWS]
    for _, rows in tables[1:4:2]:
        assert [row[0] for row in rows[1:]] == ["denoising, joint", "denoising, pre-training"]
    scratch, student = tables[0][1][1], tables[0][1][-1]
    # Of three seeds alike there is nothing to say beyond their value.
    assert scratch[1:] == ["0.500", "0.250", "+0.000", "1"]
    # Mean of 0.52, 0.54, 0.56; t(0.975, 2 degrees of freedom) = 4.302653, standard error 0.02 / sqrt(3).
    half = 4.302653 * 0.02 / math.sqrt(3)
    assert student[1] == f"0.540 ({0.54 - half:.3f} to {0.54 + half:.3f})"
    assert student[3] == f"+0.040 ({0.04 - half:.3f} to +{0.04 + half:.3f})"
    assert text.count("<h2>") == 2
    assert "<h1>Two-stage learning on A</h1>" in text
    assert f"<p>{html.escape(EXPLANATION)}</p>" in text
    assert tables[4][0] == "Mode chosen, and validation Dice joint / pre-training"
    assert tables[4][1][0] == ["Labels, seed", "denoising", "Best teacher"]
    assert len(tables[4][1]) == 1 + 6
    assert len(re.findall(r'<p class="(?:good|bad)">', text)) == 6
    assert text.count("<img") == 2


def test_every_choice_says_the_mode_and_both_dice_of_validation(found: dict[str, Any]) -> None:
    rows = choice_rows(found["choices"])
    assert len(rows) == 6
    assert rows[0] == ["10, 0", "joint (0.800 / 0.700)", "denoising"]
    assert rows[-1] == ["40, 2", "pre-training (0.800 / 0.700)", "denoising"]


@pytest.mark.parametrize(
    ("interval", "sign", "text"),
    [
        ({"value": 0.8124, "low": 0.79, "high": 0.8336}, False, "0.812 (0.790 to 0.834)"),
        ({"value": 0.02, "low": -0.01, "high": 0.05}, True, "+0.020 (-0.010 to +0.050)"),
        ({"value": 0.5, "low": None, "high": None}, False, "0.500"),
        ({"value": math.nan, "low": None, "high": None}, False, "–"),
        ({"value": None, "low": None, "high": None}, True, "–"),
    ],
)
def test_an_interval_is_said_as_far_as_it_is_known(interval: dict[str, Any], sign: bool, text: str) -> None:
    assert interval_text(interval, sign=sign) == text


def test_an_unknown_kind_of_method_has_no_name() -> None:
    assert method_name("pretrained-denoising") == "denoising, pre-training"
    with pytest.raises(KeyError):
        method_name("other-denoising")
