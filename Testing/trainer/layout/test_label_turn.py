"""However a label map is stored, it is learnt and measured where it lies in millimetres."""

from __future__ import annotations

from io import StringIO
from itertools import permutations, product
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MultiTaskSegLib.runtime.errors import DatasetError
from MultiTaskSegLib.runtime.image.profile import Intensity, Profile
from Testing.trainer.dataset_folder import CASES, label_path, write_dataset
from trainer.config import TrainingConfig
from trainer.data.dataset import read_dataset
from trainer.data.planning import make_plan
from trainer.data.prepared_label import read_prepared
from trainer.data.split import Split
from trainer.layout.case import Case
from trainer.layout.label_turn import label_turn
from trainer.layout.lesion_scans import LesionMaskReader
from trainer.training.training import prepare_splits
from trainer.verification.verify import verify_datasets

SHAPE = (5, 6, 7)
PROFILE = Profile("p", "spacing", Intensity("percentile", 1.0, 99.0), spacing_zyx_mm=(2.0, 1.5, 1.0))
WAYS = [(axes, flips) for axes in permutations(range(3)) for flips in product([False, True], repeat=3)]


def written(array: np.ndarray, path: Path, is_oblique: bool = True) -> Path:
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((1.0, 1.5, 3.0))
    image.SetOrigin((-11.0, 7.0, 30.0))
    cosine, sine = np.cos(0.2), np.sin(0.2)
    if is_oblique:
        image.SetDirection((-1, 0, 0, 0, cosine, -sine, 0, sine, cosine))
    sitk.WriteImage(image, str(path))
    return path


def stored_otherwise(path: Path, axes: tuple[int, ...], flips: tuple[bool, ...], target: Path) -> Path:
    """The same label map in the same place, by ITK's own filters."""
    image = sitk.Flip(sitk.PermuteAxes(sitk.ReadImage(str(path)), list(axes)), list(flips), flipAboutOrigin=False)
    sitk.WriteImage(image, str(target))
    return target


@pytest.fixture
def case(tmp_path: Path) -> Case:
    rng = np.random.default_rng(3)
    image = written(rng.normal(size=SHAPE).astype(np.float32), tmp_path / "image.nii.gz")
    return Case("c", image, written(rng.integers(0, 3, SHAPE).astype(np.uint8), tmp_path / "label.nii.gz"), "g")


def turned(case: Case, axes: tuple[int, ...], flips: tuple[bool, ...]) -> Case:
    assert case.label is not None
    target = case.label.with_name("turned.nii.gz")
    return Case("c", case.image, stored_otherwise(case.label, axes, flips, target), "g")


@pytest.mark.parametrize(("axes", "flips"), WAYS)
def test_the_same_labels_are_prepared_in_whatever_order_they_are_stored(
    case: Case, axes: tuple[int, ...], flips: tuple[bool, ...]
) -> None:
    other = turned(case, axes, flips)
    np.testing.assert_array_equal(other.read_pair((1, 2))[1], case.read_pair((1, 2))[1])
    wanted, found = (
        read_prepared(one, PROFILE, (1, 2), lambda stored: stored.astype(np.uint8)) for one in (case, other)
    )
    np.testing.assert_array_equal(found[0].voxels, wanted[0].voxels)
    np.testing.assert_array_equal(found[1], wanted[1])


def test_a_turn_moves_the_grid_with_the_voxels(case: Case) -> None:
    labels, ijk_to_lps = turned(case, (2, 0, 1), (True, False, True)).read_labels()
    volume = case.read_image()
    turn = label_turn(volume.ijk_to_lps, ijk_to_lps)
    assert turn is not None
    laid, laid_to_lps = turn.apply(labels, ijk_to_lps)
    np.testing.assert_allclose(laid_to_lps, volume.ijk_to_lps, atol=1e-4)
    np.testing.assert_array_equal(laid, case.read_labels()[0])


def test_a_grid_at_an_angle_or_of_another_voxel_size_is_no_turned_one() -> None:
    at_an_angle = np.eye(4)
    at_an_angle[:2, :2] = np.array([[1, -1], [1, 1]]) / np.sqrt(2)
    for other in (at_an_angle, np.diag([2.0, 1, 1, 1]), np.diag([0.4, 1, 1, 1])):
        assert label_turn(np.eye(4), other) is None


def test_a_mask_of_a_picture_without_a_size_is_not_turned(tmp_path: Path) -> None:
    pixels = np.arange(20, dtype=np.uint8).reshape(4, 5)
    sitk.WriteImage(sitk.GetImageFromArray(pixels), str(tmp_path / "image.png"))
    mask = sitk.Flip(sitk.GetImageFromArray((pixels > 9).astype(np.uint8)[None]), [True, False, False])
    sitk.WriteImage(mask, str(tmp_path / "label.mha"))
    with pytest.raises(DatasetError, match="axes differ"):
        Case("c", tmp_path / "image.png", tmp_path / "label.mha", "g").read_pair((1,))


def test_masks_of_one_scan_are_united_where_they_lie(case: Case, tmp_path: Path) -> None:
    assert case.label is not None
    more = stored_otherwise(case.label, (1, 2, 0), (False, True, True), tmp_path / "more.nii.gz")
    wanted = LesionMaskReader().labels(case)[0]
    np.testing.assert_array_equal(LesionMaskReader((str(more),)).labels(case)[0], wanted)
    straight = written(np.ones(SHAPE, np.uint8), tmp_path / "straight.nii.gz", is_oblique=False)
    with pytest.raises(DatasetError, match=r"different grids .*axes differ"):
        LesionMaskReader((str(straight),)).labels(case)


def test_verify_and_training_tell_of_turned_labels_and_use_them(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "Dataset001_Good")
    before = read_dataset(folder)
    plan = make_plan([before], TrainingConfig(patch_voxels=512, channels=(2, 2, 2)))
    split = Split(before.cases[:1], before.cases[1:])
    wanted = prepare_splits(plan, {before.name: split}, tmp_path / "before", StringIO())
    said_before = [str(defect) for defect in verify_datasets([folder])]
    stored_otherwise(label_path(folder, CASES[1]), (1, 0, 2), (False, True, False), label_path(folder, CASES[1]))
    told = StringIO()
    found = prepare_splits(plan, {before.name: split}, tmp_path / "after", told)
    assert "note: 1 label maps of Dataset001_Good are stored with other axes" in told.getvalue()
    for one, other in zip(wanted.held_out[0], found.held_out[0], strict=True):
        np.testing.assert_array_equal(np.asarray(one.labels), np.asarray(other.labels))
    more = [defect for defect in verify_datasets([folder]) if str(defect) not in said_before]
    assert [defect.is_warning for defect in more] == [True]
    assert "stored with other axes" in more[0].what


def test_slices_of_a_volume_are_labelled_where_its_labels_lie(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "Dataset001_Good")
    wanted = [case.read_labels()[0] for case in read_dataset(Path(f"{folder}::coronal")).cases]
    path = label_path(folder, CASES[0])
    stored_otherwise(path, (2, 1, 0), (True, True, False), path)
    cases = read_dataset(Path(f"{folder}::coronal")).cases
    for case, labels in zip(cases, wanted, strict=True):
        np.testing.assert_array_equal(case.read_labels()[0], labels)
    image = sitk.ReadImage(str(path))
    image.SetOrigin([value + 5 for value in image.GetOrigin()])
    sitk.WriteImage(image, str(path))
    shifted = read_dataset(Path(f"{folder}::coronal")).cases[0]
    with pytest.raises(DatasetError, match="origin is"):
        shifted.read_labels()
