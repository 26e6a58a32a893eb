"""Dataset folders in both layouts, and what is refused about them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from MultiTaskSegLib.runtime.errors import DatasetError
from trainer.data.dataset import read_dataset

NNUNET = {
    "channel_names": {"0": "T1"},
    "labels": {"background": 0, "front": 1, "back": 2},
    "file_ending": ".nii.gz",
}
MSD = {"modality": {"0": "CT"}, "labels": {"0": "background", "1": "liver", "2": "tumour"}}


def write(folder: Path, info: Any, images: tuple[str, ...], labels: tuple[str, ...], split: str = "Tr") -> Path:
    """Empty files: reading a dataset opens no image."""
    for part, names in (("images", images), ("labels", labels)):
        (folder / f"{part}{split}").mkdir(parents=True, exist_ok=True)
        for name in names:
            (folder / f"{part}{split}" / name).write_bytes(b"")
    text = info if isinstance(info, str) else json.dumps(info)
    (folder / "dataset.json").write_text(text, encoding="utf-8")
    return folder


def nnunet(folder: Path, **changes: Any) -> Path:
    return write(folder, {**NNUNET, **changes}, ("b_0000.nii.gz", "a_0000.nii.gz"), ("a.nii.gz", "b.nii.gz"))


def test_an_nnunet_folder_maps_names_to_values(tmp_path: Path) -> None:
    dataset = read_dataset(nnunet(tmp_path / "Dataset007_BrainT1"))
    assert dataset.name == "Dataset007_BrainT1"
    assert dataset.modality == "T1"
    assert dataset.region == "head"
    assert dataset.labels == {1: "front", 2: "back"}
    assert [case.name for case in dataset.cases] == ["a", "b"]
    assert [case.image.name for case in dataset.cases] == ["a_0000.nii.gz", "b_0000.nii.gz"]
    assert dataset.groups == ["a", "b"]


def test_an_msd_folder_maps_values_to_names_and_its_images_have_no_channel_suffix(tmp_path: Path) -> None:
    dataset = read_dataset(write(tmp_path / "Task03_Liver", MSD, ("x.nii.gz",), ("x.nii.gz",)))
    assert dataset.labels == {1: "liver", 2: "tumour"}
    assert (dataset.channel_families, dataset.region) == (("CT",), "abdomen")
    assert [case.name for case in dataset.cases] == ["x"]


@pytest.mark.parametrize("info, suffix", [(NNUNET, "_0000"), (MSD, "")])
def test_companion_files_of_macos_are_not_cases(tmp_path: Path, info: dict[str, Any], suffix: str) -> None:
    images, labels = (f"a{suffix}.nii.gz", f"._a{suffix}.nii.gz"), ("a.nii.gz", "._a.nii.gz")
    dataset = read_dataset(write(tmp_path / "d", info, images, labels))
    assert [case.name for case in dataset.cases] == ["a"]


def test_images_without_labels_and_labels_without_images_are_no_cases(tmp_path: Path) -> None:
    folder = write(
        tmp_path / "d", NNUNET, ("a_0000.nii.gz", "only_image_0000.nii.gz"), ("a.nii.gz", "only_label.nii.gz")
    )
    assert [case.name for case in read_dataset(folder).cases] == ["a"]


def test_the_test_split_has_its_own_folders(tmp_path: Path) -> None:
    folder = nnunet(tmp_path / "d")
    write(folder, NNUNET, ("t_0000.nii.gz",), ("t.nii.gz",), split="Ts")
    assert [case.name for case in read_dataset(folder, "imagesTs").cases] == ["t"]
    assert [case.name for case in read_dataset(folder).cases] == ["a", "b"]


def test_groups_come_from_cases_csv_and_a_case_without_one_is_a_group_of_its_own(tmp_path: Path) -> None:
    folder = nnunet(tmp_path / "d")
    (folder / "cases.csv").write_text("shape,case,group\n1x1x1,a,patient9\n", encoding="utf-8")
    assert {case.name: case.group for case in read_dataset(folder).cases} == {"a": "patient9", "b": "b"}


def test_the_anatomy_key_overrides_the_words_of_the_name(tmp_path: Path) -> None:
    assert read_dataset(nnunet(tmp_path / "Dataset001_BrainT1", anatomy="knee")).region == "knee"
    assert read_dataset(nnunet(tmp_path / "Dataset002_X", description="Liver of 3 people")).region == "abdomen"


@pytest.mark.parametrize(
    "labels, expected",
    [
        ({"background": 0, "a": 1.0}, {1: "a"}),
        ({"background": "0", "a": "7"}, {7: "a"}),
        ({"0": "background", "2": "b", "1": "a"}, {1: "a", 2: "b"}),
        ({"a": 255}, {255: "a"}),
    ],
)
def test_label_values_may_be_written_in_any_way_that_is_a_whole_number(
    tmp_path: Path, labels: dict[str, Any], expected: dict[int, str]
) -> None:
    assert read_dataset(nnunet(tmp_path / "d", labels=labels)).labels == expected


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"labels": None}, "no 'labels'"),
        ({"labels": ["a"]}, "no 'labels'"),
        ({"labels": {"background": 0}}, "1 to 255"),
        ({"labels": {}}, "1 to 255"),
        ({"labels": {"background": 0, "a": 256}}, "1 to 255"),
        ({"labels": {"background": 0, "a": -1}}, "not an integer"),
        ({"labels": {"background": 0, "a": 1.5}}, "not an integer"),
        ({"labels": {"background": 0, "whole": [1, 2]}}, "regions_class_order"),
        ({"labels": {"background": 0, "a": True}}, "not an integer"),
        ({"labels": {"background": 0, "a": 1, "b": 1}}, "same value"),
        ({"channel_names": {"0": "T1", "1": "T2"}}, "lacks the channel T2"),
        ({"channel_names": {}}, "exactly one channel"),
        ({"channel_names": "T1"}, "exactly one channel"),
        ({"file_ending": ".nrrd"}, "no image in imagesTr has a label"),
    ],
)
def test_a_dataset_that_cannot_be_used_is_refused(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(DatasetError, match=words):
        read_dataset(nnunet(tmp_path / "d", **changes))


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", '"text"'])
def test_a_malformed_dataset_json_is_refused(tmp_path: Path, text: str) -> None:
    folder = write(tmp_path / "d", text, (), ())
    with pytest.raises(DatasetError, match=r"dataset\.json"):
        read_dataset(folder)


def test_a_dataset_json_that_is_not_text_is_refused(tmp_path: Path) -> None:
    folder = nnunet(tmp_path / "d")
    (folder / "dataset.json").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(DatasetError, match="cannot be read"):
        read_dataset(folder)


def test_a_folder_without_dataset_json_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(DatasetError, match="missing"):
            read_dataset(folder)


@pytest.mark.parametrize("content", [b"name,patient\na,1\n", b"", b"case,group\n\xff,1\n"])
def test_a_cases_csv_that_cannot_be_used_is_refused(tmp_path: Path, content: bytes) -> None:
    folder = nnunet(tmp_path / "d")
    (folder / "cases.csv").write_bytes(content)
    with pytest.raises(DatasetError, match=r"cases\.csv"):
        read_dataset(folder)


@pytest.mark.parametrize(
    "here, there, expected",
    [
        (("T1", "head"), ("FLAIR", "head"), True),
        (("T1", "head"), ("T1", "chest"), False),
        (("T1", "head"), ("CT", "head"), False),
        (("T1", ""), ("T2", "chest"), True),
        (("CT", ""), ("T2", ""), False),
    ],
)
def test_structures_may_be_shared_within_a_modality_family_and_region(
    tmp_path: Path, here: tuple[str, str], there: tuple[str, str], expected: bool
) -> None:
    a, b = (
        read_dataset(nnunet(tmp_path / name, channel_names={"0": modality}, anatomy=region))
        for name, (modality, region) in (("DatasetX", here), ("DatasetY", there))
    )
    assert a.may_share_structures(b) is b.may_share_structures(a) is expected
