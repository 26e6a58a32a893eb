"""Whoever is killed while cases are added, or removes one by hand, leaves a dataset in which no patient is two."""

from __future__ import annotations

import os
import time

import pytest

from MultiTaskSegLib.dataset import dataset_folder
from MultiTaskSegLib.dataset.dataset_folder import add_cases
from MultiTaskSegLib.dataset.groups_file import read_groups
from MultiTaskSegLib.dataset.patient_group import group_of
from Testing.slicer.dataset.test_dataset_folder import KEY, case, verified


def test_a_case_that_was_removed_by_hand_and_is_added_again_has_one_row(tmp_path):
    folder = add_cases(tmp_path / "d", [case("a", 1), case("b", 2, patient="P2")], KEY).folder
    for name in ("imagesTr/b_0000.nrrd", "labelsTr/b.nrrd"):
        (folder / name).unlink()
    add_cases(folder, [case("b", 3, patient="P3")], KEY)
    assert (folder / "cases.csv").read_text().split() == [
        "case,group",
        f"a,{group_of('P1', KEY)}",
        f"b,{group_of('P3', KEY)}",
    ]
    verified(folder)


def test_a_group_that_somebody_wrote_stays_when_the_case_is_replaced(tmp_path):
    folder = add_cases(tmp_path / "d", [case("a", 1, patient=""), case("b", 2, patient="")], KEY).folder
    (folder / "cases.csv").write_text("case,group\na,same\nb,same\n")
    for name in ("imagesTr/b_0000.nrrd", "labelsTr/b.nrrd"):
        (folder / name).unlink()
    add_cases(folder, [case("b", 2, patient="")], KEY)
    assert read_groups(folder) == {"a": "same", "b": "same"}
    verified(folder)


class Killed(BaseException):
    """As a signal that nothing can catch: whatever would clean up is taken away first."""


def test_who_is_killed_while_cases_go_to_their_places_leaves_none_without_its_patient(tmp_path, monkeypatch):
    folder = add_cases(tmp_path / "d", [case("a", 1)], KEY).folder
    seen = []

    def killed(*_arguments):
        groups = read_groups(folder)
        seen.extend(groups.get(path.name.removesuffix(".nrrd")) for path in (folder / "labelsTr").glob("*.nrrd"))
        raise Killed

    monkeypatch.setattr(dataset_folder, "write_dataset_file", killed)
    with pytest.raises(Killed):
        add_cases(folder, [case("b", 2)], KEY)
    assert seen == 2 * [group_of("P1", KEY)]


def test_old_leftovers_of_adding_go_and_new_ones_stay(tmp_path):
    folder = add_cases(tmp_path / "d", [case("a", 1)], KEY).folder
    old, new = folder / ".adding-old", folder / ".adding-new"
    for path, age_s in ((old, 100 * 3600), (new, 60)):
        path.mkdir()
        (path / "x_0000.nrrd").write_bytes(b"x")
        os.utime(path, (time.time() - age_s,) * 2)
    add_cases(folder, [case("b", 2)], KEY)
    assert [path.name for path in folder.glob(".adding-*")] == [".adding-new"]
