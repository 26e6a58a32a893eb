"""Images without labels: none is lost because a view is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from MultiTaskSegLib.runtime.errors import DatasetError
from Testing.trainer.layout.written import noise, write_picture
from Testing.trainer.synthetic_dataset import BallDataset
from trainer.data.image_source import read_image_source


@pytest.fixture
def half_labelled(tmp_path: Path) -> Path:
    """Ten patients, four of them with labels."""
    folder = BallDataset("Dataset001_T1", patients=10).write(tmp_path)
    for number in range(4, 10):
        (folder / "labelsTr" / f"case_{number:02d}.nii.gz").unlink()
    return folder


def view(folder: Path, words: str) -> Path:
    return Path(f"{folder}::{words}")


def test_a_patient_who_is_left_out_takes_no_unlabelled_image_along(half_labelled: Path, tmp_path: Path) -> None:
    (tmp_path / "out.txt").write_text("patient_0\npatient_9\n")
    source = read_image_source(view(half_labelled, f"without={tmp_path / 'out.txt'}"))
    assert [case.group for case in source.dataset.cases] == [f"patient_{n}" for n in range(1, 9)]
    assert source.dataset.name == read_image_source(half_labelled).dataset.name
    assert all(case.label is None for case in source.dataset.cases)


def test_slices_are_those_of_labelled_and_unlabelled_volumes(half_labelled: Path) -> None:
    source = read_image_source(view(half_labelled, "axial"))
    assert source.dataset.name == "Dataset001_T1_axial"
    assert {case.group for case in source.dataset.cases} == {f"patient_{n}" for n in range(10)}
    assert source.dataset.cases[0].read_image().is_planar


def test_classes_by_name_are_those_of_all_images(half_labelled: Path) -> None:
    for number in range(0, 10, 2):
        path = half_labelled / "imagesTr" / f"case_{number:02d}_0000.nii.gz"
        path.rename(path.with_name(f"other_{number:02d}_0000.nii.gz"))
    source = read_image_source(view(half_labelled, "classes"))
    assert {name.split("_")[0]: kind for name, kind in source.categories.items()} == {"case": "case", "other": "other"}
    assert len(source.categories) == 10


def test_a_plain_folder_of_images_can_be_looked_at_in_the_same_ways(tmp_path: Path) -> None:
    for number in range(3):
        write_picture(tmp_path / "photos" / f"{number}.png", noise(number, (8, 8)))
    (tmp_path / "out.txt").write_text("1\n")
    source = read_image_source(view(tmp_path / "photos", f"without={tmp_path / 'out.txt'}"))
    assert [case.name for case in source.dataset.cases] == ["0", "2"]
    (tmp_path / "out.txt").write_text("0\n1\n2\n")
    with pytest.raises(DatasetError, match="every group is left out"):
        read_image_source(view(tmp_path / "photos", f"without={tmp_path / 'out.txt'}"))


@pytest.mark.parametrize("kind", ["dataset", "photos"])
def test_a_word_that_means_nothing_here_is_refused(kind: str, half_labelled: Path, tmp_path: Path) -> None:
    write_picture(tmp_path / "photos" / "0.png", noise(0, (8, 8)))
    folder = half_labelled if kind == "dataset" else tmp_path / "photos"
    with pytest.raises(DatasetError, match="FLAIR"):
        read_image_source(view(folder, "FLAIR"))
