"""The table of codes and colours against the rules that every such table has to keep."""

from __future__ import annotations

import colorsys

import pytest

from MultiTaskSegLib.runtime.naming.anatomy_codes import (
    ALTERED_STRUCTURE,
    ANATOMICAL_STRUCTURE,
    BODY_REGIONS,
    FILLERS,
    FINDINGS,
    HEART_CHAMBERS,
    MODIFIERS,
    STRUCTURES,
    SYNONYMS,
    TISSUE,
    TISSUES,
    Code,
)
from MultiTaskSegLib.runtime.naming.terminology import MODIFIER_SHADES, label_terminology

CONCEPTS = (*TISSUES, *STRUCTURES, *FINDINGS)
CODES = [c.code for c in CONCEPTS] + list(MODIFIERS.values()) + [ANATOMICAL_STRUCTURE, TISSUE, ALTERED_STRUCTURE]
COLOURED = [concept for concept in CONCEPTS if concept.colour is not None]


def check_sum(digits: str) -> int:
    """Verhoeff, Error detecting decimal codes (1969), from the group of the symmetries of a pentagon; 0 is right."""

    def product(a: int, b: int) -> int:
        """Numbers below 5 are rotations, the others reflections."""
        turn = a % 5 + (b if a < 5 else -b)
        return turn % 5 + 5 * ((a >= 5) != (b >= 5))

    step, total = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4), 0
    for place, digit in enumerate(map(int, reversed(digits))):
        for _ in range(place):
            digit = step[digit]
        total = product(total, digit)
    return total


def lightness(colour: tuple[int, int, int]) -> float:
    """CIE L* of an sRGB colour."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in colour)]
    return float(116 * (0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]) ** (1 / 3) - 16)


def test_every_code_is_a_snomed_ct_number_whose_check_digit_is_right() -> None:
    for code in CODES:
        assert code.scheme == "SCT", code
        assert 6 <= len(code.value) <= 18, code
        assert code.value.isdigit(), code
        assert check_sum(code.value) == 0, code
        # The two digits before the last one: a concept of the international edition.
        assert code.value[-3:-1] == "00", code
        assert code.meaning[0].isupper(), code


def test_a_wrong_digit_and_two_digits_the_wrong_way_round_would_be_noticed() -> None:
    assert check_sum("10200004") == 0
    assert all(check_sum("1020" + digit + "004") for digit in "123456789")
    assert check_sum("12000004")


def test_a_code_means_one_thing_and_each_thing_has_one_code() -> None:
    meaning_of = {code.value: code.meaning for code in CODES}
    assert all(meaning_of[code.value] == code.meaning for code in CODES)
    assert len(set(meaning_of.values())) == len(meaning_of)
    words = [concept.words for concept in CONCEPTS]
    assert len(set(words)) == len(words), "a label name must not stand for two concepts"


@pytest.mark.parametrize("name", MODIFIERS)
def test_a_modifier_means_its_own_name_and_has_a_shade(name: str) -> None:
    assert MODIFIERS[name].meaning.lower() == name
    assert name in MODIFIER_SHADES


def test_regions_and_chambers_are_those_that_they_are_called() -> None:
    meaning_of = {concept.code.value: concept.code.meaning for concept in STRUCTURES}
    assert {meaning_of[code] for code in BODY_REGIONS} == {"Head", "Chest", "Abdomen"}
    assert {meaning_of[code] for code in HEART_CHAMBERS} == {"Left ventricle of heart", "Right ventricle of heart"}


def test_words_that_change_nothing_name_nothing_by_themselves() -> None:
    for concept in CONCEPTS:
        assert not concept.words <= FILLERS, concept
    assert not FILLERS & SYNONYMS.keys()
    assert not FILLERS & MODIFIERS.keys()


@pytest.mark.parametrize("concept", COLOURED, ids=lambda concept: concept.code.meaning)
def test_a_colour_is_three_bytes_that_are_seen_on_black_on_grey_and_on_white(concept: object) -> None:
    colour = concept.colour  # type: ignore[attr-defined]
    assert len(colour) == 3
    assert all(type(channel) is int and 0 <= channel <= 255 for channel in colour)
    assert 40 < lightness(colour) < 93
    assert max(colour) - min(colour) >= 25, "a grey would be lost on an image"


def test_findings_differ_from_each_other_unless_they_are_the_same_growth() -> None:
    colours = {concept.code.meaning: concept.colour for concept in FINDINGS}
    assert colours.pop("Mass") == colours["Tumor"]
    assert len(set(colours.values())) == len(colours)


def test_left_and_right_are_as_much_lighter_and_darker_than_the_structure_itself() -> None:
    shifts = []
    for concept in STRUCTURES:
        name = "_".join(sorted(concept.words))
        if concept.colour is None or concept.words & MODIFIERS.keys() or len(concept.words) > 1:
            continue
        pair = [label_terminology("D", "", "", f"{side}_{name}").colour for side in ("left", "right")]
        own, left, right = (
            colorsys.rgb_to_hls(*(channel / 255 for channel in colour))[1] for colour in (concept.colour, *pair)
        )
        # Beyond these the shade is cut off.
        if own - 0.09 > 0.25 and own + 0.09 < 0.85:
            assert left - own == pytest.approx(0.09, abs=1 / 255)
            assert own - right == pytest.approx(0.09, abs=1 / 255)
            shifts.append((left + right) / 2 - own)
    assert len(shifts) > 20
    # Rounding goes either way: what is left over many colours is no step of one in 256.
    assert sum(shifts) / len(shifts) == pytest.approx(0, abs=0.0005)


def test_a_triplet_joins_scheme_value_and_meaning() -> None:
    assert Code("SCT", "10200004", "Liver").triplet == "SCT^10200004^Liver"
