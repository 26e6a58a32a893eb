"""The block of lower precisions: permission follows from figures, and figures that cannot be are refused."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from MultiTaskSegLib.runtime.errors import ModelError
from MultiTaskSegLib.runtime.model.model_file import _manifest, read_manifest, rewrite_manifest
from MultiTaskSegLib.runtime.model.precision_info import PrecisionFigures, PrecisionInfo
from MultiTaskSegLib.runtime.model.structure import to_plain
from Testing.runtime.tiny_model import tiny_manifest, write_tiny_model

TASKS = [task.name for task in tiny_manifest().tasks]


def figures(tasks: Sequence[str] = TASKS, **changed: Any) -> PrecisionFigures:
    """As good as float32, but for what is changed."""
    dice = dict.fromkeys(tasks, 0.8)
    return replace(PrecisionFigures("bfloat16", "torch", dice, dict(dice), 20, 0, 0.95, 0.95), **changed)


def info(*measured: PrecisionFigures) -> PrecisionInfo:
    return PrecisionInfo(1, measured)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({}, ""),
        ({"dice": {TASKS[0]: 0.798, TASKS[1]: 0.802}}, ""),
        ({"dice": {TASKS[0]: 0.7979, TASKS[1]: 0.8}}, "Dice of Dataset001_Balls"),
        ({"dice": {TASKS[0]: 0.8, TASKS[1]: 0.8021}}, "Dice of Dataset002_Cubes"),
        ({"differing_verdicts": 1}, "1 of 20 images"),
        ({"auroc": 0.952}, ""),
        ({"auroc": 0.9479}, "AUROC"),
    ],
)
def test_a_precision_is_permitted_where_everything_that_matters_is_as_in_float32(
    changed: dict[str, Any], words: str
) -> None:
    own = figures(**changed)
    assert own.is_permitted is (words == "")
    assert words in own.shortfall
    assert info(own, figures(precision="float16")).permitted == (("float16",) if words else ("bfloat16", "float16"))


def test_the_block_is_read_as_it_was_written_and_a_file_without_it_is_as_before(tmp_path: Path) -> None:
    plain = write_tiny_model(tmp_path / "tiny.mts.safetensors")
    manifest, _ = read_manifest(plain)
    assert (manifest.precision, manifest.permitted_precisions) == (None, ())
    assert "precision" not in to_plain(manifest)
    block = info(figures(), figures(precision="float16", auroc=0.5))
    rewrite_manifest(plain, replace(manifest, precision=block), tmp_path / "measured.mts.safetensors")
    again, _ = read_manifest(tmp_path / "measured.mts.safetensors")
    assert again.precision == block
    assert again.permitted_precisions == ("bfloat16",)


HOSTILE: list[tuple[str, Any]] = [
    ("version", 2),
    ("version", True),
    ("measured", []),
    ("measured", "bfloat16"),
    ("measured.precision", "float8"),
    ("measured.precision", ["bfloat16"]),
    ("measured.dice", {}),
    ("measured.dice", {TASKS[0]: 0.8}),
    ("measured.dice", {TASKS[0]: 0.8, TASKS[1]: 0.8, "another": 0.8}),
    ("measured.dice", {TASKS[0]: 0.8, TASKS[1]: float("nan")}),
    ("measured.dice", {TASKS[0]: 0.8, TASKS[1]: 1.5}),
    ("measured.dice_float32", {TASKS[0]: 0.8, TASKS[1]: -0.1}),
    ("measured.dice_float32", {TASKS[0]: 0.8}),
    ("measured.images", 0),
    ("measured.images", 10**12),
    ("measured.differing_verdicts", -1),
    ("measured.differing_verdicts", 21),
    ("measured.auroc", float("inf")),
    ("measured.auroc", 1.01),
    ("measured.auroc_float32", "high"),
    ("measured.backend", "evil\u0000name"),
    ("measured.permitted", True),
]


@pytest.mark.parametrize(("place", "value"), HOSTILE, ids=[f"{place} {value!r:.30}" for place, value in HOSTILE])
def test_values_that_cannot_be_are_refused(place: str, value: Any) -> None:
    plain = json.loads(json.dumps(to_plain(replace(tiny_manifest(), precision=info(figures())))))
    _manifest(json.dumps(plain), Path("x"))
    block = plain["precision"]
    part, _, key = place.partition(".")
    if key:
        block["measured"][0][key] = value
    else:
        block[part] = value
    with pytest.raises(ModelError):
        _manifest(json.dumps(plain), Path("x"))


def test_one_precision_cannot_be_measured_twice() -> None:
    plain = to_plain(replace(tiny_manifest(), precision=info(figures(), figures())))
    with pytest.raises(ModelError, match="twice"):
        _manifest(json.dumps(plain), Path("x"))
