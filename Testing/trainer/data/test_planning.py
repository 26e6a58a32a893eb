"""Plans: which datasets share a grid, which scale of values holds, which patch is cut."""

from __future__ import annotations

import weakref
from dataclasses import replace
from math import prod
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MultiTaskSegLib.runtime.errors import DatasetError, UsageError
from MultiTaskSegLib.runtime.image.volume import Volume
from Testing.trainer.synthetic_dataset import BallDataset
from trainer.config import TrainingConfig
from trainer.data.dataset import read_dataset
from trainer.data.planning import Plan, make_plan
from trainer.layout.case import Case

SMALL = TrainingConfig(channels=(4, 6, 8))


def plan(folder: Path, *datasets: BallDataset, config: TrainingConfig = SMALL) -> Plan:
    return make_plan([read_dataset(dataset.write(folder)) for dataset in datasets], config)


def test_datasets_with_close_spacing_share_a_profile_and_others_do_not(tmp_path: Path) -> None:
    tasks = plan(
        tmp_path,
        BallDataset("A", (1.0, 1.0, 1.0)),
        BallDataset("B", (1.2, 1.2, 1.2)),
        BallDataset("C", (1.0, 1.0, 1.3)),
        BallDataset("D", (2.0, 2.0, 2.0)),
    ).tasks
    assert tasks[0].profile == tasks[1].profile
    assert tasks[0].profile.spacing_zyx_mm == pytest.approx((1.0, 1.0, 1.0))
    assert len({task.profile for task in tasks}) == 3


def test_mr_is_scaled_by_its_own_percentiles(tmp_path: Path) -> None:
    intensity = plan(tmp_path, BallDataset("A", offset=-1000.0)).tasks[0].profile.intensity
    assert intensity.method == "percentile"
    assert 0 <= intensity.low < intensity.high <= 100


def test_ct_in_hounsfield_units_is_clipped_to_the_widened_range_of_its_labels(tmp_path: Path) -> None:
    dataset = BallDataset("Ct", modality="CT", offset=-1000.0, contrast=1100.0)
    intensity = plan(tmp_path, dataset).tasks[0].profile.intensity
    inside = np.concatenate([voxels[labels > 0] for voxels, labels in map(dataset.case, range(dataset.patients))])
    low, high = np.percentile(inside, (0.5, 99.5))
    assert intensity.method == "range"
    assert intensity.low == pytest.approx(low - 0.5 * (high - low), abs=0.51)
    assert intensity.high == pytest.approx(high + 0.5 * (high - low), abs=0.51)


def test_a_ct_picture_without_air_is_not_taken_for_hounsfield_units(tmp_path: Path) -> None:
    dataset = BallDataset("Ct", modality="CT", offset=0.0)
    assert plan(tmp_path, dataset).tasks[0].profile.intensity.method == "percentile"


def test_ct_datasets_do_not_share_a_profile_with_mr_of_the_same_spacing(tmp_path: Path) -> None:
    tasks = plan(tmp_path, BallDataset("A"), BallDataset("Ct", modality="CT", offset=-1000.0)).tasks
    assert tasks[0].profile != tasks[1].profile


@pytest.mark.parametrize("limit", [131_072, 2_048, 600])
@pytest.mark.parametrize("shape, spacing", [((10, 30, 50), (1.0, 1.0, 1.0)), ((5, 40, 40), (1.0, 1.0, 5.0))])
def test_patches_are_multiples_of_the_stride_within_the_limit(
    tmp_path: Path, limit: int, shape: tuple[int, int, int], spacing: tuple[float, float, float]
) -> None:
    config = TrainingConfig(channels=(4, 6, 8), patch_voxels=limit)
    made = plan(tmp_path, BallDataset("A", spacing, shape, patients=3), config=config)
    patch, stride = made.tasks[0].patch_zyx, made.architecture.total_stride
    assert all(n > 0 and n % s == 0 for n, s in zip(patch, stride, strict=True))
    assert prod(patch) <= limit
    # Not wastefully small either: one more cell along the axis that is shortest in mm would not fit.
    assert prod(patch) > limit / 4 or all(p >= 0.75 * n for p, n in zip(patch, shape, strict=True))


def test_a_limit_below_the_smallest_patch_is_refused(tmp_path: Path) -> None:
    dataset = read_dataset(BallDataset("A", shape=(8, 16, 16)).write(tmp_path))
    (task,) = make_plan([dataset], replace(SMALL, patch_voxels=32)).tasks
    assert prod(task.patch_zyx) == 32
    with pytest.raises(UsageError, match="patch_voxels is 31, and the smallest patch has 32 voxels"):
        make_plan([dataset], replace(SMALL, patch_voxels=31))


@pytest.mark.parametrize("shape", [(18, 17, 35), (16, 33, 24), (9, 41, 8)])
def test_a_patch_covers_a_small_image_whole_so_that_its_border_is_that_of_inference(
    tmp_path: Path, shape: tuple[int, int, int]
) -> None:
    config = TrainingConfig(channels=(4, 6, 8, 10, 12))
    made = plan(tmp_path, BallDataset("A", shape=shape), config=config)
    stride = made.architecture.total_stride
    assert made.tasks[0].patch_zyx == tuple(-(-n // s) * s for n, s in zip(shape, stride, strict=True))


def test_levels_beyond_the_fourth_widen_the_plane_only(tmp_path: Path) -> None:
    architecture = plan(tmp_path, BallDataset("A"), config=TrainingConfig()).architecture
    assert architecture.strides == ((1, 2, 2), (2, 2, 2), (2, 2, 2), (1, 2, 2))
    assert architecture.kernels == ((3, 3, 3),) * 4 + ((1, 3, 3),)


def test_a_2_d_patch_is_the_whole_fitted_picture(tmp_path: Path) -> None:
    config = TrainingConfig(channels=(4, 6, 8), fit_matrix=50)
    made = plan(tmp_path, BallDataset("P", shape=(1, 20, 30)), config=config)
    assert made.architecture.total_stride == (1, 4, 4)
    assert made.tasks[0].patch_zyx == (1, 52, 52)
    assert made.tasks[0].profile.matrix == 50


def test_2_d_and_3_d_datasets_cannot_be_mixed(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="P are 2-D"):
        plan(tmp_path, BallDataset("A"), BallDataset("P", shape=(1, 20, 30)))


def test_structures_are_absent_only_where_modality_or_region_differ(tmp_path: Path) -> None:
    tasks = plan(
        tmp_path,
        BallDataset("HeadT1"),
        BallDataset("HeadT2", modality="T2"),
        BallDataset("HeadCT", modality="CT"),
        BallDataset("ChestT1", region="chest"),
        BallDataset("Qqq", region=""),
    ).tasks
    assert [task.absent for task in tasks] == [(2, 3), (2, 3), (0, 1, 3, 4), (0, 1, 2), (2,)]


def test_each_task_has_its_own_background_and_labels_one_after_the_other(tmp_path: Path) -> None:
    made = plan(tmp_path, BallDataset("A", label_values=(3, 7)), BallDataset("B"))
    assert [task.channels for task in made.tasks] == [slice(0, 3), slice(3, 5)]
    assert made.architecture.outputs == 5
    assert made.tasks[0].label_values == ((3,), (7,))
    assert made.tasks[0].label_names == ("part3", "part7")


def test_the_shared_foreground_head_has_two_channels_for_all_tasks_and_no_absence(tmp_path: Path) -> None:
    config = TrainingConfig(channels=(4, 6), head="shared_foreground")
    made = plan(tmp_path, BallDataset("A", label_values=(3, 7)), BallDataset("B", region="chest"), config=config)
    assert made.architecture.outputs == 2
    assert [task.channels for task in made.tasks] == [slice(0, 2)] * 2
    assert made.tasks[0].label_values == ((3, 7),)
    assert [task.absent for task in made.tasks] == [(), ()]


def test_thick_slices_are_not_pooled_in_the_first_step(tmp_path: Path) -> None:
    architecture = plan(tmp_path, BallDataset("A")).architecture
    assert architecture.strides == ((1, 2, 2), (2, 2, 2))


def test_a_ct_label_of_another_shape_than_its_image_is_refused_as_a_dataset_error(tmp_path: Path) -> None:
    folder = BallDataset("Ct", modality="CT", offset=-1000.0).write(tmp_path)
    other = BallDataset("Other", shape=(8, 8, 8)).write(tmp_path)
    (other / "labelsTr" / "case_00.nii.gz").replace(folder / "labelsTr" / "case_00.nii.gz")
    with pytest.raises(DatasetError, match="shape"):
        make_plan([read_dataset(folder)], SMALL)


def test_a_ct_dataset_without_any_labelled_voxel_is_refused(tmp_path: Path) -> None:
    folder = BallDataset("Ct", modality="CT", offset=-1000.0).write(tmp_path)
    for path in (folder / "labelsTr").iterdir():
        sitk.WriteImage(sitk.ReadImage(str(path)) * 0, str(path))
    with pytest.raises(DatasetError, match="no voxel is labelled"):
        make_plan([read_dataset(folder)], SMALL)


def test_of_the_images_that_are_looked_at_one_at_a_time_is_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[weakref.ref[Volume]] = []
    alive: list[int] = []
    plain = Case.read_image

    def noted(case: Case) -> Volume:
        volume = plain(case)
        alive.append(sum(earlier() is not None for earlier in read))
        read.append(weakref.ref(volume))
        return volume

    monkeypatch.setattr(Case, "read_image", noted)
    plan(tmp_path, BallDataset("A", modality="CT", offset=-500.0, contrast=600.0))
    assert len(alive) == 6
    # The one before may go when the next has come.
    assert max(alive) <= 1
