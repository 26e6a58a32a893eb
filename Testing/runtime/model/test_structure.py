"""Dataclasses from JSON, strictly."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from MultiTaskSegLib.runtime.model.manifest import Manifest
from MultiTaskSegLib.runtime.model.structure import from_plain, to_plain
from Testing.runtime.tiny_model import tiny_manifest


@dataclass(frozen=True)
class Inner:
    size: float
    kind: Literal["a", "b"] = "a"


@dataclass(frozen=True)
class Outer:
    name: str
    count: int
    is_good: bool
    pair: tuple[int, int]
    inner: tuple[Inner, ...] = ()
    shares: dict[str, float] = field(default_factory=dict)
    maybe: Inner | None = None
    anything: Any = None


def plain(**changes: Any) -> dict[str, Any]:
    return {"name": "n", "count": 2, "is_good": True, "pair": [1, 2], **changes}


FULL = Outer("n", 2, False, (3, 4), (Inner(0.5), Inner(1.0, "b")), {"x": 0.25}, Inner(2.0), {"free": [1, None]})


def test_a_value_survives_the_way_to_json_and_back() -> None:
    assert from_plain(Outer, json.loads(json.dumps(to_plain(FULL)))) == FULL


@pytest.mark.parametrize("is_planar", [False, True])
def test_a_manifest_survives_the_way_to_json_and_back(is_planar: bool) -> None:
    manifest = tiny_manifest(is_planar)
    found = from_plain(Manifest, json.loads(json.dumps(to_plain(manifest))))
    assert found == manifest
    assert found.is_planar is is_planar


def test_defaults_fill_in_what_is_not_required() -> None:
    assert from_plain(Outer, plain()) == Outer("n", 2, True, (1, 2))


def test_a_whole_number_may_stand_for_a_float() -> None:
    size = from_plain(Inner, {"size": 3}).size
    assert size == 3.0
    assert isinstance(size, float)


@pytest.mark.parametrize(
    "value, words",
    [
        (plain(extra=1), r"Outer has unknown keys \['extra'\]"),
        ({"name": "n"}, r"Outer lacks \['count', 'is_good', 'pair'\]"),
        (plain(count="2"), "Outer.count is '2', not int"),
        (plain(count=2.0), "Outer.count"),
        (plain(count=True), "Outer.count"),
        (plain(count=None), "Outer.count"),
        (plain(is_good=1), "Outer.is_good"),
        (plain(name=5), "Outer.name"),
        (plain(pair=[1]), "Outer.pair has 1 entries, not 2"),
        (plain(pair=[1, 2, 3]), "Outer.pair has 3 entries, not 2"),
        (plain(pair="12"), "Outer.pair is not a list"),
        (plain(pair=[1, "2"]), r"Outer.pair\[1\]"),
        (plain(inner=[{"size": float("nan")}]), r"Outer.inner\[0\].size is not finite"),
        (plain(inner=[{"size": float("inf")}]), "is not finite"),
        (plain(inner=[{"size": True}]), r"Outer.inner\[0\].size"),
        (plain(inner=[{"size": 10**400}]), r"Outer.inner\[0\].size"),
        (plain(inner=[{"size": 1.0, "kind": "c"}]), r"Outer.inner\[0\].kind is 'c'"),
        (plain(inner=[{"size": 1.0, "kind": ["a"]}]), r"Outer.inner\[0\].kind"),
        (plain(inner=[3]), r"Outer.inner\[0\] is not an object"),
        (plain(shares=[1.0]), "Outer.shares is not an object"),
        (plain(shares={"x": "y"}), "Outer.shares.x"),
        (plain(maybe=3), "Outer.maybe is not an object"),
        ([], "Outer is not an object"),
        (None, "Outer is not an object"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_with_its_place(value: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        from_plain(Outer, value)


def test_every_required_key_of_the_manifest_is_missed() -> None:
    whole = to_plain(tiny_manifest())
    for key in set(whole) - {"training"}:
        with pytest.raises(ValueError, match=key):
            from_plain(Manifest, {k: v for k, v in whole.items() if k != key})


def test_a_task_knows_its_channels_and_its_name() -> None:
    manifest = tiny_manifest()
    assert [task.channels for task in manifest.tasks] == [slice(0, 3), slice(3, 5)]
    assert manifest.task("Dataset002_Cubes") is manifest.tasks[1]
    with pytest.raises(KeyError):
        manifest.task("Dataset003_Cones")
