"""nnU-Net folders as they are found: of version 1, with labels from Slicer or to ignore, saved by a spreadsheet."""

from __future__ import annotations

from pathlib import Path

import pytest
import SimpleITK as sitk

from MultiTaskSegLib.runtime.errors import DatasetError
from Testing.trainer.dataset_folder import CASES, image_path, label_path, write_dataset
from trainer.data.dataset import read_dataset
from trainer.verification.verify import run_verify

VERSION_1 = {"file_ending": None, "channel_names": None, "modality": {"0": "T1"}}
BY_VALUE = {"0": "background", "1": "front", "2": "back"}


def defects(folder: Path) -> tuple[int, list[str]]:
    """Exit code of verify, and its lines."""
    lines: list[str] = []
    return run_verify([folder], lines.append), lines


def test_a_folder_of_version_1_is_read_without_the_number_of_the_channel(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "Task001_Old", labels=BY_VALUE, **VERSION_1)
    read = read_dataset(folder)
    assert [case.name for case in read.cases] == list(CASES)
    assert (read.labels, read.modality) == ({1: "front", 2: "back"}, "T1")
    assert defects(folder)[0] == 0


def test_a_folder_of_msd_keeps_the_names_of_its_cases(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "Task001_Msd", labels=BY_VALUE, **VERSION_1)
    for case in CASES:
        image_path(folder, case).rename(folder / "imagesTr" / f"{case}_0000_x.nii.gz")
        label_path(folder, case).rename(folder / "labelsTr" / f"{case}_0000_x.nii.gz")
    (folder / "cases.csv").unlink()
    assert [case.name for case in read_dataset(folder).cases] == [f"{case}_0000_x" for case in CASES]


def test_segmentations_of_slicer_are_labels_of_the_images_before_their_ending(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "Dataset001_Seg", file_ending=".nrrd")
    for case in CASES:
        for path, name in (
            (image_path(folder, case), f"{case}_0000.nrrd"),
            (label_path(folder, case), f"{case}.seg.nrrd"),
        ):
            sitk.WriteImage(sitk.ReadImage(str(path)), str(path.with_name(name)))
            path.unlink()
    read = read_dataset(folder)
    assert [case.name for case in read.cases] == list(CASES)
    read.cases[0].read_pair(read.labels)
    assert defects(folder)[0] == 0


@pytest.mark.parametrize("name", ["ignore", "Ignore"])
def test_voxels_that_do_not_count_are_no_structure(tmp_path: Path, name: str) -> None:
    folder = write_dataset(tmp_path / "Dataset001_Ignore", labels={"background": 0, "front": 1, name: 2})
    with pytest.raises(DatasetError, match="'ignore' of nnU-Net"):
        read_dataset(folder)
    code, lines = defects(folder)
    assert code == 4
    assert any("'ignore' of nnU-Net" in line for line in lines)


def test_groups_saved_as_utf_8_by_a_spreadsheet_are_read_and_verified(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "Dataset001_Excel")
    rows = "case,group\r\n" + "".join(f"{case},one patient\r\n" for case in CASES)
    (folder / "cases.csv").write_bytes(b"\xef\xbb\xbf" + rows.encode())
    assert read_dataset(folder).groups == ["one patient"]
    assert defects(folder)[0] == 0
    (folder / "cases.csv").write_bytes(b"\xef\xbb\xbf" + rows.encode() + f"{CASES[0]},another\r\n".encode())
    assert any("2 rows" in line for line in defects(folder)[1])
