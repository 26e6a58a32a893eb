"""One network for one channel, two channels and regions: from folders to a model and back."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from MultiTaskSegLib.runtime.errors import DatasetError
from MultiTaskSegLib.runtime.model.manifest import LATER_FORMAT_VERSION, Manifest
from MultiTaskSegLib.runtime.model.model_file import load_model
from MultiTaskSegLib.runtime.predictor import Predictor
from Testing.trainer.channel_dataset import CHANNELS, ChannelDataset
from Testing.trainer.data.test_channels_and_regions import plan_of
from Testing.trainer.synthetic_dataset import BallDataset
from trainer.calibration.task_calibration import HeldOutCase, TaskCalibration
from trainer.config import TrainingConfig
from trainer.data.dataset import read_dataset
from trainer.data.patches import PatchGroup
from trainer.evaluation.evaluation import evaluate
from trainer.pretraining.finetune import finetune, start_from
from trainer.pretraining.initialization import initial_weights
from trainer.pretraining.pretrain import pretrain
from trainer.refitting.limit_refit import refit_limits
from trainer.refitting.recalibration import refit_calibration
from trainer.refitting.spectral_refit import refit_reference
from trainer.training.calibration_loss import marginal_ace_loss, region_ace_loss
from trainer.training.loss import absence_loss, masks_of, region_loss, soft_dice_loss
from trainer.training.optimization import Optimization
from trainer.training.train_model import train_model
from trainer.training.training import Budget

CONFIG = TrainingConfig(
    seed=1, channels=(4, 6), patches_per_group=2, groups_per_step=3, patch_voxels=1024, workers=0, warmup_steps=2,
    validations=1, minimum_validation_groups=2, threads=1, learning_rate=2e-2, ema_decay=0.8, measuring_share=0.0,
)  # fmt: skip
ONE = BallDataset("Dataset001_BallT1", shape=(6, 12, 12))
PAIR = ChannelDataset("Dataset010_Pair")
REGIONS = ChannelDataset("Dataset011_Regions", are_regions=True)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    parent = tmp_path_factory.mktemp("data")
    return [dataset.write(parent) for dataset in (PAIR, ONE, REGIONS)]


@pytest.fixture(scope="module")
def trained(folders: list[Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest]:
    path = tmp_path_factory.mktemp("model") / "joint.mts.safetensors"
    return path, train_model(folders, path, CONFIG, Budget(steps=30), stream=io.StringIO())


def test_the_file_says_which_channels_and_which_labels_overlap(trained: tuple[Path, Manifest]) -> None:
    manifest = load_model(trained[0]).manifest
    assert manifest.format_version == LATER_FORMAT_VERSION
    assert [task.inputs for task in manifest.tasks] == [CHANNELS, (), CHANNELS]
    assert [task.are_regions for task in manifest.tasks] == [False, False, True]
    assert manifest.stems == ((), CHANNELS)
    assert [label.value for label in manifest.tasks[2].labels] == [1, 2]
    for task in manifest.tasks:
        assert task.calibration["voxels"] > 0
        assert set(task.held_out_dice) == {label.name for label in task.labels}
    assert not manifest.tasks[2].single_component


def test_the_file_gives_the_dice_that_it_says(
    folders: list[Path], trained: tuple[Path, Manifest], tmp_path: Path
) -> None:
    path, manifest = trained
    summary = evaluate(path, folders, tmp_path, task="dataset", stream=io.StringIO())
    for task in manifest.tasks:
        assert summary[task.name]["dice"] == pytest.approx(task.held_out_dice, abs=1e-6)


def test_regions_are_found_in_full_though_the_label_map_shows_parts(
    folders: list[Path], trained: tuple[Path, Manifest]
) -> None:
    predictor = Predictor.load(trained[0], "cpu", "torch")
    case = read_dataset(folders[2], several=True).cases[0]
    result = predictor.segment(case.read_image(), REGIONS.name)
    assert result.regions is not None
    whole, core = result.regions
    np.testing.assert_array_equal(result.labels == 2, core)
    np.testing.assert_array_equal(result.labels == 1, whole & ~core)
    truth = REGIONS.case(0)[1] > 0
    assert 2 * (whole & truth).sum() / (whole.sum() + truth.sum()) > 0.6, "it has learnt something"


def test_without_the_name_of_the_task_only_tasks_of_two_channels_come_into_question(
    folders: list[Path], trained: tuple[Path, Manifest]
) -> None:
    predictor = Predictor.load(trained[0], "cpu", "torch")
    pair = predictor.check(read_dataset(folders[0], several=True).cases[0].read_image())
    one = predictor.check(read_dataset(folders[1]).cases[0].read_image())
    assert set(pair.distances) == {PAIR.name, REGIONS.name}
    assert set(one.distances) == {ONE.name}


def test_reference_and_temperatures_fitted_anew_are_those_of_the_training(
    folders: list[Path], trained: tuple[Path, Manifest], tmp_path: Path
) -> None:
    path, manifest = trained
    reference = refit_reference(path, folders, tmp_path / "r.mts.safetensors", stream=io.StringIO())
    assert reference.ood.threshold == pytest.approx(manifest.ood.threshold, rel=0.05)
    limits = refit_limits(tmp_path / "r.mts.safetensors", folders, tmp_path / "l.mts.safetensors", stream=io.StringIO())
    for whole, alone in zip(reference.ood.score_laws, limits.ood.score_laws, strict=True):
        assert alone.location == pytest.approx(whole.location, abs=1e-2)
    calibrated = refit_calibration(
        path, folders, tmp_path / "c.mts.safetensors", seed=CONFIG.seed, stream=io.StringIO()
    )
    for old, new in zip(manifest.tasks, calibrated.tasks, strict=True):
        assert new.temperature == pytest.approx(old.temperature, rel=1e-3)
        assert new.held_out_dice == pytest.approx(old.held_out_dice, abs=1e-6)


def test_finetuning_takes_over_the_stem_of_the_same_channels(
    folders: list[Path], trained: tuple[Path, Manifest], tmp_path: Path
) -> None:
    path, _ = trained
    pair = read_dataset(folders[0], several=True)
    plan = plan_of(pair, config=CONFIG)
    source = load_model(path).network.state_dict()
    weights = initial_weights(path, plan.architecture, stems=(CHANNELS,))
    assert torch.equal(weights["encoder.0.first.weight"], source["stems.0.first.weight"])
    assert torch.equal(weights["encoder.0.shortcut.bias"], source["stems.0.shortcut.bias"])
    assert torch.equal(weights["encoder.0.second.weight"], source["encoder.0.second.weight"])
    assert not any(name.startswith("stems") for name in weights)
    both = initial_weights(path, replace(plan.architecture, stems=(1, 2, 2)), stems=((), ("T2", "T1"), CHANNELS))
    assert torch.equal(both["encoder.0.first.weight"], source["encoder.0.first.weight"])
    assert torch.equal(both["stems.1.first.weight"], source["stems.0.first.weight"])
    assert "stems.0.first.weight" not in both, "nobody knows these channels"
    output = tmp_path / "tuned.mts.safetensors"
    # Patients of the first training are never held out, so others are needed.
    fresh = ChannelDataset("Dataset012_Others", patients=5).write(tmp_path)
    tuned = finetune(path, [fresh], output, replace(CONFIG, channels=()), Budget(steps=2), stream=io.StringIO())
    assert tuned.architecture.stems == (2,)
    assert tuned.tasks[0].inputs == CHANNELS


def test_a_stem_for_channels_that_the_model_does_not_know_is_never_frozen(
    folders: list[Path], trained: tuple[Path, Manifest]
) -> None:
    plan = plan_of(read_dataset(folders[0], several=True), config=CONFIG)
    (task,) = plan.tasks
    strange = replace(task, dataset=replace(task.dataset, inputs=("T2", "PD")))
    for tasks, is_trained in (((task,), False), ((strange,), True)):
        frozen = start_from(trained[0], replace(plan, tasks=tasks), "frozen-encoder")[0].frozen
        assert frozen is not None
        assert "encoder.0.second.weight".startswith(frozen(0.0))
        assert "encoder.0.first.weight".startswith(frozen(0.0)) is not is_trained


def random(shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_the_loss_of_regions_is_binary_cross_entropy_and_dice() -> None:
    logits = random((2, 3, 4, 5, 6))
    masks = random((2, 3, 4, 5, 6), 1) > 0.3
    masks[:, 2] = False
    shares, truth = torch.sigmoid(logits), masks.float()
    entropy = functional.binary_cross_entropy(shares, truth)
    dice = [
        2 * (shares[:, r] * truth[:, r]).sum() / (shares[:, r].sum() + truth[:, r].sum()) for r in range(2)
    ]  # of the third region there is no voxel
    expected = 0.7 * entropy + 1.5 * (1 - sum(dice) / 2)
    torch.testing.assert_close(region_loss(logits, masks, cross_entropy_weight=0.7, dice_weight=1.5), expected)
    nowhere = torch.zeros_like(masks)
    torch.testing.assert_close(
        region_loss(logits, nowhere), functional.binary_cross_entropy_with_logits(logits, 0 * truth)
    )


def test_one_region_has_the_losses_of_a_label_and_its_background() -> None:
    logits, labels = random((2, 1, 4, 5, 6)), (random((2, 4, 5, 6), 1) > 0).long()
    pair = torch.cat((torch.zeros_like(logits), logits), dim=1)
    masks = masks_of(labels, [(1,)])
    expected = functional.cross_entropy(pair, labels) + soft_dice_loss(pair, labels)
    torch.testing.assert_close(region_loss(logits, masks), expected)
    torch.testing.assert_close(region_ace_loss(logits, masks), marginal_ace_loss(pair, labels))
    torch.testing.assert_close(absence_loss([], logits, [logits]), absence_loss([pair], logits))


def test_masks_show_every_value_of_a_region() -> None:
    labels = torch.tensor([[[[0, 1, 2, 4]]]])
    found = masks_of(labels, [(1, 2, 4), (4,)])
    assert found[0, :, 0, 0].int().tolist() == [[0, 1, 1, 1], [0, 0, 0, 1]]


def test_one_region_is_calibrated_as_a_label_and_its_background() -> None:
    truth = np.zeros((6, 8, 8), dtype=np.uint8)
    truth[2:5, 2:6, 2:6] = 1
    logits = (6 * (truth - 0.5) + np.random.default_rng(0).normal(0, 3, truth.shape)).astype(np.float32)
    regions, labels = TaskCalibration(0), TaskCalibration(0)
    for group in "abc":
        regions.add(HeldOutCase(group, logits[None], truth[None]))
        labels.add(HeldOutCase(group, np.stack((np.zeros_like(logits), logits)), truth))
    assert regions.scaling() == labels.scaling()
    assert regions.figures() == labels.figures()


def test_a_step_teaches_its_own_stem_and_what_all_share(folders: list[Path]) -> None:
    pair, one = read_dataset(folders[0], several=True), read_dataset(folders[1])
    optimization = Optimization(plan_of(one, pair, config=CONFIG), replace(CONFIG, warmup_steps=0), torch.device("cpu"))
    before = {name: tensor.clone() for name, tensor in optimization.averaged_network().state_dict().items()}
    labels = (random((2, 2, 8, 8), 3) > 0).long()
    optimization.train_step([PatchGroup(1, random((2, 2, 2, 8, 8)).abs().clamp(0, 1), labels)], 0.0)
    network = optimization.network.state_dict()
    moved = {
        part: any(
            not torch.equal(
                tensor, Optimization(optimization.plan, CONFIG, torch.device("cpu")).network.state_dict()[name]
            )
            for name, tensor in network.items()
            if name.startswith(part)
        )
        for part in ("stems.0.", "encoder.0.first.", "encoder.0.second.", "decoder.0.")
    }
    assert moved == {"stems.0.": True, "encoder.0.first.": False, "encoder.0.second.": True, "decoder.0.": True}
    assert set(before) == set(optimization.averaged_network().state_dict())


def test_pretraining_takes_images_of_one_channel(folders: list[Path], tmp_path: Path) -> None:
    output = tmp_path / "p.mts.safetensors"
    for task in ("self-supervised", "segmentation"):
        with pytest.raises(DatasetError, match="channel"):
            pretrain(folders[:1], output, task, CONFIG, Budget(steps=1))  # type: ignore[arg-type]
    assert not output.exists()
