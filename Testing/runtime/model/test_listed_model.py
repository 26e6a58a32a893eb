"""What the list of models says of an entry, word by word."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from MultiTaskSegLib.runtime.model.model_list import ListedModel, ListedTask

BALLS = ListedTask("Balls", "T1", "head", ("left ball", "right ball"), ("T1", "FLAIR"))
CUBES = ListedTask("Cubes", "", "", ("cube",))
MODEL = ListedModel(
    "two", Path("/m/two.mts.safetensors"), True, 2_345_678, (BALLS, CUBES), licence="CC0", licence_text="CC0 (Balls)",
    is_checked=True,
)  # fmt: skip


@pytest.mark.parametrize(
    ("size_bytes", "words"),
    [
        (0, "1 kB"), (400, "1 kB"), (1_600, "2 kB"), (999_400, "999 kB"), (999_999, "1000 kB"), (1_000_000, "1.0 MB"),
        (2_345_678, "2.3 MB"), (1_234_567_890, "1234.6 MB"),
    ],
)  # fmt: skip
def test_a_size_is_told_in_thousands_or_millions_of_bytes(size_bytes: int, words: str) -> None:
    assert replace(MODEL, size_bytes=size_bytes).size_text() == words


@pytest.mark.parametrize(
    ("count", "end"), [(1, "s1"), (12, ", s12"), (13, ", s12 and 1 more"), (40, ", s12 and 28 more")]
)
def test_of_the_structures_of_one_task_the_first_twelve_are_named(count: int, end: str) -> None:
    task = ListedTask("Many", labels=tuple(f"s{number}" for number in range(1, count + 1)))
    words = replace(MODEL, tasks=(task,)).segments(short=True)
    assert words.endswith(end)
    assert words.count(",") == min(count, 12) - 1
    assert replace(MODEL, tasks=(task,)).segments() == f"Many: {words}"


def test_a_task_without_labels_and_several_tasks_are_named_otherwise() -> None:
    assert replace(MODEL, tasks=(ListedTask("None"),)).segments(short=True) == "nothing: it was trained without labels"
    assert MODEL.segments() == MODEL.segments(short=True) == "Balls, Cubes"


def test_an_entry_for_people_has_its_lines() -> None:
    assert MODEL.lines() == [
        "two (released, 2.3 MB, 3-D)",
        "  segments Balls, Cubes",
        "  modality: T1; channels: T1 + FLAIR; 1",
        "  licence: CC0 (Balls)",
        "  images are checked",
        "  file: /m/two.mts.safetensors",
    ]
    other = replace(MODEL, is_released=False, is_planar=True, is_checked=False, tasks=(CUBES,))
    assert other.lines()[:3] == [
        "two (your own, 2.3 MB, 2-D)",
        "  segments Cubes: cube",
        "  modality: not told; channels: 1",
    ]
    assert other.lines()[4] == "  images are not checked: the model has no reference images to compare with"


def test_an_entry_that_cannot_be_used_says_why_and_nothing_else() -> None:
    broken = ListedModel("bad", Path("bad"), False, problem="the file is cut off")
    assert broken.lines() == ["bad (your own, 1 kB)", "  cannot be used: the file is cut off"]


def test_an_entry_in_json_has_plain_values() -> None:
    assert MODEL.as_dict() == {
        "name": "two",
        "file": "/m/two.mts.safetensors",
        "released": True,
        "bytes": 2_345_678,
        "planar": False,
        "tasks": [
            {
                "name": "Balls", "modality": "T1", "anatomy": "head", "labels": ["left ball", "right ball"],
                "inputs": ["T1", "FLAIR"],
            },
            {"name": "Cubes", "modality": "", "anatomy": "", "labels": ["cube"], "inputs": []},
        ],
        "licence": "CC0 (Balls)",
        "checked": True,
        "problem": None,
    }  # fmt: skip
    assert replace(MODEL, problem="cut off").as_dict()["problem"] == "cut off"


@pytest.mark.parametrize(
    ("is_planar", "is_imported", "flat", "volumes"),
    [(True, False, True, False), (True, True, True, True), (False, False, False, True), (False, True, False, True)],
)
def test_a_network_for_slices_takes_volumes_only_where_nnunet_trained_it(
    is_planar: bool, is_imported: bool, flat: bool, volumes: bool
) -> None:
    model = replace(MODEL, is_planar=is_planar, is_imported=is_imported)
    assert (model.takes(True), model.takes(False)) == (flat, volumes)


def test_modalities_and_channels_of_several_tasks_are_named_once() -> None:
    model = replace(MODEL, tasks=(BALLS, CUBES, replace(BALLS, name="More"), replace(CUBES, modality="CT")))
    assert model.modalities == ("T1", "CT")
    assert model.channels == (("T1", "FLAIR"), ())
