"""Every mismatch between the channels of an image is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from Testing.trainer.channel_dataset import ChannelDataset, channel_path, write_voxels
from trainer.layout.recently_read import forget_volumes
from trainer.verification.channel_check import swapped_cases
from trainer.verification.verify import verify_datasets

PAIR = ChannelDataset("Dataset010_Pair")
CASE = "case_03"


def missing_second(folder: Path) -> None:
    channel_path(folder, CASE, 1).unlink()


def missing_first(folder: Path) -> None:
    channel_path(folder, CASE, 0).unlink()


def other_size(folder: Path) -> None:
    write_voxels(PAIR.case(3)[0][1][:, :, :-1], channel_path(folder, CASE, 1))


def other_place(folder: Path) -> None:
    image = sitk.ReadImage(str(channel_path(folder, CASE, 1)))
    image.SetOrigin((3.0, 0.0, 0.0))
    sitk.WriteImage(image, str(channel_path(folder, CASE, 1)))


def other_spacing(folder: Path) -> None:
    image = sitk.ReadImage(str(channel_path(folder, CASE, 1)))
    image.SetSpacing((1.0, 1.0, 2.0))
    sitk.WriteImage(image, str(channel_path(folder, CASE, 1)))


def other_type(folder: Path) -> None:
    write_voxels(PAIR.case(3)[0][1].astype(np.float32), channel_path(folder, CASE, 1))


def same_voxels(folder: Path) -> None:
    write_voxels(PAIR.case(3)[0][0], channel_path(folder, CASE, 1))


def constant(folder: Path) -> None:
    write_voxels(np.full(PAIR.shape, 7, dtype=np.int16), channel_path(folder, CASE, 1))


def unreadable(folder: Path) -> None:
    path = channel_path(folder, CASE, 1)
    path.write_bytes(path.read_bytes()[:100])


def swapped(folder: Path) -> None:
    (first, second), _ = PAIR.case(3)
    write_voxels(second, channel_path(folder, CASE, 0))
    write_voxels(first, channel_path(folder, CASE, 1))


SPOILT: list[tuple[Callable[[Path], None], str, bool]] = [
    (missing_second, "lacks channel 1 (T1c)", False),
    (missing_first, "lacks channel 0 (FLAIR)", False),
    (other_size, "the channel T1c has 6 x 12 x 11 voxels", False),
    (other_place, "the channel T1c's origin is 3 mm away", False),
    (other_spacing, "the channel T1c's spacing is", False),
    (other_type, "the channel T1c is stored as 32-bit float, FLAIR as 16-bit signed integer", True),
    (same_voxels, "the channel T1c has the same voxels as FLAIR", False),
    (constant, "the channel T1c is constant", False),
    (unreadable, "channel T1c:", False),
    (swapped, "the channels FLAIR and T1c look swapped", True),
]


@pytest.mark.parametrize(("spoil", "told", "is_warning"), SPOILT, ids=lambda value: getattr(value, "__name__", None))
def test_each_mismatch_is_named_with_its_case(
    tmp_path: Path, spoil: Callable[[Path], None], told: str, is_warning: bool
) -> None:
    folder = PAIR.write(tmp_path)
    spoil(folder)
    found = [defect for defect in verify_datasets([folder]) if told in defect.what]
    assert [(defect.case, defect.is_warning) for defect in found] == [(CASE, is_warning)]


@pytest.mark.parametrize("are_regions", [False, True])
def test_a_good_dataset_has_no_defect(tmp_path: Path, are_regions: bool) -> None:
    assert verify_datasets([ChannelDataset("Dataset010_Pair", are_regions).write(tmp_path)]) == []


def test_a_file_of_a_channel_that_nobody_has_named_is_not_used(tmp_path: Path) -> None:
    folder = PAIR.write(tmp_path)
    write_voxels(PAIR.case(3)[0][1], channel_path(folder, CASE, 2))
    (defect,) = verify_datasets([folder])
    assert "does not fit the naming" in defect.what
    assert defect.is_warning


def test_a_value_outside_all_regions_is_a_defect(tmp_path: Path) -> None:
    folder = ChannelDataset("Dataset011_Regions", are_regions=True).write(tmp_path)
    labels = PAIR.case(0)[1].copy()
    labels[0, 0, 0] = 5
    write_voxels(labels, folder / "labelsTr" / f"{CASE}.nii.gz")
    assert any("does not declare: 5" in defect.what for defect in verify_datasets([folder]))


def test_of_two_cases_nobody_knows_which_is_swapped() -> None:
    looks = [(np.zeros(3), np.ones(3)), (np.ones(3), np.zeros(3))]
    assert list(swapped_cases(looks)) == []
    assert list(swapped_cases([*looks, looks[0], looks[0]])) == [(1, (0, 1))]


@pytest.mark.parametrize("are_regions", [False, True])
@pytest.mark.parametrize("view", ["axial", "without=left_out.txt"])
def test_views_of_several_channels_and_of_regions_are_verified_as_they_are_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, view: str, are_regions: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("left_out.txt").write_text("nobody", encoding="utf-8")
    folder = ChannelDataset("Dataset010_Pair", are_regions).write(tmp_path)
    directory = Path(f"{folder}::{view}")
    assert [defect for defect in verify_datasets([directory]) if not defect.is_warning] == []
    second = PAIR.case(0)[0][1]
    second[3] = second[3].min()
    write_voxels(second if view == "axial" else np.full_like(second, 7), channel_path(folder, CASE, 1))
    forget_volumes()
    (defect,) = [defect for defect in verify_datasets([directory]) if not defect.is_warning]
    assert "the channel T1c is constant" in defect.what
