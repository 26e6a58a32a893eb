"""Cases get into nnU-Net folders with their very voxels and geometry, all or none, and the trainer accepts them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MultiTaskSegLib.dataset import dataset_folder
from MultiTaskSegLib.dataset.dataset_folder import add_cases
from MultiTaskSegLib.dataset.groups_file import read_groups
from MultiTaskSegLib.dataset.patient_group import group_of, own_key
from MultiTaskSegLib.dataset.training_case import Structure, TrainingCase
from MultiTaskSegLib.runtime.errors import DatasetError, ResourceError
from trainer.data.dataset import read_dataset
from trainer.verification.verify import run_verify

KEY = b"k" * 32
SHAPE = (6, 12, 14)


def image(seed: int = 0, dtype: type = np.int16) -> sitk.Image:
    """Oblique, anisotropic, and nowhere round."""
    voxels = np.random.default_rng(seed).normal(100, 40, SHAPE).astype(dtype)
    made = sitk.GetImageFromArray(voxels)
    made.SetSpacing((0.7123456789, 1.1, 2.5))
    made.SetOrigin((12.3456789, -31.0, 7.25))
    angle = np.radians(25)
    made.SetDirection((np.cos(angle), -np.sin(angle), 0, np.sin(angle), np.cos(angle), 0, 0, 0, -1))
    return made


def masks() -> tuple[np.ndarray, np.ndarray]:
    first, second = np.zeros((2, *SHAPE), dtype=bool)
    first[1:4, 2:6, 3:9] = True
    second[4:6, 2:6, 3:9] = True
    return first, second


def case(name: str = "Head: T1", seed: int = 0, **other) -> TrainingCase:
    first, second = masks()
    structures = (Structure("left_kidney", first, "left kidney"), Structure("cyst", second))
    whole = {"patient": "P1", "channel_names": ("T1",), "anatomy": "abdomen", **other}
    return TrainingCase(name, (image(seed),), structures, **whole)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def verified(folder: Path) -> list[str]:
    """What the trainer says; it must find nothing."""
    lines: list[str] = []
    assert run_verify([folder], lines.append) == 0, lines
    return lines


def test_a_new_dataset_is_made_and_the_trainer_finds_no_defect(tmp_path):
    added = add_cases(tmp_path / "Dataset201_Kidney", [case(), case("second", 1, patient="P2")], KEY)
    assert added.is_new
    assert added.cases == ("Head_T1", "second")
    verified(added.folder)
    dataset = read_dataset(added.folder)
    assert dict(dataset.labels) == {1: "left_kidney", 2: "cyst"}
    assert (dataset.modality, dataset.region) == ("T1", "abdomen")
    assert json.loads((added.folder / "dataset.json").read_text())["numTraining"] == 2


def test_a_dataset_is_the_same_to_the_byte_on_every_system(tmp_path, line_ends_of_windows):
    folder = add_cases(tmp_path / "d", [case()], KEY).folder
    assert [name for name in ("dataset.json", "cases.csv") if b"\r" in (folder / name).read_bytes()] == []


@pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.float32, np.int32])
def test_voxels_and_geometry_are_exactly_the_image_s(tmp_path, dtype):
    given = image(3, dtype)
    add_cases(tmp_path / "d", [replace(case(), channels=(given,))], KEY)
    first, second = masks()
    for path, wanted in (
        (tmp_path / "d/imagesTr/Head_T1_0000.nrrd", sitk.GetArrayFromImage(given)),
        (tmp_path / "d/labelsTr/Head_T1.nrrd", first + 2 * second),
    ):
        stored = sitk.ReadImage(str(path))
        np.testing.assert_array_equal(sitk.GetArrayFromImage(stored), wanted)
        np.testing.assert_allclose(stored.GetSpacing(), given.GetSpacing(), rtol=1e-15)
        assert stored.GetOrigin() == given.GetOrigin()
        np.testing.assert_allclose(stored.GetDirection(), given.GetDirection(), atol=1e-15)
    assert sitk.ReadImage(str(tmp_path / "d/imagesTr/Head_T1_0000.nrrd")).GetPixelID() == given.GetPixelID()


def test_an_existing_dataset_keeps_its_kind_of_files_its_words_and_its_cases(tmp_path):
    ending = ".nii.gz"
    folder = add_cases(tmp_path / "d", [case()], KEY).folder
    info = json.loads((folder / "dataset.json").read_text()) | {"file_ending": ending, "licence": "CC0"}
    (folder / "dataset.json").write_text(json.dumps(info))
    for path in [*folder.rglob("*.nrrd")]:
        sitk.WriteImage(sitk.ReadImage(str(path)), str(path).replace(".nrrd", ending))
        path.unlink()
    (folder / "cases.csv").write_text("case,group,age\nHead_T1,P1,61\n")
    before = files(folder)
    add_cases(folder, [case("Head: T1", 5)], KEY)
    after = files(folder)
    kept = set(before) - {"dataset.json", "cases.csv"}
    assert all(after[name] == before[name] for name in kept)
    assert set(after) - set(before) == {f"imagesTr/Head_T1_2_0000{ending}", f"labelsTr/Head_T1_2{ending}"}
    assert json.loads(after["dataset.json"]) == info | {"numTraining": 2}
    assert after["cases.csv"].decode() == "case,group,age\nHead_T1,P1,61\nHead_T1_2,P1,\n"  # the plain name goes on
    verified(folder)


def test_patients_are_kept_together_and_nobody_is_named(tmp_path):
    cases = [case("a", 1), case("b", 2), case("c", 3, patient="P2"), case("d", 4, patient="")]
    add_cases(tmp_path / "d", cases, KEY)
    groups = read_groups(tmp_path / "d")
    assert groups["a"] == groups["b"] == group_of("P1", KEY) != groups["c"]
    assert groups["d"] == "d"  # stands for itself
    assert "P1" not in (tmp_path / "d" / "cases.csv").read_text()
    assert read_dataset(tmp_path / "d").groups == sorted({*groups.values()})


def test_where_no_file_says_groups_the_cases_that_are_there_stand_for_themselves(tmp_path):
    folder = add_cases(tmp_path / "d", [case("a", 1), case("b", 2)], KEY).folder
    (folder / "cases.csv").unlink()
    add_cases(folder, [case("c", 3)], KEY)
    assert read_groups(folder) == {"a": "a", "b": "b", "c": group_of("P1", KEY)}
    verified(folder)


def test_the_key_is_made_once_and_is_the_user_s_own(tmp_path):
    assert own_key(tmp_path / "models") == own_key(tmp_path / "models") != own_key(tmp_path / "other")
    (tmp_path / "models" / "patients.key").write_text("abcd")
    with pytest.raises(ResourceError, match="cut off"):
        own_key(tmp_path / "models")


def test_several_channels_get_a_file_each(tmp_path):
    both = replace(case(), channels=(image(1), image(2)), channel_names=("T1", "FLAIR"))
    folder = add_cases(tmp_path / "d", [both], KEY).folder
    assert sorted(path.name for path in (folder / "imagesTr").iterdir()) == ["Head_T1_0000.nrrd", "Head_T1_0001.nrrd"]
    verified(folder)
    assert read_dataset(folder, several=True).inputs == ("T1", "FLAIR")


def without(number: int):
    return lambda one: replace(one, structures=tuple(s for n, s in enumerate(one.structures) if n != number))


def overlapping(one: TrainingCase) -> TrainingCase:
    first, second = one.structures
    return replace(one, structures=(first, replace(second, mask=first.mask)))


CONFLICTS = {
    "a structure that is no label": (
        lambda one: replace(one, structures=(*one.structures, Structure("spleen", masks()[0]))),
        "no label for spleen",
    ),
    "a label without a structure": (without(1), "no segment for cyst"),
    "two structures of one name": (
        lambda one: replace(one, structures=(*one.structures, Structure("Left Kidney", masks()[0]))),
        "two segments",
    ),
    "another channel": (lambda one: replace(one, channel_names=("CT",)), "T1"),
    "more channels": (lambda one: replace(one, channels=(image(), image(1)), channel_names=()), "2 channel"),
    "structures that overlap": (overlapping, "left_kidney and cyst"),
    "the same image again": (lambda one: replace(one, channels=(image(0),)), "already, as the case Head_T1"),
}


@pytest.mark.parametrize("kind", CONFLICTS)
def test_a_conflict_is_told_in_words_and_none_of_the_cases_is_added(tmp_path, kind):
    folder = add_cases(tmp_path / "d", [case()], KEY).folder
    before = files(folder)
    change, words = CONFLICTS[kind]
    with pytest.raises(DatasetError, match=words):
        add_cases(folder, [case("fine", 8), change(case(seed=7))], KEY)
    assert files(folder) == before


def test_labels_are_matched_by_name_whatever_separates_the_words(tmp_path):
    folder = add_cases(tmp_path / "d", [case()], KEY).folder
    first, second = masks()
    other = replace(case("other", 4), structures=(Structure("Cyst", second), Structure("s1", first, "Left-Kidney")))
    add_cases(folder, [other], KEY)
    stored = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "labelsTr/other.nrrd")))
    np.testing.assert_array_equal(stored, first + 2 * second)


REGIONS = {
    "channel_names": {"0": "FLAIR"},
    "labels": {"background": 0, "whole": [1, 2], "core": [2]},
    "regions_class_order": [1, 2],
    "numTraining": 0,
    "file_ending": ".nrrd",
    "anatomy": "brain",
}


def test_regions_become_the_values_that_say_in_which_of_them_a_voxel_lies(tmp_path):
    folder = tmp_path / "d"
    folder.mkdir()
    (folder / "dataset.json").write_text(json.dumps(REGIONS))
    whole, core = np.zeros((2, *SHAPE), dtype=bool)
    whole[1:5, 2:9, 2:9] = True
    core[2:4, 3:6, 3:6] = True
    regions = (Structure("whole", whole), Structure("core", core))
    made = replace(case(), structures=regions, channel_names=("FLAIR",))
    add_cases(folder, [made], KEY)
    stored = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "labelsTr/Head_T1.nrrd")))
    np.testing.assert_array_equal(stored, whole.astype(int) + core)
    verified(folder)
    stray = core.copy()
    stray[0, 0, 0] = True
    with pytest.raises(DatasetError, match="1 voxels lie in core and not in whole"):
        add_cases(folder, [replace(made, name="b", structures=(regions[0], Structure("core", stray)))], KEY)


@pytest.mark.parametrize("is_new", [True, False])
@pytest.mark.parametrize("failing", ["add_groups", "write_dataset_file", "write_image"])
def test_a_full_disk_leaves_everything_as_it_was(tmp_path, monkeypatch, failing, is_new):
    folder = tmp_path / "d"
    if not is_new:
        add_cases(folder, [case()], KEY)
    before = files(tmp_path)

    def full(*_arguments, **_options):
        raise OSError(28, "No space left on device")

    where = dataset_folder.groups_file if failing == "add_groups" else dataset_folder
    monkeypatch.setattr(where, failing, full)
    with pytest.raises(ResourceError, match="nothing was added"):
        add_cases(folder, [case("b", 2)], KEY)
    assert files(tmp_path) == before
    assert folder.exists() != is_new


def test_a_file_that_somebody_puts_there_meanwhile_is_not_overwritten(tmp_path, monkeypatch):
    folder = add_cases(tmp_path / "d", [case()], KEY).folder
    theirs = folder / "labelsTr" / "b.nrrd"
    write = dataset_folder.write_image

    def slow(*arguments):
        theirs.write_bytes(b"theirs")
        write(*arguments)

    monkeypatch.setattr(dataset_folder, "write_image", slow)
    with pytest.raises(ResourceError):
        add_cases(folder, [case("b", 2)], KEY)
    assert theirs.read_bytes() == b"theirs"
    assert [path.name for path in (folder / "imagesTr").iterdir()] == ["Head_T1_0000.nrrd"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "cannot be read"),
        ('{"channel_names": {"0": "T1"}, "labels": {"a": 1}}', "file_ending"),
        ('{"channel_names": {"0": "T1"}, "labels": {"a": 1}, "file_ending": ".png"}', ".png"),
        ('{"channel_names": {"0": "T1"}, "labels": {"a": 300}, "file_ending": ".nrrd"}', "300"),
        (None, "no dataset.json"),
    ],
)
def test_a_folder_that_is_no_such_dataset_is_refused_in_words(tmp_path, text, words):
    (tmp_path / "notes.txt").write_text("mine")
    if text is not None:
        (tmp_path / "dataset.json").write_text(text)
    before = files(tmp_path)
    with pytest.raises(DatasetError, match=words):
        add_cases(tmp_path, [case()], KEY)
    assert files(tmp_path) == before


def test_a_new_dataset_has_to_say_what_its_images_show(tmp_path):
    with pytest.raises(DatasetError, match="Name the channels"):
        add_cases(tmp_path / "d", [case(channel_names=())], KEY)
    add_cases(tmp_path / "d", [case(channel_names=("CT",))], KEY)
    assert read_dataset(tmp_path / "d").modality == "CT"
