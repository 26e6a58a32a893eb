"""Every command that computes runs on a card: no operation ever meets tensors of two devices.

The card is a pretended one, see `pretended_card`: everything else is real, from the words of the command to its files.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from torch import nn

from MultiTaskSegLib.runtime.model.model_file import read_manifest
from Testing.trainer.layout.written import noise, write_picture
from Testing.trainer.pretended_card import CARD, pretended_card
from Testing.trainer.synthetic_dataset import BallDataset
from trainer import cli
from trainer.config import read_config
from trainer.report import report
from trainer.transfer.steps import finetune_target, predict_gain, pretrain_source

DISCS = BallDataset("Dataset001_Discs", shape=(1, 16, 16), patients=6)
OTHERS = BallDataset("Dataset002_Others", shape=(1, 16, 16), patients=6, contrast=-80.0, region="chest")
TINY = """
# Autocast asks the driver, which is not there.
precision = "float32"
channels = [4, 6]
patches_per_group = 1
groups_per_step = 1
workers = 0
threads = 1
fit_matrix = 16
validations = 1
minimum_validation_groups = 2
deep_supervision = true
calibration_weight = 0.1
ood_layers = ["encoder0"]
"""
TWO_STAGE = """
[two_stage]
pretexts = ["orientation"]
steps = 2
pretraining_steps = 2
validation_groups = 2
student_start = "best-teacher"
student_views = "perturbed"
teacher_weights = "per-class"
[auxiliary]
images_per_step = 2
"""


@pytest.fixture(scope="module", autouse=True)
def card() -> Iterator[None]:
    """For everything in this file."""
    # Pictures are not drawn on the card, and take longer than all the rest.
    with pretended_card(), mock.patch.object(report, "png_bytes", return_value=b""):
        yield


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data, configuration, and what the commands write."""
    room = tmp_path_factory.mktemp("card")
    for dataset in (DISCS, OTHERS):
        dataset.write(room)
    for number in range(2):
        write_picture(room / "foreign" / f"{number}.png", noise(number, (16, 16)))
    (room / "tiny.toml").write_text(TINY, encoding="utf-8")
    (room / "two.toml").write_text(TINY + TWO_STAGE, encoding="utf-8")
    return room


@pytest.fixture(scope="module")
def model(room: Path) -> Path:
    """Trained on the card, and trained on from its checkpoint."""
    data = ["--data", str(room / DISCS.name), str(room / OTHERS.name)]
    words = ["train", *data, "-o", str(room / "m.mts.safetensors"), "--config", str(room / "tiny.toml")]
    assert cli.main([*words, "--steps", "1"]) == 0
    assert cli.main([*words, "--steps", "2", "--resume"]) == 0
    return room / "m.mts.safetensors"


def test_operations_on_both_devices_are_refused_and_copies_allowed() -> None:
    layer, image = nn.Conv3d(1, 2, 3).to(torch.device("cuda")), torch.rand(1, 1, 3, 3, 3)
    answer = layer(image.to(CARD))
    answer.sum().backward()
    assert answer.device == layer.weight.device == CARD
    assert layer.weight.grad is not None
    assert layer.weight.grad.device == CARD
    with pytest.raises(RuntimeError, match="same device"):
        layer(image)
    with pytest.raises(RuntimeError, match="same device"):
        answer + torch.zeros(3)
    with pytest.raises(RuntimeError, match="generator"):
        torch.rand(3, generator=torch.Generator(CARD))
    with pytest.raises(TypeError, match=r"cpu\(\)"):
        np.asarray(answer.detach())
    assert np.asarray(answer.detach().cpu()).shape == (1, 2, 1, 1, 1)
    assert torch.zeros(3).copy_(torch.ones(3).to(CARD)).device == torch.device("cpu")


def test_training_takes_the_card(model: Path) -> None:
    assert read_manifest(model)[0].training["device"] == "cuda"


@pytest.mark.parametrize(
    "words",
    [
        ["evaluate", "-o", "{room}/evaluated"],
        ["reference", "-o", "{room}/reference.mts.safetensors"],
        ["calibrate", "-o", "{room}/calibrated.mts.safetensors"],
        ["experiment", "calibration", "-o", "{room}/calibration", "--passes", "1", "--ensemble", "{model}"],
        ["experiment", "localisation", "--ood", "{room}/foreign", "-o", "{room}/places.json", "--images", "1"],
    ],
    ids=lambda words: " ".join(words[: 1 + (words[0] == "experiment")]),
)
def test_a_finished_model_is_used_on_the_card(model: Path, room: Path, words: list[str]) -> None:
    filled = [word.format(room=room, model=model) for word in words]
    data = ["--data", str(room / DISCS.name), str(room / OTHERS.name)]
    assert cli.main([*filled, "-m", str(model), *data]) == 0


def test_the_benchmark_runs_on_the_card(model: Path, room: Path) -> None:
    known, foreign = [str(room / DISCS.name), str(room / OTHERS.name)], str(room / "foreign")
    words = ["ood-benchmark", "-m", str(model), "--in", *known, "--ood", foreign, "-o", str(room / "benchmark")]
    assert cli.main([*words, "--families", "real", "--passes", "2", "--ensemble", str(model)]) == 0


@pytest.mark.parametrize(
    "words",
    [["self-supervised", "--pretexts", "orientation"], ["self-supervised"], ["classification"]],
    ids=["encoder alone", "all pretext tasks", "classification"],
)
def test_pre_training_runs_on_the_card(room: Path, tmp_path: Path, words: list[str]) -> None:
    """Where no pretext task trains the decoder, the encoder is rescaled in the end."""
    data = ["--data", str(room / DISCS.name), str(room / OTHERS.name), "-o", str(tmp_path / "m.mts.safetensors")]
    assert cli.main(["pretrain", "--task", *words, *data, "--config", str(room / "tiny.toml"), "--steps", "1"]) == 0


def test_fine_tuning_and_a_recommendation_run_on_the_card(model: Path, room: Path, tmp_path: Path) -> None:
    data = ["--data", str(room / DISCS.name)]
    words = ["finetune", "-m", str(model), *data, "-o", str(tmp_path / "tuned.mts.safetensors"), "--steps", "1"]
    assert cli.main([*words, "--strategy", "gradual", "--config", str(room / "tiny.toml")]) == 0
    assert cli.main(["recommend", *data, "--models", str(model), "--images", "1"]) == 0


def test_two_stage_learning_runs_on_the_card(room: Path) -> None:
    words = ["two-stage", "--data", str(room / DISCS.name), "--unlabelled", str(room / OTHERS.name), "--labelled", "2"]
    assert cli.main([*words, "-o", str(room / "student.mts.safetensors"), "--config", str(room / "two.toml")]) == 0


def test_the_runs_of_a_transfer_experiment_run_on_the_card(room: Path, tmp_path: Path) -> None:
    training = read_config(room / "tiny.toml").as_dict()
    target = {"data": str(room / DISCS.name), "training": training}
    source = {"data": [str(room / OTHERS.name)], "excluded_groups": [[]], "training": training, "pretexts": []}
    folders = [tmp_path / name for name in ("source", "target", "gain")]
    for folder in folders:
        folder.mkdir()
    pretrain_source(source | {"task": "segmentation", "steps": 1}, folders[0], {})
    options = {"strategy": "all", "labelled_cases": 0, "lesions": True, "steps": 1}
    assert finetune_target(target | options, folders[1], {"source": folders[0]})["cases"] == 2
    facts = {"source_task": "segmentation", "source_data": source["data"], "images": 2}
    assert predict_gain(target | facts, folders[2], {"source": folders[0]})["images"] == 2
