"""A case names every file that its voxels and labels come from, in every layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from Testing.trainer.layout.written import noise, write_picture, write_scan
from Testing.trainer.synthetic_dataset import BallDataset
from trainer.data.dataset import read_dataset
from trainer.layout.case import Case
from trainer.layout.detached_header import detached_data
from trainer.layout.lesion_scans import LesionMaskReader

SHAPE = (4, 6, 6)


def names(case: Case) -> list[str]:
    return [path.name for path in case.files]


def test_image_and_label_are_files_of_a_case(tmp_path: Path) -> None:
    folder = BallDataset("A", shape=SHAPE, patients=3).write(tmp_path)
    assert names(read_dataset(folder).cases[0]) == ["case_00_0000.nii.gz", "case_00.nii.gz"]
    assert names(read_dataset(Path(f"{folder}::axial")).cases[0]) == ["case_00_0000.nii.gz", "case_00.nii.gz"]
    assert names(read_dataset(Path(f"{folder}::axial")).cases[0]) == names(read_dataset(folder).cases[0])


def test_a_picture_with_a_class_is_one_file_and_one_with_a_mask_two(tmp_path: Path) -> None:
    for number, kind in enumerate(("cat", "cat", "dog", "dog")):
        write_picture(tmp_path / "photos" / kind / f"{number}.png", noise(number, (8, 8)))
    assert names(read_dataset(tmp_path / "photos").cases[0]) == ["0.png"]
    write_picture(tmp_path / "D" / "images" / "a.png", noise(1, (8, 8)))
    write_picture(tmp_path / "D" / "masks" / "a_mask.png", np.zeros((8, 8), np.uint8))
    assert names(read_dataset(tmp_path / "D").cases[0]) == ["a.png", "a_mask.png"]


def test_a_table_of_runs_is_a_file_of_every_case(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", noise(1, (8, 8)))
    (tmp_path / "train.csv").write_text("ImageId,EncodedPixels\na,1 2\n")
    assert names(read_dataset(tmp_path).cases[0]) == ["a.png", "train.csv"]


def test_every_mask_of_a_scan_is_a_file_of_its_case_and_says_nothing_of_where_it_lies(tmp_path: Path) -> None:
    stem = tmp_path / "D" / "sub-1" / "sub-1"
    write_scan(Path(f"{stem}_T1w.nii.gz"), noise(1, SHAPE))
    for side in "LR":
        write_scan(Path(f"{stem}_label-{side}_desc-T1lesion_mask.nii.gz"), np.ones(SHAPE, np.uint8))
    case = read_dataset(tmp_path / "D").cases[0]
    assert names(case) == [
        "sub-1_T1w.nii.gz", "sub-1_label-L_desc-T1lesion_mask.nii.gz", "sub-1_label-R_desc-T1lesion_mask.nii.gz"
    ]  # fmt: skip
    assert str(tmp_path) not in repr(case.reader)
    assert repr(LesionMaskReader(value=1)) != repr(LesionMaskReader(value=2))


@pytest.mark.parametrize("ending, data", [(".mhd", "a.raw"), (".nhdr", "a.raw")])
def test_the_voxels_of_a_detached_header_are_a_file_of_the_case(tmp_path: Path, ending: str, data: str) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(noise(1, SHAPE)), str(tmp_path / f"a{ending}"))
    case = Case("a", tmp_path / f"a{ending}", tmp_path / f"a{ending}", "g")
    assert names(case) == 2 * [f"a{ending}", data]


@pytest.mark.parametrize("field", ["LIST", "slice%03d.raw 1 2 1"])
def test_of_a_list_or_pattern_of_files_every_other_file_of_the_folder_counts(tmp_path: Path, field: str) -> None:
    (tmp_path / "a.mhd").write_bytes(f"ObjectType = Image\r\nElementDataFile = {field}\r\nb.raw\r\n".encode())
    for name in ("slice001.raw", "b.raw"):
        (tmp_path / name).touch()
    (tmp_path / "folder").mkdir()
    assert [path.name for path in detached_data(tmp_path / "a.mhd")] == ["b.raw", "slice001.raw"]


@pytest.mark.parametrize(
    "name, text", [("a.mha", "ElementDataFile = b.raw"), ("a.mhd", "ElementDataFile = LOCAL"), ("a.nhdr", "")]
)
def test_a_file_with_its_own_voxels_has_no_others(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / "b.raw").touch()
    (tmp_path / name).write_text(text)
    assert detached_data(tmp_path / name) == ()
    assert detached_data(tmp_path / "missing.mhd") == ()
