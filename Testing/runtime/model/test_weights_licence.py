"""The licence of weights follows from those of their data: the strictest holds, and what cannot be kept is named."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from MultiTaskSegLib.runtime.model.manifest import Manifest
from MultiTaskSegLib.runtime.model.model_card import model_card
from MultiTaskSegLib.runtime.model.training_data import ImageSizes, TrainingData
from MultiTaskSegLib.runtime.model.weights_licence import learnt_besides, licences_in, weights_licence
from Testing.runtime.tiny_model import tiny_manifest


def model_of(*licences: str, may_use: bool | None = True, **training: Any) -> Manifest:
    """A description of one task per licence."""
    manifest = tiny_manifest()
    tasks = tuple(
        replace(
            manifest.tasks[0], name=f"D{number}", licence=words, data=TrainingData(released_weights_may_use=may_use)
        )
        for number, words in enumerate(licences)
    )
    return replace(manifest, tasks=tasks, training=training)


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ("CC0 / public domain", ["CC0"]),
        ("CC BY 3.0 (TCIA)", ["CC BY 3.0"]),
        ("CC-BY-4.0", ["CC BY 4.0"]),
        ("CC BY-NC-SA 4.0 (site)", ["CC BY-NC-SA 4.0"]),
        ("free, please cite the paper", ["cite"]),
        ("repository GPL-3; cite papers", ["GPL-3", "cite"]),
        ("MIT; the scans are believed non-commercial", ["non-commercial", "MIT/BSD/Apache"]),
        ("free for research", ["non-commercial"]),
        ("for research and commercial use, with attribution", ["cite"]),
        ("not stated; CC BY 4.0 from memory", ["not known", "CC BY 4.0"]),
        ("no explicit redistribution licence found", ["not known"]),
        ("CC BY NC 4.0", ["CC BY-NC 4.0"]),
        ("CC BY\u2011NC\u2011SA 4.0", ["CC BY-NC-SA 4.0"]),
        ("CC-BY_NC", ["CC BY-NC"]),
        ("CC BY/ND 3.0", ["CC BY-ND 3.0"]),
        ("CC BY 4.0 (NC)", ["CC BY-NC 4.0"]),
        ("Creative Commons Attribution-NoDerivatives 4.0 International", ["CC BY-ND 4.0"]),
        ("Attribution-NonCommercial-ShareAlike 4.0", ["CC BY-NC-SA 4.0"]),
        ("CC BY 4.0, academic use only", ["non-commercial", "CC BY 4.0"]),
        ("please cite, not for commercial use", ["non-commercial", "cite"]),
        ("MIT; no commercial use, no derivatives", ["no derivatives", "non-commercial", "MIT/BSD/Apache"]),
        ("MIT; commercial use prohibited", ["non-commercial", "MIT/BSD/Apache"]),
        ("ask the owner", ["not known"]),
        ("", ["not known"]),
    ],
)  # fmt: skip
def test_every_licence_that_a_text_names_is_read_the_strictest_first(words: str, names: list[str]) -> None:
    assert [licence.name for licence in licences_in(words)] == names


@pytest.mark.parametrize(
    ("licences", "strictest", "conflicts"),
    [
        (("CC0", "CC BY 4.0"), ["CC BY 4.0"], 0),
        (("CC BY 4.0", "CC BY-SA 4.0", "CC0"), ["CC BY-SA 4.0"], 0),
        (("CC BY-SA 3.0", "CC BY-SA 4.0"), ["CC BY-SA 3.0", "CC BY-SA 4.0"], 0),
        (("CC BY-SA 4.0", "GPL-3"), ["CC BY-SA 4.0", "GPL-3"], 0),
        (("GPL-2", "GPL-3"), ["GPL-2", "GPL-3"], 1),
        (("CC BY-SA 4.0", "ODbL"), ["CC BY-SA 4.0", "ODbL"], 1),
        (("CC BY 4.0", "CC BY-NC 4.0"), ["CC BY-NC 4.0"], 0),
        (("CC BY-SA 4.0", "CC BY-NC 4.0"), ["CC BY-NC 4.0"], 1),
        (("CC BY-NC 4.0", "CC BY-NC-SA 4.0"), ["CC BY-NC 4.0", "CC BY-NC-SA 4.0"], 0),
    ],
)  # fmt: skip
def test_the_strictest_licence_holds_for_the_weights_and_contradictions_are_named(
    licences: tuple[str, ...], strictest: list[str], conflicts: int
) -> None:
    for order in (licences, licences[::-1]):
        found = weights_licence(model_of(*order))
        assert [licence.name for licence in found.strictest] == strictest
        assert len(found.conflicts) == conflicts
        assert found.text().count("contradict each other") == conflicts
        assert not found.refusals()


def test_more_data_never_make_the_licence_milder() -> None:
    texts = ["CC0", "CC BY 4.0", "CC BY-SA 4.0", "ODbL", "CC BY-NC 4.0", "CC BY-NC-ND 4.0", "who knows"]
    for one in texts:
        for two in texts:
            both, alone = weights_licence(model_of(one, two)), weights_licence(model_of(one))
            assert both.strictest[0].strictness >= alone.strictest[0].strictness


@pytest.mark.parametrize(
    ("manifest", "why"),
    [
        (model_of("CC BY 4.0", may_use=False), "may not be made of D0"),
        (model_of("CC BY 4.0", may_use=None), "nobody has said whether .* D0"),
        (model_of("CC0", "who knows"), "no licence is known of D1"),
    ],
)  # fmt: skip
def test_weights_are_not_released_against_their_data(manifest: Manifest, why: str) -> None:
    (reason,) = weights_licence(manifest).refusals()
    assert re.search(why, reason)


def test_data_of_earlier_trainings_count_as_those_of_the_last() -> None:
    terms = {"Old": {"licence": "CC BY-NC 4.0", "released_weights_may_use": False}}
    earlier = {"labelled": {"Old": ["0a"]}, "unlabelled": {}, "terms": terms}
    found = weights_licence(model_of("CC0", provenance=[{"labelled": {"D0": ["0b"]}}, earlier]))
    assert [licence.name for licence in found.strictest] == ["CC BY-NC 4.0"]
    assert found.forbidden == ("Old",)
    # A file of before terms were recorded: nothing is known of what came from elsewhere.
    silent = weights_licence(model_of("CC0", provenance=[{"labelled": {"Old": ["0a"]}}]))
    assert silent.unknown == silent.undecided == ("Old",)


def test_the_card_says_whom_to_cite_for_data_of_no_task_whichever_training_saw_them() -> None:
    left_out = {"Left": {"licence": "CC BY 4.0", "reference": "Doe 2020"}, "D0": {"licence": "CC0", "reference": "X"}}
    own = {"labelled": {"D0": ["0b"], "Left": ["0c"]}, "terms": left_out}
    earlier = {"labelled": {"Left": ["0d"], "Old": ["0a"]}, "unlabelled": {"Seen": ["0e"]}, "terms": {"Old": {}}}
    manifest = model_of("CC0", provenance=[own, earlier])
    assert learnt_besides(manifest) == {
        "Left": "CC BY 4.0; please cite: Doe 2020",
        "Old": "no licence is recorded",
        "Seen": "no licence is recorded",
    }
    assert "Learnt from, too: Left (CC BY 4.0; please cite: Doe 2020)" in model_card(manifest, "0" * 64)
    assert "Learnt from, too" not in model_card(model_of("CC0", provenance=[{"labelled": {"D0": ["0b"]}}]), "0" * 64)


@pytest.mark.parametrize(
    "odd", [None, 3, "text", [1], [{"labelled": 7, "terms": 3}], [{"labelled": {"D0": 1}, "terms": []}]]
)
def test_notes_of_a_foreign_file_are_no_reason_to_fail(odd: object) -> None:
    assert weights_licence(model_of("CC0", provenance=odd)).strictest[0].name == "CC0"
    assert learnt_besides(model_of("CC0", provenance=odd)) == {}


def test_the_card_says_licence_citation_images_and_what_is_not_recorded() -> None:
    sizes = ImageSizes(12, ((30, 40), (50, 50), (35, 35)), ((1, 1), (1, 1), (1, 1)))
    data = TrainingData("Simpson 2019", True, "crops around the hippocampus", sizes=sizes, ages="18-60 years")
    manifest = model_of("CC BY-SA 4.0")
    card = model_card(replace(manifest, tasks=(replace(manifest.tasks[0], data=data),)), "0" * 64)
    for words in (
        "Licence of the weights, from those of their data: CC BY-SA 4.0 (D0)",
        "please cite: Simpson 2019",
        "images: crops around the hippocampus",
        "size: 30-40 x 50 x 35 voxels of 1 x 1 x 1 mm (z, y, x; 12 images looked at)",
        "ages: 18-60 years",
        "not recorded: field of view, scanners",
        "measured on 2 others (few: others may lie far from these figures)",
    ):
        assert words in card
