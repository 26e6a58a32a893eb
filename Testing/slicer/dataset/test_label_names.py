"""Which segment is which label: by its name, and never by one that only looks like it."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk

from MultiTaskSegLib.dataset.dataset_folder import add_cases
from MultiTaskSegLib.dataset.training_case import Structure
from MultiTaskSegLib.runtime.errors import DatasetError
from Testing.slicer.dataset.test_dataset_folder import KEY, case, files, masks


def dataset(folder, *labels: str, channel: str = "T1"):
    folder.mkdir()
    info = {
        "channel_names": {"0": channel},
        "labels": {"background": 0} | {name: value for value, name in enumerate(labels, start=1)},
        "file_ending": ".nrrd",
    }
    (folder / "dataset.json").write_text(json.dumps(info))
    return folder


def labelled(*names: str):
    return replace(case(), structures=tuple(Structure(*pair) for pair in zip(names, masks(), strict=False)))


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("CD4+", "CD4-"),
        ("rib_11", "rib_1_1"),
        ("नस", "नसी"),  # only the sign of a vowel differs
        ("L1/L2", "L1 L2"),
        ("T2*", "T2"),
    ],
)
def test_a_name_that_only_looks_like_a_label_is_none(tmp_path, label, name):
    with pytest.raises(DatasetError, match="no label for"):
        add_cases(dataset(tmp_path / "d", label), [labelled(name)], KEY)


def test_the_very_name_goes_before_one_that_differs_in_case(tmp_path):
    folder = dataset(tmp_path / "d", "T", "t")
    add_cases(folder, [labelled("t", "T")], KEY)
    stored = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "labelsTr/Head_T1.nrrd")))
    first, second = masks()
    np.testing.assert_array_equal(stored, 2 * first + second)


def test_letters_may_be_composed_or_not(tmp_path):
    folder = dataset(tmp_path / "d", "H\u00f6hle")
    assert add_cases(folder, [labelled("Ho\u0308hle")], KEY).cases == ("Head_T1",)


def test_channels_whose_names_differ_in_one_sign_are_others(tmp_path):
    with pytest.raises(DatasetError, match="channel"):
        add_cases(dataset(tmp_path / "d", "a", channel="T2"), [replace(labelled("a"), channel_names=("T2*",))], KEY)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("Background", "a"), "'Background'"),
        (("ignore", "a"), "'ignore'"),
        (("0", "a"), "'0'"),
        ((" ", "a"), "' '"),
        (("a", "a"), "two segments"),
    ],
)
def test_a_new_dataset_takes_no_label_that_the_trainer_would_pass_over(tmp_path, names, words):
    with pytest.raises(DatasetError, match=words):
        add_cases(tmp_path / "d", [labelled(*names)], KEY)
    assert not (tmp_path / "d").exists()


def test_more_segments_than_values_are_refused_in_words(tmp_path):
    many = replace(case(), structures=tuple(Structure(f"s{number}", masks()[0]) for number in range(256)))
    with pytest.raises(DatasetError, match="256 segments"):
        add_cases(tmp_path / "d", [many], KEY)


@pytest.mark.parametrize("ending", [".nrrd", ".nii.gz"])
def test_an_image_is_known_again_under_another_name(tmp_path, ending):
    folder = dataset(tmp_path / "d", "left_kidney", "cyst")
    info = json.loads((folder / "dataset.json").read_text()) | {"file_ending": ending}
    (folder / "dataset.json").write_text(json.dumps(info))
    add_cases(folder, [case("first")], KEY)
    before = files(folder)
    with pytest.raises(DatasetError, match="already, as the case first"):
        add_cases(folder, [case("renamed", patient="")], KEY)
    assert files(folder) == before


def test_an_image_that_is_given_twice_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="given twice"):
        add_cases(tmp_path / "d", [case("one"), case("two")], KEY)
    assert not (tmp_path / "d").exists()


def test_what_is_there_or_given_twice_is_left_out_where_that_is_wished_and_the_others_go_in(tmp_path):
    folder = add_cases(tmp_path / "d", [case("first")], KEY).folder
    before = files(folder)
    given = [case("again"), case("new", 1, patient="P2"), case("one", 2), case("same", 2)]
    added = add_cases(folder, given, KEY, leave_out_known=True)
    assert added.cases == ("new",)
    assert list(added.left_out) == [0, 2, 3]
    assert "the image again is in the dataset already, as the case first" in added.left_out[0]
    assert all("given twice" in added.left_out[number] for number in (2, 3))
    kept = set(before) - {"dataset.json", "cases.csv"}
    assert {name: files(folder)[name] for name in kept} == {name: before[name] for name in kept}
    with pytest.raises(DatasetError, match="already, as the case new"):
        add_cases(folder, [case("new", 1)], KEY, leave_out_known=True)
