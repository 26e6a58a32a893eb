"""From a dataset of several channels or regions to patches: one geometry, intensities apart, nothing lost."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from MultiTaskSegLib.runtime.errors import UsageError
from MultiTaskSegLib.runtime.image.preparation import prepare
from Testing.trainer.channel_dataset import CHANNELS, ChannelDataset
from Testing.trainer.synthetic_dataset import BallDataset
from trainer.config import TrainingConfig
from trainer.data.augmentation import Augmentation, IntensityChange, apply_augmentation, draw_augmentation
from trainer.data.case_cache import prepare_cases
from trainer.data.data_fingerprint import dataset_fingerprint
from trainer.data.dataset import Dataset, read_dataset
from trainer.data.patches import PatchGroups
from trainer.data.planning import Plan, make_plan
from trainer.identity.file_content import FileContents

CONFIG = TrainingConfig(channels=(4, 6), patch_voxels=1024, patches_per_group=2)
PAIR = ChannelDataset("Dataset010_Pair")
REGIONS = ChannelDataset("Dataset011_Regions", are_regions=True)
ONE = BallDataset("Dataset001_BallT1", shape=(6, 12, 12), region="chest")
IDENTITY = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


def plan_of(*datasets: Dataset, config: TrainingConfig = CONFIG) -> Plan:
    return make_plan(datasets, config)


def read(parent: Path, *datasets: ChannelDataset | BallDataset) -> list[Dataset]:
    return [read_dataset(dataset.write(parent), several=True) for dataset in datasets]


def test_one_network_has_a_stem_for_each_list_of_channels(tmp_path: Path) -> None:
    pair, regions, one = read(tmp_path, PAIR, REGIONS, ONE)
    plan = plan_of(pair, one, regions)
    assert plan.architecture.stems == (1, 2)
    assert [task.stem for task in plan.tasks] == [1, 0, 1]
    assert [task.profile.channel_count for task in plan.tasks] == [2, 1, 2]
    # Two labels and a background, a ball and a background, two regions without one.
    assert [(task.channels.start, task.channels.stop) for task in plan.tasks] == [(0, 3), (3, 5), (5, 7)]
    assert plan.architecture.outputs == 7
    assert plan_of(pair).architecture.stems == (2,)
    assert plan_of(one).architecture.stems == (1,)
    with pytest.raises(UsageError, match="regions cannot share"):
        plan_of(regions, config=replace(CONFIG, head="shared_foreground"))


def test_a_single_channel_is_planned_as_if_there_were_no_others(tmp_path: Path) -> None:
    pair, one = read(tmp_path, PAIR, ONE)
    alone, beside = plan_of(one).tasks[0], plan_of(one, pair).tasks[0]
    assert alone == replace(beside, absent=alone.absent)


def test_each_channel_has_its_own_scale(tmp_path: Path) -> None:
    import json

    folder = PAIR.write(tmp_path)
    info = PAIR.info() | {"channel_names": {"0": "PET", "1": "CT"}}
    (folder / "dataset.json").write_text(json.dumps(info), encoding="utf-8")
    import SimpleITK as sitk

    for number in range(PAIR.patients):
        path = folder / "imagesTr" / f"case_{number:02d}_0001.nii.gz"
        image = sitk.ReadImage(str(path)) - 1000
        sitk.WriteImage(image, str(path))
    profile = plan_of(read_dataset(folder, several=True)).tasks[0].profile
    assert [own.method for own in profile.intensities] == ["percentile", "range"]
    labelled = np.concatenate([(PAIR.case(n)[0][1] - 1000)[PAIR.case(n)[1] > 0] for n in range(PAIR.patients)])
    low, high = np.percentile(labelled, (0.5, 99.5))
    margin = (high - low) / 2
    assert profile.further[0].low == pytest.approx(low - margin, abs=2)
    assert profile.further[0].high == pytest.approx(high + margin, abs=2)


def test_prepared_cases_hold_all_channels_and_regions_their_own_values(tmp_path: Path) -> None:
    for dataset, source in zip(read(tmp_path, PAIR, REGIONS), (PAIR, REGIONS), strict=True):
        (task,) = plan_of(dataset).tasks
        cases = prepare_cases(task, dataset.cases, tmp_path / "cache")
        again = prepare_cases(task, dataset.cases, tmp_path / "cache")
        for number, (case, other) in enumerate(zip(cases, again, strict=True)):
            expected = prepare(case.case.read_image(), task.profile).voxels
            np.testing.assert_allclose(case.network_input(), expected, atol=1e-3)
            np.testing.assert_array_equal(other.network_input(), case.network_input())
            np.testing.assert_array_equal(np.asarray(case.labels), source.case(number)[1])
            assert set(case.points) == {1, 2}


def test_what_is_kept_belongs_to_every_channel(tmp_path: Path) -> None:
    (dataset,) = read(tmp_path, PAIR)
    (task,) = plan_of(dataset).tasks
    before = [case.fingerprint for case in prepare_cases(task, dataset.cases, tmp_path / "cache")]
    contents = FileContents(tmp_path / "memory")
    whole = dataset_fingerprint(dataset, contents)
    renamed = dataset_fingerprint(replace(dataset, inputs=("FLAIR", "T2")), contents)
    dataset.cases[1].further[0].write_bytes(dataset.cases[0].further[0].read_bytes())
    after = [case.fingerprint for case in prepare_cases(task, dataset.cases, tmp_path / "cache")]
    assert [a == b for a, b in zip(before, after, strict=True)] == [n != 1 for n in range(len(before))]
    assert len({whole, renamed, dataset_fingerprint(dataset, FileContents(tmp_path / "memory"))}) == 3


def test_geometry_is_one_and_intensities_are_drawn_apart() -> None:
    rng = np.random.default_rng(5)
    voxels = rng.random((8, 14, 16)).astype(np.float16)
    labels = rng.integers(0, 3, voxels.shape).astype(np.uint8)
    arguments = ((4.0, 7.0, 8.0), (1.0, 1.0, 1.0), (4, 10, 12), False, "xyz")
    drawn = [draw_augmentation(np.random.default_rng(seed), *arguments, 2) for seed in range(20)]
    for seed, record in enumerate(drawn):
        # The first channel is changed as if there were no others.
        assert replace(record, further=()) == draw_augmentation(np.random.default_rng(seed), *arguments)
    own = {name.name for name in fields(IntensityChange)}
    for record in drawn:
        changes = [tuple(getattr(change, name) for name in sorted(own)) for change in (record, *record.further)]
        assert len(set(changes)) == 3, "each channel for itself"
    for name in own:
        assert len({getattr(record.further[1], name) for record in drawn}) > 1, "every change is drawn"
    for record in drawn:
        calm = replace(record, **{name: getattr(IntensityChange(), name) for name in own})
        calm = replace(calm, further=(IntensityChange(), IntensityChange()))
        patch = apply_augmentation(calm, voxels, labels, (4, 10, 12), (voxels, 1 - voxels))
        assert patch.image.shape == (3, 4, 10, 12)
        torch.testing.assert_close(patch.image[0], patch.image[1])
        inside = patch.inside[0]
        torch.testing.assert_close(patch.image[2][inside], 1 - patch.image[0][inside], atol=2e-3, rtol=0)


def test_a_change_of_one_channel_leaves_the_others_alone() -> None:
    rng = np.random.default_rng(6)
    voxels, labels = rng.random((8, 14, 16)).astype(np.float16), np.zeros((8, 14, 16), dtype=np.uint8)
    plain = Augmentation((3.5, 6.5, 7.5), IDENTITY, further=(IntensityChange(),))
    loud = replace(plain, further=(IntensityChange(brightness=0.3, noise_sigma=0.1, noise_seed=3),))
    patches = [apply_augmentation(record, voxels, labels, (4, 8, 8), (voxels,)) for record in (plain, loud)]
    assert torch.equal(patches[0].image[0], patches[1].image[0])
    assert not torch.allclose(patches[0].image[1], patches[1].image[1], atol=0.05)


def test_patches_have_the_channels_of_their_task(tmp_path: Path) -> None:
    datasets = read(tmp_path, ONE, PAIR)
    plan = plan_of(*datasets)
    cases = [prepare_cases(t, d.cases, tmp_path / "cache") for t, d in zip(plan.tasks, datasets, strict=True)]
    made = PatchGroups(plan.tasks, cases, CONFIG)
    seen = {group.task: group.images.shape[:2] for group in (made[index] for index in range(12))}
    assert seen == {0: (2, 1), 1: (2, 2)}
    assert plan.tasks[1].dataset.inputs == CHANNELS
