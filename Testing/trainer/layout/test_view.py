"""Views of datasets: slices of volumes, classes from names."""

from __future__ import annotations

import io
import os
import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from MultiTaskSegLib.runtime.errors import DatasetError, InputError, UsageError
from MultiTaskSegLib.runtime.image.geometry import canonical_reorientation
from Testing.trainer.dataset_folder import write_dataset
from Testing.trainer.synthetic_dataset import BallDataset
from trainer.config import TrainingConfig
from trainer.data.dataset import read_dataset
from trainer.layout import case as case_module
from trainer.layout.image_level import image_class
from trainer.layout.recently_read import RecentlyRead, forget_volumes
from trainer.report.run_folder import RunFolder
from trainer.training.training import prepare_data
from trainer.verification.verify import verify_datasets


@pytest.mark.parametrize("plane, axis", [("axial", 0), ("coronal", 1), ("sagittal", 2)])
def test_the_slices_of_a_plane_stacked_again_are_the_canonical_volume(tmp_path: Path, plane: str, axis: int):
    folder = write_dataset(tmp_path / "Dataset001_Oblique")
    whole = read_dataset(folder).cases[0]
    volume = whole.read_image()
    order = canonical_reorientation(volume)
    slices = [c for c in read_dataset(Path(f"{folder}::{plane}")).cases if c.image == whole.image]
    for read, expected in (
        (lambda case: case.read_image().voxels, order.apply(volume.voxels)),
        (lambda case: case.read_labels()[0], order.apply(whole.read_labels()[0])),
    ):
        stacked = np.stack([read(case)[0] for case in slices], axis=axis)
        assert np.array_equal(stacked, expected)
    spacing = np.delete(order.spacing_zyx_mm(volume), axis)
    assert slices[0].read_image().spacing_mm[:2] == pytest.approx(spacing[::-1])


def test_slices_keep_the_group_and_prepare_as_two_dimensional_cases(tmp_path: Path):
    folder = BallDataset("Dataset001_Ball", patients=4).write(tmp_path)
    dataset = read_dataset(Path(f"{folder}::axial"))
    assert dataset.name == "Dataset001_Ball_axial"
    assert dataset.groups == read_dataset(folder).groups
    config = TrainingConfig(channels=(4, 8), fit_matrix=16, minimum_validation_groups=1)
    data = prepare_data([dataset], config, RunFolder(tmp_path / "m"), io.StringIO())
    first = data.training[0][0]
    assert first.voxels.shape == (1, 16, 16)
    assert len({tuple(np.asarray(c.voxels).ravel()[:50]) for c in data.training[0]}) == len(data.training[0])


def test_empty_slices_at_the_ends_are_left_out(tmp_path: Path):
    folder = BallDataset("Dataset001_Ball", offset=0.0).write(tmp_path)
    case = read_dataset(folder).cases[0]
    image = sitk.ReadImage(str(case.image))
    voxels = sitk.GetArrayFromImage(image)
    voxels[:2] = 0
    changed = sitk.GetImageFromArray(voxels)
    changed.CopyInformation(image)
    sitk.WriteImage(changed, str(case.image))
    slices = [c for c in read_dataset(Path(f"{folder}::axial")).cases if c.image == case.image]
    assert len(slices) == len(voxels) - 2


def test_planar_images_have_no_slices(tmp_path: Path):
    folder = BallDataset("Flat", shape=(1, 8, 8)).write(tmp_path)
    with pytest.raises(DatasetError, match="2-D"):
        read_dataset(Path(f"{folder}::axial"))


def busi(parent: Path) -> Path:
    folder = write_dataset(parent / "Dataset114_Us", ending=".png")
    for name in ("benign_1", "benign_2", "malignant_1", "malignant_20"):
        for part, suffix in (("imagesTr", "_0000"), ("labelsTr", "")):
            shutil.copy(folder / part / f"case_01{suffix}.png", folder / part / f"{name}{suffix}.png")
    for path in folder.rglob("case_0*.png"):
        path.unlink()
    (folder / "cases.csv").unlink()
    return folder


def test_the_first_word_of_a_name_is_the_class(tmp_path: Path):
    dataset = read_dataset(Path(f"{busi(tmp_path)}::classes"))
    assert dataset.labels == {1: "benign", 2: "malignant"}
    assert [image_class(case) for case in dataset.cases] == [1, 1, 2, 2]
    assert not dataset.has_masks


def test_a_word_with_one_image_is_refused(tmp_path: Path):
    folder = busi(tmp_path)
    for part in ("imagesTr", "labelsTr"):
        next((folder / part).glob("malignant_20*")).unlink()
    with pytest.raises(DatasetError, match="class malignant has 1 image:"):
        read_dataset(Path(f"{folder}::classes"))


def test_a_view_that_does_not_exist_is_refused(tmp_path: Path):
    folder = write_dataset(tmp_path / "Dataset001_A")
    with pytest.raises(DatasetError, match="no choice of sequence 'axail'"):
        read_dataset(Path(f"{folder}::axail"))
    with pytest.raises(UsageError, match="T1 and T2"):
        read_dataset(Path(f"{folder}::T1,T2"))
    assert [defect.is_warning for defect in verify_datasets([Path(f"{folder}::axail")])] == [False]


def test_groups_that_a_file_names_are_left_out(tmp_path: Path):
    folder = write_dataset(tmp_path / "Dataset001_A")
    names = tmp_path / "groups.txt"
    names.write_text("patient_1\npatient_7\n")
    dataset = read_dataset(Path(f"{folder}::axial,without={names}"))
    assert dataset.name == "Dataset001_A_axial"
    assert dataset.groups == ["patient_2", "patient_3"]
    names.write_text("patient_1\npatient_2\npatient_3")
    with pytest.raises(DatasetError, match="every group"):
        read_dataset(Path(f"{folder}::without={names}"))
    with pytest.raises(DatasetError, match="list of groups"):
        read_dataset(Path(f"{folder}::without={tmp_path / 'nothing.txt'}"))


def test_verify_reads_a_view(tmp_path: Path):
    folder = write_dataset(tmp_path / "Dataset001_A")
    assert verify_datasets([Path(f"{folder}::axial")]) == []


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each file is read."""
    counts: Counter[str] = Counter()
    for name in ("read_image", "read_label_map"):
        plain = getattr(case_module, name)

        def counted(path: Path, plain: Any = plain) -> Any:
            counts[str(path)] += 1
            return plain(path)

        monkeypatch.setattr(case_module, name, counted)
    forget_volumes()
    return counts


def test_a_volume_is_read_once_for_all_its_slices(tmp_path: Path, reads: Counter[str]):
    folder = BallDataset("Dataset001_Ball", patients=3, shape=(12, 16, 16)).write(tmp_path)
    cases = read_dataset(Path(f"{folder}::axial")).cases
    assert len(cases) == 36
    assert set(reads.values()) == {1}
    reads.clear()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda case: (case.read_image(), case.read_labels()), cases))
    assert len(reads) == 6
    # A thread that the others have left far behind reads its volume again, for which one that is still wanted has to
    # go, so that it is read again, too. On a quiet machine none is; without the memory each is read 12 times.
    assert max(reads.values()) <= 4


def test_a_volume_that_was_changed_or_forgotten_is_read_again(tmp_path: Path, reads: Counter[str]):
    folder = BallDataset("Dataset001_Ball", patients=2).write(tmp_path)
    case = read_dataset(Path(f"{folder}::axial")).cases[0]
    before = case.read_image().voxels
    sitk.WriteImage(2 * sitk.ReadImage(str(case.image)), str(case.image))
    os.utime(case.image, ns=(1, 1))
    np.testing.assert_array_equal(case.read_image().voxels, 2 * before)
    reads.clear()
    forget_volumes()
    case.read_image()
    assert reads[str(case.image)] == 1


def test_no_more_than_two_volumes_are_kept(tmp_path: Path):
    kept: RecentlyRead[str] = RecentlyRead()
    read: list[str] = []
    for key in ("a", "b", "a", "c", "a", "b"):
        assert kept.get(key, lambda key=key: read.append(key) or key) == key
    # The one that was not asked for the longest made room for the third.
    assert read == ["a", "b", "c", "b"]


def test_a_missing_file_is_told_as_it_is_of_whole_volumes(tmp_path: Path):
    folder = BallDataset("Dataset001_Ball", patients=2).write(tmp_path)
    case = read_dataset(Path(f"{folder}::axial")).cases[0]
    case.image.unlink()
    with pytest.raises(InputError, match=case.image.name):
        case.read_image()
