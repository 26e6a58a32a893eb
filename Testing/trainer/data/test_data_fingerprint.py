"""The fingerprint of a dataset changes with whatever an experiment on it depends on, and with nothing else."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import SimpleITK as sitk

from Testing.trainer.layout.written import noise, write_picture
from Testing.trainer.synthetic_dataset import BallDataset
from trainer.data.data_fingerprint import case_content, dataset_fingerprint
from trainer.data.dataset import read_dataset
from trainer.data.image_source import read_image_source, source_fingerprint
from trainer.identity.file_content import FileContents


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return BallDataset("A", shape=(4, 8, 8), patients=3, label_values=(1, 2)).write(tmp_path)


def mark(folder: Path) -> str:
    return dataset_fingerprint(read_dataset(folder), FileContents())


def relabel(folder: Path) -> None:
    info = json.loads((folder / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps(info | {"labels": {"background": 0, "part1": 2, "part2": 1}}))


def redraw(folder: Path) -> None:
    path = folder / "labelsTr" / "case_01.nii.gz"
    image = sitk.ReadImage(str(path))
    image[0, 0, 0] = 2
    sitk.WriteImage(image, str(path))


def regroup(folder: Path) -> None:
    table = folder / "cases.csv"
    table.write_text(table.read_text().replace("patient_2", "patient_1"))


def rename_case(folder: Path) -> None:
    (folder / "imagesTr" / "case_02_0000.nii.gz").rename(folder / "imagesTr" / "case_03_0000.nii.gz")
    (folder / "labelsTr" / "case_02.nii.gz").rename(folder / "labelsTr" / "case_03.nii.gz")


def remove_case(folder: Path) -> None:
    (folder / "imagesTr" / "case_02_0000.nii.gz").unlink()
    (folder / "labelsTr" / "case_02.nii.gz").unlink()


def change_modality(folder: Path) -> None:
    info = json.loads((folder / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps(info | {"channel_names": {"0": "T2"}}))


@pytest.mark.parametrize("change", [relabel, redraw, regroup, rename_case, remove_case, change_modality])
def test_whatever_counts_is_part_of_it(folder: Path, change: Callable[[Path], None]) -> None:
    before = mark(folder)
    change(folder)
    assert mark(folder) != before


def test_where_it_lies_when_it_was_written_and_who_describes_it_how_is_not(folder: Path, tmp_path: Path) -> None:
    before = mark(folder)
    moved = shutil.copytree(folder, tmp_path / "elsewhere" / "A", copy_function=shutil.copyfile)
    (moved / "dataset.json").write_text(json.dumps(json.loads((moved / "dataset.json").read_text()) | {"note": "new"}))
    assert mark(moved) == before


def test_how_a_case_is_read_is_part_of_it(folder: Path) -> None:
    contents = FileContents()
    slices = read_dataset(Path(f"{folder}::axial")).cases
    seen = [case_content(case, contents) for case in (read_dataset(folder).cases[0], slices[0], slices[1])]
    assert len({json.dumps(content) for content in seen}) == 3


def test_the_classes_of_images_are_part_of_the_fingerprint_of_a_source(tmp_path: Path) -> None:
    for number, kind in enumerate(("cat", "cat", "dog", "dog")):
        write_picture(tmp_path / "photos" / kind / f"{number}.png", noise(number, (8, 8)))
    source = read_image_source(tmp_path / "photos")
    other = replace(source, categories=source.categories | {"cat__0": "dog"})
    assert source.categories["cat__0"] == "cat"
    assert source_fingerprint(source, FileContents()) != source_fingerprint(other, FileContents())
