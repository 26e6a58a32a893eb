"""From what a model file knows to the estimate, the bound and the words on an image."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from MultiTaskSegLib.runtime.model.structure import from_plain, to_plain
from MultiTaskSegLib.runtime.quality.image_quality import NOTHING_WORDS, UNCHECKED_WORDS, ImageQuality, image_quality
from MultiTaskSegLib.runtime.quality.quality_info import FARTHEST, UNKNOWN, TaskQuality
from MultiTaskSegLib.runtime.quality.quality_words import quality_sentence

KNOWN = TaskQuality(
    12, 0.08, ("entropy_foreground", "log_score"), (0.2, 0.0), (0.1, 0.5), (-0.03, -0.02), intercept=0.01
)  # fmt: skip


def test_without_anything_in_the_file_the_expected_dice_is_the_estimate() -> None:
    quality = image_quality({1: 0.9, 2: None}, {"entropy_foreground": 0.9}, UNKNOWN)
    assert (quality.dice, quality.margin, quality.at_least(1)) == ({1: 0.9, 2: None}, None, None)
    assert "9 held-out patients" in quality.why_no_bound


def test_the_estimate_is_the_expected_dice_and_what_unusual_traits_take_from_it() -> None:
    quality = image_quality({1: 0.9, 2: 0.7, 3: None}, {"entropy_foreground": 0.4, "log_score": 0.25}, KNOWN)
    correction = 0.01 - 0.03 * 2 - 0.02 * 0.5
    assert quality.dice == {1: pytest.approx(0.9 + correction), 2: pytest.approx(0.7 + correction), 3: None}
    assert quality.mean == pytest.approx(0.8 + correction)
    assert quality.at_least(1) == pytest.approx(0.9 + correction - 0.08)
    assert quality.at_least(3) is None
    assert quality.why_no_bound == ""


def test_a_trait_that_is_not_there_changes_nothing_and_one_beyond_all_counts_no_more_than_the_farthest() -> None:
    assert KNOWN.correction({}) == KNOWN.correction({"log_score": float("nan")}) == 0.01
    assert KNOWN.correction({"log_score": 1e9}) == pytest.approx(0.01 - 0.02 * FARTHEST)


def test_a_trait_within_the_tolerance_says_nothing_and_beyond_it_counts_by_what_is_beyond() -> None:
    known = replace(KNOWN, tolerance=2.0)
    usual = {"entropy_foreground": 0.2 + 2 * 0.1, "log_score": -2 * 0.5}
    assert known.correction(usual) == pytest.approx(0.01)
    assert known.correction({"entropy_foreground": 0.5}) == pytest.approx(0.01 - 0.03)
    assert known.correction({"entropy_foreground": -0.1}) == pytest.approx(0.01 + 0.03)
    assert known.correction({"log_score": -1e9}) == pytest.approx(0.01 + 0.02 * FARTHEST)


def test_a_tolerance_is_written_only_where_there_is_one_so_that_earlier_files_stay_what_they_are() -> None:
    assert "tolerance" not in to_plain(KNOWN)
    known = replace(KNOWN, tolerance=1.5)
    assert from_plain(TaskQuality, json.loads(json.dumps(to_plain(known)))) == known


def test_estimates_and_bounds_stay_dice_coefficients() -> None:
    low, high = (TaskQuality(9, 0.5, intercept=shift) for shift in (-2.0, 2.0))
    assert image_quality({1: 0.5}, {}, low).dice == {1: 0.0}
    assert image_quality({1: 0.5}, {}, low).at_least(1) == 0.0
    assert image_quality({1: 0.5}, {}, high).dice == {1: 1.0}


def test_structures_that_are_not_wanted_do_not_count() -> None:
    quality = image_quality({1: 0.9, 2: None, 3: 0.1}, {}, TaskQuality(9, 0.1))
    assert (quality.answer, quality.only([1]).answer, quality.only([3]).answer) == ("look here", "good", "do not use")


@pytest.mark.parametrize(
    "broken",
    [
        TaskQuality(8, 0.1),
        TaskQuality(9, 0.1, ("entropy",)),
        TaskQuality(9, 0.1, ("entropy", "entropy"), (0.0, 0.0), (1.0, 1.0), (0.1, 0.1)),
        TaskQuality(9, 0.1, ("colour",), (0.0,), (1.0,), (0.1,)),
    ],
)
def test_numbers_that_do_not_fit_each_other_are_known_as_impossible(broken: TaskQuality) -> None:
    assert not broken.is_possible


def test_a_bound_of_enough_patients_is_possible_and_so_is_knowing_nothing() -> None:
    assert KNOWN.is_possible
    assert UNKNOWN.is_possible


def test_where_nothing_was_found_no_figure_of_a_structure_is_told() -> None:
    told = ImageQuality({1: None, 2: None}, 0.05, 12).as_dict(is_foreign=False)
    assert (told["predicted_dice"], told["margin"], told["why_no_bound"]) == (None, None, NOTHING_WORDS)
    assert quality_sentence(told) == "do not use: nothing was found"


def test_an_image_that_was_not_checked_as_a_whole_has_no_bound_for_that_and_for_no_other_reason() -> None:
    assert ImageQuality({1: 0.9}, None, 12, is_checked=False).why_no_bound == UNCHECKED_WORDS
    assert "the model file has 3" in ImageQuality({1: 0.9}, None, 3, is_checked=False).why_no_bound


def test_no_result_of_a_foreign_image_is_called_good_however_sure_the_network_is() -> None:
    told = {dice: ImageQuality({1: dice}, 0.05, 12).as_dict(is_foreign=True) for dice in (0.99, 0.7, 0.2)}
    assert [own["answer"] for own in told.values()] == ["look here", "look here", "do not use"]
    assert quality_sentence(told[0.99]) == "look here: the image is unlike those that figures were measured on"
    assert ImageQuality({1: 0.99}, 0.05, 12).as_dict(is_foreign=False)["answer"] == "good"
