"""Whom a model has seen, and therefore whom it may be measured on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from MultiTaskSegLib.runtime.errors import ModelError
from MultiTaskSegLib.runtime.model.manifest import Manifest
from Testing.runtime.tiny_model import tiny_manifest
from Testing.trainer.seen_groups import trained_on
from trainer.data.dataset import Dataset
from trainer.data.provenance import (
    KEY,
    Provenance,
    group_hash,
    noted_held_out,
    record_generation,
    require_unseen,
    unseen,
)
from trainer.layout.case import Case


def cases(*groups: str) -> tuple[Case, ...]:
    return tuple(Case(f"c{n}", Path("i"), Path("l"), group) for n, group in enumerate(groups))


def dataset(name: str, *groups: str) -> Dataset:
    return Dataset(Path(name), name, "T1", "head", {1: "a"}, cases(*groups))


def manifest(labelled: dict[str, list[str]], unlabelled: dict[str, list[str]] | None = None) -> Manifest:
    return replace(tiny_manifest(), training=trained_on(labelled, unlabelled or {}))


def groups_of(found: tuple[Case, ...]) -> set[str]:
    return {case.group for case in found}


def test_unseen_are_all_cases_of_groups_that_were_not_trained_on() -> None:
    found = unseen(dataset("D", "p1", "p2", "p2", "p3"), manifest({"D": ["p1", "p3"]}))
    assert [case.name for case in found] == ["c1", "c2"]


def test_a_patient_who_was_trained_on_in_one_dataset_is_seen_in_every_other() -> None:
    of_t1 = manifest({"T1": ["p1", "p2"]})
    assert groups_of(unseen(dataset("FLAIR", "p1", "p2", "p3"), of_t1)) == {"p3"}


def test_images_learnt_from_without_labels_are_seen_too() -> None:
    assert groups_of(unseen(dataset("D", "p1", "p2", "p3"), manifest({"D": ["p1"]}, {"X": ["p2"]}))) == {"p3"}


def test_whom_an_ancestor_has_seen_is_seen_however_long_ago() -> None:
    chain = [record_generation(f"m{n}", {"D": cases(f"p{n}")}, {}, {}) for n in range(3)]
    descendant = replace(tiny_manifest(), training={KEY: Provenance(tuple(chain)).as_list()})
    assert groups_of(unseen(dataset("D", *(f"p{n}" for n in range(5))), descendant)) == {"p3", "p4"}


def test_measuring_on_a_patient_who_was_seen_is_refused() -> None:
    model = manifest({"D": ["p1"]}, {"X": ["p2"]})
    require_unseen(cases("p3", "p4"), model)
    for seen in ("p1", "p2"):
        with pytest.raises(ModelError, match="has seen patients whom it is to be measured on"):
            require_unseen(cases("p3", seen), model)


def test_held_out_groups_are_unseen() -> None:
    generation = record_generation("m", {"D": cases("p1")}, {}, {"D": cases("p2")})
    assert (generation.saw("p1"), generation.saw("p2")) == (True, False)


def test_whom_anything_was_fitted_to_is_known_though_not_seen() -> None:
    chain = Provenance(
        (
            record_generation("m", {"D": cases("p1")}, {"X": cases("p2")}, {"D": cases("p3")}),
            record_generation("older", {"D": cases("p4")}, {}, {"D": cases("p5")}),
        )
    )
    assert [group for group in ("p1", "p2", "p3", "p4", "p5", "p6") if not chain.knows(group)] == ["p6"]


def test_patients_of_a_refit_are_noted_as_held_out_and_nothing_else_changes() -> None:
    own = record_generation("m", {"D": cases("p1")}, {}, {"D": cases("p2")})
    older = record_generation("older", {"D": cases("p4")}, {}, {"E": cases("p5")})
    before = replace(tiny_manifest(), training={KEY: Provenance((own, older)).as_list(), "steps": 7})
    after = noted_held_out(before, {"D": cases("p2", "p3"), "E": cases("p6", "p5")})
    known = Provenance.of(after)
    assert [known.knows(group) for group in ("p3", "p6", "p7")] == [True, True, False]
    assert not known.saw("p3")
    (first, second) = known.generations
    assert second == older
    assert (first.labelled, first.salt, after.training["steps"]) == (own.labelled, own.salt, 7)
    assert {name: len(hashes) for name, hashes in first.held_out.items()} == {"D": 2, "E": 1}


def test_a_refit_with_patients_who_are_known_leaves_the_record_as_it_was() -> None:
    own = record_generation("m", {"D": cases("p1")}, {}, {"D": cases("p2")})
    before = replace(tiny_manifest(), training={KEY: [own.as_dict()]})
    assert noted_held_out(before, {"D": cases("p2"), "E": ()}) is before


def test_a_model_that_does_not_say_whom_it_has_seen_is_not_measured() -> None:
    for training in ({}, {KEY: None}, {KEY: []}, {KEY: [{}]}, {KEY: {"salt": ""}}, {"held_out_groups": {"D": ["p1"]}}):
        with pytest.raises(ModelError, match="does not say on which patients"):
            unseen(dataset("D", "p1"), replace(tiny_manifest(), training=training))


def test_a_record_survives_the_manifest() -> None:
    generation = record_generation("m", {"D": cases("p1", "p2")}, {"E": cases("q")}, {"D": cases("p3")})
    provenance = Provenance((generation, record_generation("older", {"D": cases("p9")}, {}, {})))
    assert Provenance.of(replace(tiny_manifest(), training={KEY: provenance.as_list()})) == provenance


def test_terms_that_stand_with_a_task_alone_are_taken_in_and_others_stay_as_they_were() -> None:
    balls, cubes = (task.name for task in tiny_manifest().tasks)
    told = {cubes: {"licence": "CC0", "reference": "Nobody", "released_weights_may_use": True}}
    old = record_generation("old", {balls: cases("p1"), cubes: cases("p2"), "Gone": cases("p3")}, {}, {}, told)
    task = replace(tiny_manifest().tasks[0], licence="CC BY-NC 4.0")
    earlier = replace(tiny_manifest(), tasks=(task, tiny_manifest().tasks[1]))
    (known,) = Provenance.of(replace(earlier, training={KEY: [old.as_dict()]})).generations
    of_balls = {"licence": "CC BY-NC 4.0", "reference": "", "released_weights_may_use": None}
    assert known.terms == told | {balls: of_balls}


def test_hashes_name_nobody_and_cannot_be_compared_between_models() -> None:
    one = record_generation("m", {"D": cases("patient 7", "patient 8")}, {}, {})
    other = record_generation("m", {"D": cases("patient 7", "patient 9")}, {}, {})
    assert one.salt != other.salt
    assert not set(one.labelled["D"]) & set(other.labelled["D"])
    assert "patient" not in repr(one)
    assert len({group_hash(f"p{n}", one.salt) for n in range(50)}) == 50


def test_the_same_cases_give_the_same_record_in_whatever_order() -> None:
    one = record_generation("m", {"A": cases("p1", "p2"), "B": cases("q")}, {}, {})
    other = record_generation("m", {"B": cases("q"), "A": tuple(reversed(cases("p1", "p2")))}, {}, {})
    assert one == other
