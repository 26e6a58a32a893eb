"""The held-out cases are the same for every trainer, and so is the way they are measured."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest

from Testing.bench.held_out import content_of, default_split, link_dataset, mean_dice, nnunet_splits
from Testing.trainer.synthetic_dataset import BallDataset
from trainer.config import TrainingConfig
from trainer.data.dataset import Dataset, read_dataset
from trainer.layout.case import Case
from trainer.report.run_folder import RunFolder
from trainer.training.training import prepare_data


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("data")
    return read_dataset(BallDataset("A", shape=(6, 12, 12), patients=15, label_values=(1, 4)).write(folder))


def test_the_split_file_holds_out_what_training_holds_out(dataset: Dataset, tmp_path: Path) -> None:
    data = prepare_data([dataset], TrainingConfig(), RunFolder(tmp_path / "m.mts.safetensors"), io.StringIO())
    (fold,) = json.loads(json.dumps(nnunet_splits(default_split(dataset))))
    assert fold["val"] == [case.case.name for case in data.held_out[0]]
    assert fold["train"] == [case.case.name for case in data.training[0]]


def test_no_patient_is_on_both_sides_of_the_split_file(dataset: Dataset) -> None:
    (fold,) = nnunet_splits(default_split(dataset))
    groups = {case.name: case.group for case in dataset.cases}
    assert not {groups[name] for name in fold["train"]} & {groups[name] for name in fold["val"]}
    assert sorted(fold["train"] + fold["val"]) == sorted(groups)


def test_the_truth_has_dice_1_and_half_of_a_label_has_two_thirds(dataset: Dataset) -> None:
    cases = dataset.cases[:2]

    def half(case: Case) -> np.ndarray:
        labels = case.read_labels()[0].copy()
        for value in (1, 4):
            found = np.flatnonzero(labels == value)
            labels.reshape(-1)[found[: len(found) // 2]] = 0
        return labels

    assert mean_dice(cases, (1, 4), lambda case: case.read_labels()[0]) == 1.0
    sizes = [np.count_nonzero(case.read_labels()[0] == value) for case in cases for value in (1, 4)]
    expected = np.mean([2 * (n - n // 2) / (2 * n - n // 2) for n in sizes])
    assert mean_dice(cases, (1, 4), half) == pytest.approx(expected)


def test_a_segmentation_on_another_grid_is_refused(dataset: Dataset) -> None:
    with pytest.raises(ValueError, match="was segmented as"):
        mean_dice(dataset.cases[:1], (1,), lambda case: case.read_labels()[0][1:])


def test_a_dataset_is_linked_once_and_not_copied(dataset: Dataset, tmp_path: Path) -> None:
    for _ in range(2):
        link_dataset(dataset.directory, tmp_path / "raw")
    assert (tmp_path / "raw" / "A").is_symlink()
    assert (tmp_path / "raw" / "A" / "dataset.json").is_file()


def test_a_link_to_other_data_of_its_name_is_replaced_and_a_folder_is_not(dataset: Dataset, tmp_path: Path) -> None:
    other = BallDataset("A", patients=3, offset=-7.0).write(tmp_path / "elsewhere")
    for folder in (other, dataset.directory):
        link_dataset(folder, tmp_path / "raw")
        assert (tmp_path / "raw" / "A").resolve() == folder.resolve()
    (tmp_path / "full" / "A").mkdir(parents=True)
    with pytest.raises(FileExistsError):
        link_dataset(other, tmp_path / "full")


def test_the_content_of_a_folder_tells_it_from_others_of_its_name(dataset: Dataset, tmp_path: Path) -> None:
    other = BallDataset("A", patients=3, offset=-7.0).write(tmp_path / "elsewhere")
    assert content_of(dataset.directory) == content_of(dataset.directory) != content_of(other)
