"""A lost or another key never makes two patients of one, and what the system refuses is told in words."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from MultiTaskSegLib.dataset.dataset_folder import add_cases
from MultiTaskSegLib.dataset.groups_file import read_groups
from MultiTaskSegLib.dataset.patient_group import group_of
from MultiTaskSegLib.runtime.errors import DatasetError, ResourceError
from Testing.slicer.dataset.test_dataset_folder import KEY, case, files

OTHER_KEY = b"n" * 32


def test_a_dataset_knows_the_key_of_its_patients_and_refuses_another(tmp_path):
    folder = add_cases(tmp_path / "d", [case("a", 1)], KEY).folder
    before = files(folder)
    with pytest.raises(DatasetError, match=r"another patients\.key"):
        add_cases(folder, [case("b", 2)], OTHER_KEY)
    assert files(folder) == before
    add_cases(folder, [case("b", 2)], KEY)
    groups = read_groups(folder)
    assert groups["a"] == groups["b"]


def test_images_of_nobody_and_of_patients_with_plain_names_need_no_key(tmp_path):
    folder = add_cases(tmp_path / "d", [case("a", 1)], KEY).folder
    with (folder / "cases.csv").open("a") as stream:
        stream.write("elsewhere,P7\n")
    add_cases(folder, [case("b", 2, patient=""), case("c", 3, patient="P7")], OTHER_KEY)
    assert (read_groups(folder)["b"], read_groups(folder)["c"]) == ("b", "P7")


def test_where_no_patient_is_known_no_key_is_noted_and_the_first_one_sets_it(tmp_path):
    folder = add_cases(tmp_path / "d", [case("a", 1, patient="")], KEY).folder
    assert "patients_key" not in json.loads((folder / "dataset.json").read_text())
    add_cases(folder, [case("b", 2)], OTHER_KEY)
    assert read_groups(folder)["b"] == group_of("P1", OTHER_KEY)
    with pytest.raises(DatasetError, match="another"):
        add_cases(folder, [case("c", 3)], KEY)


def test_a_folder_that_the_system_refuses_is_told_in_words(tmp_path, monkeypatch):
    with pytest.raises(ResourceError, match="nothing was added"):
        add_cases(tmp_path / ("d" * 300), [case()], KEY)

    def barred(_path):
        raise PermissionError(13, "Permission denied")

    (tmp_path / "barred").mkdir()
    monkeypatch.setattr(Path, "iterdir", barred)
    with pytest.raises(ResourceError, match="Permission denied"):
        add_cases(tmp_path / "barred", [replace(case())], KEY)
    assert os.listdir(tmp_path / "barred") == []
