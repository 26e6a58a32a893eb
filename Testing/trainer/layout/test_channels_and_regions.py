"""nnU-Net datasets of several channels, and labels that are regions: what is read, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from MultiTaskSegLib.runtime.errors import DatasetError
from Testing.trainer.channel_dataset import CHANNELS, ChannelDataset, channel_path, write_voxels
from Testing.trainer.synthetic_dataset import BallDataset
from trainer.data.dataset import Dataset, read_dataset
from trainer.data.label_pair import label_pairs
from trainer.data.labelled_case import truth_of
from trainer.layout.region_labels import RegionLabels, declared_values, read_regions, region_masks
from trainer.training.planned_manifest import planned_task

PAIR = ChannelDataset("Dataset010_Pair")
REGIONS = ChannelDataset("Dataset011_Regions", are_regions=True)


def described(folder: Path, **changes: object) -> Path:
    """The dataset with another description; None leaves a key out."""
    path = folder / "dataset.json"
    info = {**json.loads(path.read_text(encoding="utf-8")), **changes}
    path.write_text(json.dumps({key: value for key, value in info.items() if value is not None}), encoding="utf-8")
    return folder


def test_all_channels_of_a_case_are_read_in_their_order(tmp_path: Path) -> None:
    dataset = read_dataset(PAIR.write(tmp_path), several=True)
    assert dataset.inputs == CHANNELS
    assert dataset.channel_families == ("MR", "MR")
    for number, case in enumerate(dataset.cases):
        channels, labels = PAIR.case(number)
        volume, stored = case.read_pair(dataset.labels)
        assert volume.channel_count == 2
        for found, expected in zip(volume.channels, channels, strict=True):
            np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(stored, labels)
        assert set(case.files) >= {case.image, *case.further}


def test_one_channel_stays_what_it_was(tmp_path: Path) -> None:
    dataset = read_dataset(BallDataset("Dataset001_BallT1").write(tmp_path))
    assert dataset.inputs == ()
    assert all(case.further == () for case in dataset.cases)
    assert not dataset.are_regions


def test_commands_that_take_one_channel_refuse_several_and_regions(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="images of 2 channels, which this command does not take"):
        read_dataset(PAIR.write(tmp_path))
    alone = ChannelDataset("Dataset012_Alone", are_regions=True).write(tmp_path)
    with pytest.raises(DatasetError, match="regions that may overlap"):
        read_dataset(described(alone, channel_names={"0": "FLAIR"}))


def test_a_case_without_a_channel_is_named(tmp_path: Path) -> None:
    folder = PAIR.write(tmp_path)
    channel_path(folder, "case_02", 1).unlink()
    with pytest.raises(DatasetError, match="case_02 lacks the channel T1c"):
        read_dataset(folder, several=True)


def test_a_channel_on_another_grid_is_refused_when_it_is_read(tmp_path: Path) -> None:
    folder = PAIR.write(tmp_path)
    write_voxels(np.zeros((6, 12, 11), dtype=np.int16), channel_path(folder, "case_02", 1))
    with pytest.raises(DatasetError, match="the channel has 6 x 12 x 11 voxels"):
        read_dataset(folder, several=True).cases[2].read_image()


@pytest.mark.parametrize("names", [{"0": "FLAIR", "2": "T1"}, {"0": "T1", "1": "T1"}, {"0": "T1", "1": ""}])
def test_channels_that_are_not_numbered_or_named_apart_are_refused(tmp_path: Path, names: dict[str, str]) -> None:
    with pytest.raises(DatasetError, match="not numbered"):
        read_dataset(described(PAIR.write(tmp_path), channel_names=names), several=True)


def test_msd_files_of_several_channels_are_refused_and_those_of_nnunet_version_1_are_read(tmp_path: Path) -> None:
    modality = {"0": "FLAIR", "1": "T1"}
    folder = described(PAIR.write(tmp_path), channel_names=None, file_ending=None, modality=modality)
    read = read_dataset(folder, several=True)
    assert (read.inputs, len(read.cases)) == (("FLAIR", "T1"), PAIR.patients)
    for path in (folder / "imagesTr").glob("*.nii.gz"):
        path.unlink() if "_0001" in path.name else path.rename(str(path).replace("_0000", ""))
    with pytest.raises(DatasetError, match="one file holds all of them"):
        read_dataset(folder, several=True)


def test_channels_of_two_families_are_two_families(tmp_path: Path) -> None:
    folder = described(PAIR.write(tmp_path), channel_names={"0": "CT", "1": "PET"})
    dataset = read_dataset(folder, several=True)
    assert dataset.channel_families == ("CT", "PET")

    def one(modality: str) -> Dataset:
        return Dataset(tmp_path, "other", modality, "head", {1: "x"}, ())

    assert dataset.may_share_structures(one("CT"))
    assert one("PET").may_share_structures(dataset)
    assert not dataset.may_share_structures(one("T1"))


def test_slices_of_a_volume_have_all_its_channels(tmp_path: Path) -> None:
    folder = PAIR.write(tmp_path)
    dataset = read_dataset(Path(f"{folder}::axial"), several=True)
    (first, second), _ = PAIR.case(0)
    # NIfTI's voxels run to the left and back here; a slice is turned as its volume is.
    slices = [case.read_image() for case in dataset.cases if case.name.startswith("case_00")]
    assert all(volume.channel_count == 2 for volume in slices)
    sums = {(float(volume.voxels.sum()), float(volume.further[0].sum())) for volume in slices}
    assert sums == {(float(a.sum()), float(b.sum())) for a, b in zip(first, second, strict=True)}


def test_regions_are_sets_of_values_painted_in_order(tmp_path: Path) -> None:
    dataset = read_dataset(REGIONS.write(tmp_path), several=True)
    labels = dataset.labels
    assert isinstance(labels, RegionLabels)
    assert dict(labels) == {1: "whole", 2: "core"}
    assert labels.members == {1: (1, 2), 2: (2,)}
    assert declared_values(labels) == {1, 2}
    stored = np.array([[[0, 1, 2]]])
    np.testing.assert_array_equal(region_masks(stored, labels), [[[[0, 1, 1]]], [[[0, 0, 1]]]])


@pytest.mark.parametrize(
    ("table", "order"),
    [
        ({"a": [1, 2], "b": 1}, None),
        ({"a": [1, 2], "b": 1}, [1]),
        ({"a": [1, 2], "b": 1}, [1, 1]),
        ({"a": [1, 2], "b": 1}, [1, 0]),
        ({"a": [1, 2], "b": 1}, [1, True]),
        ({"a": [1, "2"]}, [1]),
        ({"a": []}, [1]),
        ({"a": [1, 0]}, [1]),
        ({"a": [1, 256]}, [1]),
        ({"background": 0}, []),
    ],
)
def test_regions_without_a_sensible_order_or_values_are_refused(table: dict[str, object], order: object) -> None:
    with pytest.raises(DatasetError):
        read_regions(table, order, "dataset.json")


@pytest.mark.parametrize("order", [[1, 2], [1, 2, 3]])
def test_voxels_that_do_not_count_are_no_region(order: list[int]) -> None:
    table = {"background": 0, "whole": [1, 2], "core": [2], "ignore": 3}
    with pytest.raises(DatasetError, match="voxels that do not count, is not supported"):
        read_regions(table, order, "dataset.json")


def test_nnunets_background_is_no_region() -> None:
    labels = read_regions({"background": 0, "b": [3, 1], "a": 3}, [5, 4], "dataset.json")
    assert (dict(labels), labels.members) == ({5: "b", 4: "a"}, {5: (3, 1), 4: (3,)})


def test_a_region_is_compared_with_all_values_that_make_it(tmp_path: Path) -> None:
    from Testing.trainer.data.test_channels_and_regions import plan_of

    dataset = read_dataset(REGIONS.write(tmp_path), several=True)
    task = planned_task(plan_of(dataset).tasks[0])
    assert [(pair.name, pair.predicted, pair.truth) for pair in label_pairs(task, dataset.labels)] == [
        ("whole", (1,), (1, 2)),
        ("core", (2,), (2,)),
    ]
    stored = REGIONS.case(0)[1]
    np.testing.assert_array_equal(truth_of(stored, task, dataset.labels), [stored > 0, stored == 2])


def test_all_values_of_all_regions_are_the_foreground_that_tasks_share(tmp_path: Path) -> None:
    from Testing.trainer.data.test_channels_and_regions import plan_of

    dataset = read_dataset(REGIONS.write(tmp_path), several=True)
    task = planned_task(plan_of(dataset).tasks[0])
    shared = replace(task, labels=(replace(task.labels[0], name="foreground"),), are_regions=False)
    regions = read_regions({"background": 0, "whole": [3, 1], "core": [3]}, [10, 20], "dataset.json")
    (pair,) = label_pairs(shared, regions)
    assert pair.truth == (1, 3)
