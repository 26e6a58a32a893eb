"""The whole loop in one: an image is segmented, corrected, kept, trained on, and segmented better."""

from __future__ import annotations

import io

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")

from MultiTaskSegLib.correction.corrected_segment import corrected_segments
from MultiTaskSegLib.learning import shared_training
from MultiTaskSegLib.runtime.model.model_card import model_card
from MultiTaskSegLib.runtime.model.model_file import read_manifest
from MultiTaskSegLib.runtime.model.model_list import listed_models
from Testing.trainer.pretraining.tiny_run import CONFIG
from Testing.trainer.synthetic_dataset import BallDataset
from trainer.metrics.overlap import dice
from trainer.training.train_model import train_model
from trainer.training.training import Budget
from trainer.verification.verify import run_verify

BALLS = BallDataset("Dataset007_Balls", shape=(8, 16, 16), patients=7)
SETTINGS = """
seed = 2
patches_per_group = 2
groups_per_step = 1
patch_voxels = 2048
workers = 0
warmup_steps = 2
validations = 2
minimum_validation_groups = 2
threads = 1
learning_rate = 1e-2
ema_decay = 0.8
fit_matrix = 16
"""


def segmented(logic, volume, model) -> tuple[object, np.ndarray]:
    result = logic.segment(volume, model=model)
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(result.segmentation, "part1", volume)
    return result, mask > 0


def test_a_correction_makes_the_model_better_on_its_image(open_panel, models, tmp_path):
    folder, start = BALLS.write(tmp_path), tmp_path / "start.mts.safetensors"
    train_model([folder], start, CONFIG, Budget(steps=2), stream=io.StringIO())
    (tmp_path / "settings.toml").write_text(SETTINGS)
    logic = open_panel("MultiTaskSeg").logic
    voxels, labels = BALLS.case(20)
    volume = slicer.util.addVolumeFromArray(voxels, ijkToRAS=np.diag([-1.0, -1.0, 1.0, 1.0]), name="new patient")

    result, before = segmented(logic, volume, start)
    slicer.util.updateSegmentBinaryLabelmapFromArray(labels, result.segmentation, "part1", volume)
    assert logic.correctedSegments(result.segmentation) == ["part1"] == corrected_segments(result.segmentation)
    added = logic.addToDataset(result.segmentation, folder)
    assert (added.cases, added.is_new) == (("new_patient",), False)
    assert run_verify([folder], lambda _line: None) == 0
    try:
        run = logic.train(folder, result.segmentation, steps=40, config=tmp_path / "settings.toml")
        assert logic.currentTraining() is run
        model = run.result()
        measured = run.dice
    finally:
        shared_training.forget_training()
    _, after = segmented(logic, volume, model)
    assert dice(after, labels > 0) > max(0.7, dice(before, labels > 0) + 0.2)
    assert len(measured) == 2  # as it went
    assert [entry.path for entry in listed_models() if entry.path.parent == models] == [model]
    manifest, _digest = read_manifest(model)
    assert manifest.training["finetuning"]["model"] == "start"
    assert "part1" in model_card(manifest, "x")
