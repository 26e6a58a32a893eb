"""The published training on discs: it learns, goes on to the bit, and follows its validations."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from MultiTaskSegLib.runtime.errors import DatasetError, ModelError
from MultiTaskSegLib.runtime.image.image_file import read_image
from Testing.trainer.channel_dataset import ChannelDataset
from Testing.trainer.synthetic_dataset import BallDataset
from trainer.config import TrainingConfig, config_from_dict
from trainer.data.dataset import datasets_with_masks, read_dataset
from trainer.paper_network.network_file import load_paper_model
from trainer.paper_network.paper_model import train_paper_model
from trainer.paper_network.patches import Patches
from trainer.paper_network.predictor import PaperPredictor
from trainer.paper_network.settings import PaperSettings
from trainer.paper_network.training import PaperTraining
from trainer.report.run_folder import RunFolder
from trainer.training.training import PreparedData, prepare_data

SETTINGS = PaperSettings(channels=(4, 8, 16), patch=16, learning_rate=3e-3, validation_interval=10)
CPU = torch.device("cpu")


def configuration() -> TrainingConfig:
    plain = {"fit_matrix": 16, "workers": 0, "threads": 1, "minimum_validation_groups": 2}
    return config_from_dict(plain | dict(SETTINGS.training_values()))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two datasets of discs, of which one has two labels."""
    root = tmp_path_factory.mktemp("discs")
    return [
        BallDataset("Dataset001_DiscT1", shape=(1, 16, 16), patients=8).write(root),
        BallDataset("Dataset002_DiscCT", shape=(1, 16, 16), patients=9, modality="CT", label_values=(1, 2)).write(root),
    ]


@pytest.fixture
def data(folders: list[Path], tmp_path: Path) -> PreparedData:
    return prepare_data(datasets_with_masks(folders, several=True), configuration(), RunFolder(tmp_path / "prepared"))


@pytest.fixture(scope="module")
def trained(folders: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a training of a hundred steps."""
    output = tmp_path_factory.mktemp("run") / "network.safetensors"
    train_paper_model(folders, output, configuration(), SETTINGS, 100)
    return output


def test_it_learns_to_find_discs_in_images_that_it_never_saw(trained: Path, folders: list[Path]) -> None:
    records = RunFolder(trained).records()
    dice = [record["dice"] for record in records if "dice" in record]
    assert len(dice) == 10
    assert dice[-1] > 0.9
    predictor = PaperPredictor(load_paper_model(trained), CPU)
    dataset = read_dataset(folders[1])
    volume, truth = dataset.cases[0].read_pair(dataset.labels)
    labels, score = predictor.answer(volume, dataset.name)
    # Both labels of the dataset are one foreground.
    assert set(np.unique(labels)) == {0, 1}
    overlap = 2 * np.count_nonzero((labels > 0) & (truth > 0)) / (np.count_nonzero(labels) + np.count_nonzero(truth))
    assert overlap > 0.85
    assert 0 <= score < 10


def test_a_training_image_is_no_distance_from_the_training_images(trained: Path, data: PreparedData) -> None:
    predictor = PaperPredictor(load_paper_model(trained), CPU)
    case = data.training[0][0].case
    # Prepared voxels of the training are kept in half precision.
    assert predictor.score(read_image(case.image)) < 0.1


def test_an_interrupted_training_ends_with_the_weights_of_one_that_was_not(folders: list[Path], tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole.safetensors", tmp_path / "parts.safetensors"
    train_paper_model(folders, whole, configuration(), SETTINGS, 24)
    for steps in (7, 24):
        train_paper_model(folders, parts, configuration(), SETTINGS, steps)
    first, second = load_file(whole), load_file(parts)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    logs = [[(r["step"], r["lr"]) for r in RunFolder(path).records() if "dice" in r] for path in (whole, parts)]
    assert logs[0] == logs[1]


def test_the_rate_that_is_used_follows_the_validations(data: PreparedData, tmp_path: Path, monkeypatch: Any) -> None:
    training = PaperTraining(data, configuration(), replace(SETTINGS, validation_interval=2), CPU)
    history = iter([0.8, 0.5, 0.5, 0.2])
    monkeypatch.setattr(training, "validation_dice", lambda: next(history))
    training.run(8, RunFolder(tmp_path / "run"))
    rates = [record["lr"] for record in RunFolder(tmp_path / "run").records() if "dice" in record]
    assert rates == pytest.approx([3e-3, 2.7e-3, 2.7e-3, 2.43e-3])
    assert training.optimizer.param_groups[0]["lr"] == pytest.approx(2.7e-3)
    training.train_step()
    assert training.optimizer.param_groups[0]["lr"] == pytest.approx(2.43e-3)


def test_the_optimiser_is_adam_on_one_patch_without_decay_of_the_weights(data: PreparedData) -> None:
    training = PaperTraining(data, configuration(), SETTINGS, CPU)
    assert type(training.optimizer) is torch.optim.Adam
    assert training.optimizer.defaults["weight_decay"] == 0
    seen: list[tuple[int, ...]] = []
    training.network.register_forward_pre_hook(lambda module, inputs: seen.append(tuple(inputs[0].shape)))
    training.train_step()
    assert seen == [(1, 1, 1, 16, 16)]


def test_a_checkpoint_of_other_settings_is_refused(data: PreparedData, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    PaperTraining(data, configuration(), SETTINGS, CPU).run(2, folder)
    with pytest.raises(ModelError, match="belongs to other data or settings"):
        PaperTraining(data, configuration(), replace(SETTINGS, dropout=0.2), CPU).run(4, folder)


def test_images_smaller_than_a_patch_and_no_multiple_of_the_stride_are_filled_up(tmp_path: Path) -> None:
    """Prepared cases lie on the disk, where nothing is read beyond the end of an image."""
    folder = BallDataset("Dataset001_ThinT1", shape=(5, 20, 14), patients=8).write(tmp_path)
    small = prepare_data([read_dataset(folder)], configuration(), RunFolder(tmp_path / "prepared"))
    case = small.training[0][0]
    stride = small.plan.architecture.total_stride
    assert any(n < SETTINGS.patch and n % step for n, step in zip(case.voxels.shape, stride, strict=True))
    patches = Patches([[case]], small.plan.architecture, SETTINGS, np.ones(1), 0)
    image, labels = patches.patch(0)
    assert all(n % step == 0 for n, step in zip(image.shape[2:], stride, strict=True))
    z, y, x = case.voxels.shape
    if all(n <= SETTINGS.patch for n in (z, y, x)):
        np.testing.assert_array_equal(image[0, 0, :z, :y, :x], np.asarray(case.voxels, dtype=np.float32))
    assert labels.shape == image.shape[1:]
    PaperTraining(small, configuration(), SETTINGS, CPU).train_step()


def test_images_of_several_channels_are_refused_by_name(tmp_path: Path) -> None:
    folder = ChannelDataset("Dataset009_Two", shape=(1, 16, 16)).write(tmp_path)
    with pytest.raises(DatasetError, match="Dataset009_Two has images of several channels"):
        train_paper_model([folder], tmp_path / "network.safetensors", configuration(), SETTINGS, 2)


def test_a_damaged_file_is_refused(trained: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(trained.read_bytes()[:-100])
    with pytest.raises(ModelError, match="cannot be read"):
        load_paper_model(cut)
