"""HTML reports and figures: self-contained, accessible, escaped, and showing the values they were given."""

from __future__ import annotations

import base64
import os
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure

from MultiTaskSegLib.runtime.errors import ResourceError
from trainer.report.curves import (
    SpectrumPanel,
    dice_figure,
    ood_figure,
    reliability_figure,
    spectrum_figure,
    training_figure,
)
from trainer.report.report import Report, png_bytes, write_whole

NASTY = '<script>alert("$x_1$")</script>&'
VOID = {"meta", "img", "link", "br", "hr", "input"}


class Page(HTMLParser):
    """Checks nesting and collects texts and attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.attributes += [(tag, key, value or "") for key, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())


def small_figure() -> Figure:
    figure = Figure(figsize=(1, 1))
    figure.subplots().plot([0, 1])
    return figure


def example() -> Report:
    report = Report(f"Run {NASTY}")
    report.add_text(f"first {NASTY}\n\nsecond").add_table(["case", "Dice"], [[NASTY, 0.912345], ["b", None]], "Scores")
    return report.add_heading("More").add_verdict("flagged", False).add_figure(small_figure(), f"Curve {NASTY}")


def test_page_is_well_formed_and_shows_what_was_added() -> None:
    page = Page(example().html())
    assert page.open == []
    assert {"0.9123", "–", "second", "Scores", "flagged", f"Run {NASTY}", f"first {NASTY}"} <= set(page.texts)


def test_text_never_becomes_markup() -> None:
    page = Page(example().html())
    assert "script" not in page.seen
    assert ("img", "alt", f"Curve {NASTY}") in page.attributes


def test_page_loads_nothing_from_elsewhere() -> None:
    text = example().html()
    assert not re.search(r"https?:|//[a-z]|@import|url\(", re.sub(r"base64,[^\"]*", "", text))
    sources = [value for _, key, value in Page(text).attributes if key in ("src", "href")]
    assert sources
    assert all(source.startswith("data:image/png;base64,") for source in sources)


def test_figures_come_before_tables_and_are_valid_png() -> None:
    text = example().html()
    assert text.index("<figure>") < text.index("<table>")
    data = re.search(r"base64,([^\"]*)", text)
    assert data is not None
    assert base64.b64decode(data[1], validate=True).startswith(b"\x89PNG\r\n\x1a\n")


def test_page_is_accessible_and_follows_the_screen() -> None:
    page = Page(example().html())
    attributes = set(page.attributes)
    assert {("html", "lang", "en"), ("th", "scope", "col"), ("th", "scope", "row")} <= attributes
    assert "caption" in page.seen
    assert page.seen.count("h1") == 1
    assert "prefers-color-scheme: dark" in example().html()


def test_a_row_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(ValueError, match="2 cells"):
        Report("x").add_table(["a", "b"], [["only one"]], "t")


def test_write_replaces_the_file_and_leaves_no_other(tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    target.write_text("old")
    assert example().write(target) == target
    assert target.read_text(encoding="utf-8") == example().html()
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.skipif(os.name == "nt", reason="limits the size of files")
def test_a_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    import resource

    target = tmp_path / "report.html"
    target.write_text("old")
    # The system itself refuses to write more, in the middle of the page, as a full disk would.
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(example().html()) // 2, hard))
    try:
        with pytest.raises(ResourceError, match=r"report\.html"):
            example().write(target)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_the_same_figure_gives_the_same_bytes(tmp_path: Path) -> None:
    png = png_bytes(small_figure())
    assert png == png_bytes(small_figure())
    assert write_whole(tmp_path / "a.png", png).read_bytes() == png
    assert Report("x").add_png(png, "c").html() == Report("x").add_figure(small_figure(), "c").html()


def dots(figure: Figure) -> list[np.ndarray]:
    return [c.get_offsets().data for c in figure.axes[0].collections if isinstance(c, PathCollection)]


def test_training_figure_draws_every_series_it_is_given() -> None:
    records = [
        {"step": 20, "loss": 1.5, "lr": 1e-3},
        {"step": 30, "dice": {"b": 0.2, NASTY: 0.4}},
        {"step": 40, "loss": 1.0, "lr": 2e-3},
        {"step": 50, "dice": {"b": 0.6}},
    ]
    loss, rate, dice = training_figure(records).axes
    assert loss.lines[0].get_xydata().tolist() == [[20, 1.5], [40, 1.0]]
    assert rate.lines[0].get_xydata().tolist() == [[20, 1e-3], [40, 2e-3]]
    assert dice.lines[1].get_xydata().tolist() == [[30, 0.2], [50, 0.6]]
    assert dice.lines[0].get_xydata().tolist() == [[30, 0.4]]


def test_training_figure_of_a_run_that_just_began_is_empty_and_drawable() -> None:
    assert png_bytes(training_figure([]))


def test_dice_figure_has_a_dot_per_defined_case_and_the_median() -> None:
    figure = dice_figure({"heart": {"cavity": [0.9, 0.5, float("nan"), 0.7]}, NASTY: {"$": [1.0]}})
    assert sorted(dots(figure)[0][:, 0]) == [0.5, 0.7, 0.9]
    assert figure.axes[0].lines[0].get_xdata()[0] == pytest.approx(0.7)
    assert png_bytes(figure)


def test_ood_figure_counts_scores_above_the_threshold() -> None:
    figure = ood_figure({"heart": [0.1, 0.2, 1.5]}, {"knee $": [3.0, 1.0]}, threshold=1.0)
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts[:3] == ["1 of 3 flagged", "1 of 2 flagged", "threshold 1"]
    assert sorted(dots(figure)[1][:, 0]) == [1.0, 3.0]
    assert png_bytes(figure)


def test_reliability_figure_states_the_expected_calibration_error() -> None:
    figure = reliability_figure(np.array([0.6, 0.9, 0.5]), np.array([0.5, 0.9, np.nan]), np.array([25, 75, 0]))
    assert figure.axes[0].get_title(loc="left") == "Expected calibration error 0.025"


@pytest.mark.parametrize(("is_ood", "words"), [(True, "OUT OF DISTRIBUTION"), (False, "in distribution")])
def test_spectrum_figure_says_the_verdict_in_words_and_draws_the_image(is_ood: bool, words: str) -> None:
    panels = [SpectrumPanel(f"layer {n}", np.arange(4.0), np.zeros((3, 4))) for n in range(5)]
    figure = spectrum_figure(panels, NASTY, "heart", is_ood)
    assert words in figure.get_suptitle()
    assert figure.axes[0].lines[1].get_ydata().tolist() == [0, 1, 2, 3]
    assert [axes.get_visible() for axes in figure.axes] == [True] * 5 + [False] * 3
    assert png_bytes(figure)
