"""Words and colours of the panels."""

from __future__ import annotations

import importlib

import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")

from MultiTaskSegLib.runtime.ood.verdict import NOT_CHECKED, Verdict
from MultiTaskSegLib.scene.image_record import ImageRecord
from MultiTaskSegLib.scene.result import add_result
from MultiTaskSegLib.scene.result_record import write_record
from Testing.slicer import scene_samples as samples
from Testing.slicer.scene.test_result_table import found

VERDICT = Verdict(False, 1.1, 2.5, 0.4, "Dataset001_Hearts & <Brains>", {})
pytestmark = pytest.mark.usefixtures("stand_ins", "session")


@pytest.fixture
def summary():
    return importlib.import_module("MultiTaskSegLib.panel.summary")


def test_the_verdict_is_told_in_words_and_colour_and_names_are_escaped(summary):
    text = summary.verdict_text(VERDICT)
    assert "IN DISTRIBUTION" in text
    assert summary.GOOD_COLOUR in text
    assert "1.1 times the typical distance from Hearts &amp; &lt;Brains&gt; (limit 2.5)" in text


def test_an_image_out_of_distribution_gets_another_word_and_another_colour(summary):
    text = summary.verdict_text(Verdict(True, 9.0, 2.5, 0.01, "hearts", {}))
    assert "OUT OF DISTRIBUTION" in text
    assert summary.BAD_COLOUR in text
    assert summary.GOOD_COLOUR not in text


def test_the_verdict_is_not_told_twice(summary):
    verdict = Verdict(True, 9.0, 2.5, 0.01, "hearts", {})
    text = summary.result_text(verdict, "hearts", [verdict.sentence(), "the voxels are coarse, a < b"])
    assert text.upper().count("OUT OF DISTRIBUTION") == 1
    assert "the voxels are coarse, a &lt; b" in text
    assert text.count("NOTE") == 1


def test_whether_a_result_is_good_stands_beside_the_verdict_in_its_own_words_and_colour(summary):
    verdict = Verdict(True, 3.0, 1.5, 0.001, "hearts", {})
    quality = {"answer": "good", "predicted_dice": 0.9, "margin": 0.05, "patients": 12, "why_no_bound": ""}
    text = summary.result_text(verdict, "hearts", quality=quality)
    assert "OUT OF DISTRIBUTION" in text
    assert summary.badge("GOOD", summary.GOOD_COLOUR) in text
    assert "predicted Dice 0.90, of each structure at least its figure less 0.05 in nine of ten such images" in text
    foreign = quality | {"answer": "do not use", "predicted_dice": None, "margin": None, "why_no_bound": "a < b"}
    text = summary.quality_text(foreign)
    assert summary.badge("DO NOT USE", summary.BAD_COLOUR) in text
    assert text.endswith(" a &lt; b</p>")
    assert summary.badge("GOOD", summary.UNUSUAL_COLOUR) in summary.quality_text(foreign | {"answer": "good"})
    assert "GOOD" not in summary.result_text(verdict, "hearts")


def test_how_the_model_was_chosen_is_told_where_there_was_a_choice(summary):
    verdict = Verdict(False, 1.1, 2.5, 0.4, "hearts", {})
    text = summary.result_text(verdict, "hearts", choice="a was chosen, nearer than <b>")
    assert "Model: a was chosen, nearer than &lt;b&gt;" in text
    assert "Model" not in summary.result_text(verdict, "hearts")


@pytest.mark.parametrize(
    ("verdict", "task", "word", "level"),
    [
        (Verdict(False, 1.1, 2.5, 0.4, "hearts", {}), "hearts", "IN DISTRIBUTION", "KNOWN"),
        (Verdict(False, 2.4, 2.5, 0.05, "hearts", {}), "hearts", "UNUSUAL", "UNUSUAL"),
        (Verdict(False, 1.1, 2.5, 0.4, "brains", {}), "hearts", "brains", "UNUSUAL"),
        (Verdict(False, 1.1, 2.5, 0.4, "brains", {}, rivals=("hearts",)), "hearts", "; about as near: hearts", "KNOWN"),
        (Verdict(True, 3.0, 2.5, 0.4, "hearts", {}), "hearts", "OUT OF DISTRIBUTION", "FOREIGN"),
    ],
)
def test_the_banner_has_three_colours_and_says_why(summary, verdict, task, word, level):
    banner = importlib.import_module("MultiTaskSegLib.panel.verdict_banner")
    text = summary.result_text(verdict, task)
    assert banner.level_of(verdict, task) is banner.Level[level]
    assert [colour for colour in banner.Level if colour.value in text] == [banner.Level[level]]
    assert word in text
    assert f"p\u00a0=\u00a0{verdict.p_value:.2g}" in text


def test_a_result_that_was_not_checked_has_a_banner_that_is_not_green_and_says_so_once(summary):
    banner = importlib.import_module("MultiTaskSegLib.panel.verdict_banner")
    text = summary.result_text(None, "hearts", [NOT_CHECKED, "the voxels are coarse"])
    assert [colour for colour in banner.Level if colour.value in summary.result_text(None, "hearts")] == [
        banner.Level.UNCHECKED
    ]
    assert "NOT CHECKED" in text
    assert text.count("no reference images") == 1
    assert "the voxels are coarse" in text


def test_the_panel_shows_that_a_result_in_the_scene_was_not_checked():
    shown = importlib.import_module("MultiTaskSegLib.panel.result_view")
    made = add_result(samples.volume(), found(None)).segmentation
    assert "NOT CHECKED" in shown._text(made)
    assert "not made by MultiTaskSeg" not in shown._text(made)


def test_white_letters_are_legible_on_each_colour_of_the_banner():
    banner = importlib.import_module("MultiTaskSegLib.panel.verdict_banner")
    for level in banner.Level:
        channels = [int(level.value[index : index + 2], 16) / 255 for index in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
        assert 1.05 / (luminance + 0.05) >= 4.5  # WCAG 2, level AA


def test_findings_are_told_one_by_one_with_the_refusals_marked(summary):
    preflight = importlib.import_module("MultiTaskSegLib.panel.preflight")
    text = summary.findings_text([preflight.Finding("no < voxels", True), preflight.Finding("coarse")])
    assert text.index("CANNOT BE SEGMENTED") < text.index("no &lt; voxels") < text.index("NOTE") < text.index("coarse")
    assert summary.findings_text([]) == ""


@pytest.mark.parametrize(
    ("fraction", "eta_s", "expected"),
    [(0.314, 4.2, "network: 31 %, about 4 s left"), (0.0, None, "network: 0 %")],
)
def test_progress_in_words(summary, fraction, eta_s, expected):
    assert summary.progress_text(fraction, eta_s, "network") == expected


def test_ood_check_names_the_tasks_that_are_about_as_near(summary):
    check_banner = importlib.import_module("OODCheckLib.check_banner")
    near = Verdict(False, 1.1, 2.5, 0.4, "brains", {}, rivals=("Dataset001_Hearts", "livers"))
    assert "nearest task: brains; about as near: Hearts, livers" in check_banner.check_banner(near)
    assert "about as near" not in check_banner.check_banner(VERDICT)


def test_a_checked_volume_tells_what_was_mended():
    check_banner = importlib.import_module("OODCheckLib.check_banner")
    volume = samples.volume()
    write_record(volume, ImageRecord.of(volume), {"ood": VERDICT.as_dict()})
    assert "NOTE" not in check_banner.volume_text(volume)
    volume.SetAttribute("MultiTaskSeg.Warnings", '["3 voxels < 0 were mended"]')
    assert "3 voxels &lt; 0 were mended" in check_banner.volume_text(volume)
