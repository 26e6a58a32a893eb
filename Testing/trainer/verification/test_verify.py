"""Each defect that is put into a good dataset is found, alone and together with all others."""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from Testing.hostile.mutation import mutants
from Testing.trainer.dataset_folder import CASES, SHAPE, image_path, label_path, write_dataset, write_grid
from Testing.trainer.synthetic_dataset import BallDataset
from trainer.data.memory_room import MemoryRoom
from trainer.verification import verify
from trainer.verification.defect import Defect
from trainer.verification.verify import run_verify, verify_datasets

FIRST, SECOND, THIRD = CASES


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "Dataset001_Good")


def edit_description(folder: Path, **changes: object) -> None:
    path = folder / "dataset.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def edit_image(path: Path, change: Callable[[sitk.Image], sitk.Image | None]) -> None:
    image = sitk.ReadImage(str(path))
    changed = change(image)
    sitk.WriteImage(image if changed is None else changed, str(path))


def edit_voxels(path: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    def apply(image: sitk.Image) -> sitk.Image:
        changed = sitk.GetImageFromArray(change(sitk.GetArrayFromImage(image)))
        changed.CopyInformation(image)
        return changed

    edit_image(path, apply)


def set_voxel(value: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(voxels: np.ndarray) -> np.ndarray:
        voxels = voxels.astype(np.float32)
        voxels[0, 0, 0] = value
        return voxels

    return change


def spoil_nan(folder: Path) -> None:
    def half_nan(voxels: np.ndarray) -> np.ndarray:
        voxels = voxels.astype(np.float32)
        voxels[: SHAPE[0] // 2] = np.nan
        return voxels

    edit_voxels(image_path(folder, FIRST), half_nan)


def spoil_truncated(folder: Path) -> None:
    path = image_path(folder, FIRST)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def spoil_truncated_uncompressed_label(folder: Path) -> None:
    path = label_path(folder, FIRST)
    content = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(content[: len(content) - 50]))


def spoil_shape(folder: Path) -> None:
    write_grid(label_path(folder, FIRST), np.ones((5, 8, 10), np.uint8))


def spoil_direction(folder: Path) -> None:
    edit_image(label_path(folder, FIRST), lambda image: image.SetDirection((1, 0, 0, 0, 1, 0, 0, 0, 1)))


def add_row(row: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        path = folder / "cases.csv"
        path.write_text(path.read_text() + row)

    return spoil


def spoil_groups_row(folder: Path) -> None:
    (folder / "cases.csv").write_text(f"case,group\n{SECOND},p2\n{THIRD},p3\n")


# What to do to a good dataset, what the finding must say, and about which case.
DEFECTS: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "no dataset.json": (lambda f: (f / "dataset.json").unlink(), "dataset.json is missing", ""),
    "malformed dataset.json": (lambda f: (f / "dataset.json").write_text("{"), "cannot be read", ""),
    "dataset.json is a list": (lambda f: (f / "dataset.json").write_text("[]"), "not an object", ""),
    "no labels": (lambda f: edit_description(f, labels=None), "no 'labels'", ""),
    "label value is text": (lambda f: edit_description(f, labels={"front": "one"}), "not an integer", ""),
    "regions without order": (lambda f: edit_description(f, labels={"both": [1, 2]}), "regions_class_order", ""),
    "label value is not whole": (lambda f: edit_description(f, labels={"front": 1.5}), "not an integer", ""),
    "label value is true": (lambda f: edit_description(f, labels={"front": True}), "not an integer", ""),
    "label value is infinite": (lambda f: edit_description(f, labels={"front": float("inf")}), "not an integer", ""),
    "label value twice": (lambda f: edit_description(f, labels={"front": 1, "back": 1}), "same value", ""),
    "label value too high": (lambda f: edit_description(f, labels={"front": 300}), "1 to 255", ""),
    "no channel": (lambda f: edit_description(f, channel_names={}), "exactly one channel", ""),
    "channels not numbered": (lambda f: edit_description(f, channel_names={"0": "T", "2": "U"}), "not numbered", ""),
    "other file ending": (lambda f: edit_description(f, file_ending=".mha"), "dataset is empty", ""),
    "unknown file ending": (lambda f: edit_description(f, file_ending=".tif"), ".tif is not supported", ""),
    "file ending that is a pattern": (lambda f: edit_description(f, file_ending="/../**"), "is not supported", ""),
    "image without label": (lambda f: label_path(f, FIRST).unlink(), "no label map", FIRST),
    "label without image": (lambda f: image_path(f, FIRST).unlink(), "has no image", FIRST),
    "shape": (spoil_shape, "5 x 8 x 10 voxels, the image 6 x 8 x 10", FIRST),
    "spacing": (
        lambda f: edit_image(label_path(f, FIRST), lambda i: i.SetSpacing((1, 1, 2))), "spacing is 1 x 1 x 2", FIRST,
    ),
    "origin": (
        lambda f: edit_image(label_path(f, FIRST), lambda i: i.SetOrigin((-20, 31, 9))), "origin is 2 mm away", FIRST,
    ),
    "direction": (spoil_direction, "axes differ", FIRST),
    "undeclared value": (lambda f: edit_voxels(label_path(f, FIRST), set_voxel(7)), "not declare: 7", FIRST),
    "value that is not whole": (lambda f: edit_voxels(label_path(f, FIRST), set_voxel(0.5)), "0.5, which", FIRST),
    "NaN voxels": (spoil_nan, "NaN or infinite", FIRST),
    "truncated image": (spoil_truncated, "truncated", FIRST),
    "truncated label map": (spoil_truncated_uncompressed_label, "truncated", FIRST),
    "constant image": (lambda f: edit_voxels(image_path(f, FIRST), np.zeros_like), "constant", FIRST),
    "unreadable image": (lambda f: image_path(f, FIRST).write_bytes(b"text" * 200), "not a NIfTI", FIRST),
    "empty label map": (lambda f: label_path(f, FIRST).write_bytes(b""), "empty", FIRST),
    "no group for a case": (spoil_groups_row, "no group", FIRST),
    "cases.csv without group": (lambda f: (f / "cases.csv").write_text("case\nx\n"), "columns", ""),
    "cases.csv in Latin-1": (lambda f: (f / "cases.csv").write_bytes(b"case,group\n\xe9,1\n"), "cannot be read", ""),
    "cases.csv with short rows": (lambda f: (f / "cases.csv").write_text("group,case\np1\n"), "no group", FIRST),
    "case listed twice": (add_row(f"{FIRST},p9\n"), "2 rows", FIRST),
}  # fmt: skip

WARNINGS: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "same voxels twice": (
        lambda f: image_path(f, SECOND).write_bytes(image_path(f, FIRST).read_bytes()), "same voxels as", SECOND,
    ),
    "second channel": (
        lambda f: (f / "imagesTr" / "case_01_0001.nii.gz").write_bytes(b"x"), "not used", "",
    ),
    "row of an absent case": (add_row("case_99,p\n"), "does not exist", "case_99"),
    "numTraining": (lambda f: edit_description(f, numTraining=9), "'numTraining' is 9", ""),
    "label that never occurs": (
        lambda f: edit_description(f, labels={"front": 1, "back": 2, "rare": 3}), "label 3 is declared but", "",
    ),
    "one NaN voxel": (
        lambda f: write_grid(image_path(f, FIRST), set_voxel(np.nan)(np.random.default_rng(1).random((20, 20, 20)))),
        "1 NaN or infinite voxels were replaced", FIRST,
    ),
}  # fmt: skip


def close_enough(found: list[Defect], says: str, case: str, is_warning: bool) -> bool:
    return any(says in d.what and d.case == case and d.is_warning == is_warning and d.remedy for d in found)


@pytest.mark.parametrize("ending", [".nii.gz", ".png"])
def test_a_good_dataset_has_no_defect(tmp_path: Path, ending: str) -> None:
    lines: list[str] = []
    assert run_verify([write_dataset(tmp_path / "Dataset001_Good", ending)], lines.append) == 0
    assert lines == ["1 datasets verified: 0 defects, 0 warnings"]


@pytest.mark.parametrize("name", DEFECTS)
def test_each_defect_is_found_and_gives_exit_code_4(dataset: Path, name: str) -> None:
    spoil, says, case = DEFECTS[name]
    spoil(dataset)
    lines: list[str] = []
    assert run_verify([dataset], lines.append) == 4
    assert close_enough(verify_datasets([dataset]), says, case, is_warning=False)
    assert all("\n" not in line for line in lines)
    assert any(says in line and str(dataset) in line for line in lines)


@pytest.mark.parametrize("name", WARNINGS)
def test_each_oddity_is_listed_but_keeps_exit_code_0(dataset: Path, name: str) -> None:
    spoil, says, case = WARNINGS[name]
    spoil(dataset)
    lines: list[str] = []
    found = verify_datasets([dataset])
    if name == "one NaN voxel":  # the new image is larger than its label map, which is another finding
        found = [defect for defect in found if "the label map has" not in defect.what]
    else:
        assert run_verify([dataset], lines.append) == 0
    assert close_enough(found, says, case, is_warning=True)
    assert not any(defect.is_warning is False for defect in found)


def test_one_pass_over_several_datasets_finds_the_defects_of_all(tmp_path: Path) -> None:
    folders = []
    for number, (spoil, _, _) in enumerate(DEFECTS.values()):
        folders.append(write_dataset(tmp_path / f"Dataset{number:03d}_Spoilt"))
        spoil(folders[-1])
    found = verify_datasets(folders)
    for folder, (_, says, case) in zip(folders, DEFECTS.values(), strict=True):
        assert close_enough([defect for defect in found if defect.dataset == folder.name], says, case, False)
    assert [d.dataset for d in found] == sorted(d.dataset for d in found)


def test_one_pass_over_one_case_finds_all_its_defects(dataset: Path) -> None:
    path = label_path(dataset, FIRST)
    write_grid(path, np.full((5, 8, 10), 9, np.uint8), spacing_mm=(1, 1, 2))
    image_path(dataset, SECOND).unlink()
    spoil_groups_row(dataset)
    said = " | ".join(defect.what for defect in verify_datasets([dataset]))
    for says in ("5 x 8 x 10", "spacing is", "not declare: 9", "has no image", "no group"):
        assert says in said


def test_a_folder_that_does_not_exist_is_a_defect(tmp_path: Path) -> None:
    (defect,) = verify_datasets([tmp_path / "absent"])
    assert "dataset.json is missing" in defect.what


def test_labels_of_a_test_split_are_verified_too(dataset: Path) -> None:
    for name in ("imagesTs", "labelsTs"):
        (dataset / name).mkdir()
    image_path(dataset, FIRST).rename(dataset / "imagesTs" / f"{FIRST}_0000.nii.gz")
    label_path(dataset, FIRST).rename(dataset / "labelsTs" / f"{FIRST}.nii.gz")
    edit_description(dataset, numTraining=2)
    assert verify_datasets([dataset]) == []
    edit_voxels(dataset / "labelsTs" / f"{FIRST}.nii.gz", set_voxel(7))
    assert close_enough(verify_datasets([dataset]), "not declare: 7", FIRST, is_warning=False)


def test_a_decathlon_folder_without_channel_suffix_is_understood(tmp_path: Path) -> None:
    folder = write_dataset(
        tmp_path / "Task01_Good", file_ending=None, channel_names=None, modality={"0": "MRI"},
        labels={"0": "background", "1": "front", "2": "back"},
    )  # fmt: skip
    for case in CASES:
        image_path(folder, case).rename(folder / "imagesTr" / f"{case}.nii.gz")
    (folder / "imagesTr" / f"._{FIRST}.nii.gz").write_bytes(b"\0\5\x16\7")
    assert verify_datasets([folder]) == []


def test_an_unlabelled_normal_case_is_no_defect(dataset: Path) -> None:
    edit_voxels(label_path(dataset, FIRST), np.zeros_like)
    assert verify_datasets([dataset]) == []


def test_real_datasets_have_no_defect(shared_data: Path) -> None:
    folders = [shared_data / name for name in ("Dataset121_HeadHemorrhageCT2D", "Dataset102_LeftAtriumLGE")]
    assert [str(defect) for defect in verify_datasets(folders)] == []


@pytest.mark.parametrize("name", ["dataset.json", "cases.csv"])
def test_random_damage_to_the_descriptions_never_ends_in_an_exception(dataset: Path, name: str) -> None:
    path = dataset / name
    for damaged in mutants(path.read_bytes(), 60, seed=9):
        path.write_bytes(damaged)
        for defect in verify_datasets([dataset]):
            assert "\n" not in str(defect)


def test_the_report_names_dataset_case_file_and_remedy_on_one_line(dataset: Path) -> None:
    label_path(dataset, FIRST).unlink()
    (defect,) = verify_datasets([dataset])
    assert str(defect) == (
        f"defect in {dataset.name} {FIRST}: the image has no label map: {image_path(dataset, FIRST)}. "
        "Add it to the labels folder or remove the image."
    )


def test_words_that_are_not_known_are_defects_and_equal_file_names_a_warning(tmp_path: Path) -> None:
    first = BallDataset("Dataset001_A", patients=3, modality="zscore", region="thingummy").write(tmp_path)
    second = BallDataset("Dataset002_B", patients=3).write(tmp_path)
    said = {d.what: d for d in verify_datasets([first, second]) if "voxels" not in d.what}
    assert "the modality 'zscore' of dataset Dataset001_A is not known" in said
    assert "the 'anatomy' 'thingummy' of dataset Dataset001_A is not known" in said
    assert not any("same patients" in what for what in said)  # cases.csv says that they are
    (second / "cases.csv").unlink()
    (first / "cases.csv").unlink()
    (note,) = (d for d in verify_datasets([first, second]) if "count as the same patients" in d.what)
    assert note.is_warning
    assert "3 cases have names that Dataset001_A has, too" in note.what


@pytest.mark.parametrize("cores, room, expected", [(1, None, 1), (8, None, 3), (8, 1, 1)])
def test_cases_are_read_side_by_side_as_far_as_usable_cores_and_memory_reach(
    dataset: Path, monkeypatch: pytest.MonkeyPatch, cores: int, room: int | None, expected: int
) -> None:
    plain, changed, running, most = verify._read_pair, threading.Condition(), [0], [0]

    def counted(pair: Any) -> Any:
        with changed:
            running[0] += 1
            most[0] = max(most[0], running[0])
            changed.notify_all()
            assert changed.wait_for(lambda: most[0] >= expected, timeout=20)
        # Time for one too many to come.
        time.sleep(0.01)
        with changed:
            running[0] -= 1
        return plain(pair)

    monkeypatch.setattr(verify, "_read_pair", counted)
    monkeypatch.setattr(verify, "usable_cores", lambda: cores)
    monkeypatch.setattr(verify.MemoryRoom, "of_machine", lambda: nullcontext(MemoryRoom(room)))
    assert verify_datasets([dataset]) == []
    assert most[0] == expected
