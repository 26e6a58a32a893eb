"""Training on label maps: patches from their number alone, resumable to the bit, measured on images drawn once."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from MultiTaskSegLib.runtime.errors import UsageError
from Testing.trainer.synthesis.head_folder import MEANS, still_scan, write_heads
from trainer.config import TrainingConfig
from trainer.data import patches
from trainer.data.case_cache import PreparedCase
from trainer.data.dataset import Dataset, read_dataset
from trainer.data.patches import PatchGroups
from trainer.data.planning import make_plan
from trainer.report.run_folder import RunFolder
from trainer.synthesis import label_map_layout, reader
from trainer.training import training
from trainer.training.optimization import Optimization
from trainer.training.train_model import train_model
from trainer.training.training import Budget, PreparedData, StepTime, prepare_data, train

CONFIG = TrainingConfig(
    seed=1, channels=(3, 4), patches_per_group=1, groups_per_step=1, spacing_mm=(16.0, 16.0, 16.0),
    patch_zyx=(8, 12, 9), workers=0, warmup_steps=1, validations=1, validation_cases=2, minimum_validation_groups=1,
    threads=1, foreground_fraction=0.5, measuring_share=0.0,
)  # fmt: skip


@pytest.fixture(autouse=True)
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images of a few thousand voxels, and few of them."""
    for module in (reader, patches):
        monkeypatch.setattr(module, "FINEST_MM", 10.0)
    monkeypatch.setattr(label_map_layout, "IMAGES_PER_MAP", 2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(f"{write_heads(tmp_path, 4)}::brain")


@pytest.mark.parametrize("change", [{"spacing_mm": (4.0, 4.0)}, {"patch_zyx": (8, 0, 8)}])
def test_a_grid_without_three_axes_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="Give three positive numbers"):
        make_plan([], replace(CONFIG, **change))


def groups(dataset: Dataset) -> PatchGroups:
    nothing = np.zeros((8, 12, 9), dtype=np.float16)
    cases = [PreparedCase(case, nothing, nothing, {}) for case in dataset.cases]
    return PatchGroups(make_plan([dataset], CONFIG).tasks, [cases], CONFIG)


def test_settings_decide_grid_and_patch(folder: Path) -> None:
    (task,) = make_plan([read_dataset(folder)], CONFIG).tasks
    assert task.profile.spacing_zyx_mm == (16.0, 16.0, 16.0)
    assert task.patch_zyx == (8, 12, 10)  # up to what the network divides


def test_a_patch_depends_on_nothing_but_seed_and_number_and_no_two_show_the_same_image(folder: Path) -> None:
    first, second = groups(read_dataset(folder)), groups(read_dataset(folder))
    patches = [first[number] for number in range(6)]
    assert all(patch.images.shape == (1, 1, 8, 12, 10) for patch in patches)
    for number in (4, 1):
        again = second[number]
        assert torch.equal(again.images, patches[number].images)
        assert torch.equal(again.labels, patches[number].labels)
    assert all(not torch.equal(a.images, b.images) for a in patches for b in patches if a is not b)
    assert any(patch.labels.any() for patch in patches)


def test_beyond_the_image_a_patch_is_black_and_background(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = still_scan(extent_mm=(80.0, 96.0, 64.0), means=tuple(1.0 + m for m in MEANS))
    monkeypatch.setattr(reader, "draw_scan", lambda rng, numbers: small)
    patch = groups(read_dataset(folder))[0]
    # 5 x 6 x 4 voxels of 16 mm lie somewhere in the patch; the darkest of them are black, too.
    found = np.argwhere(patch.images[0, 0].numpy() > 0)
    assert (found.max(axis=0) - found.min(axis=0) < (5, 6, 4)).all()
    assert patch.labels.sum() > 0
    labelled = np.argwhere(patch.labels[0].numpy() > 0)
    assert (labelled.max(axis=0) - labelled.min(axis=0) < (5, 6, 4)).all()
    assert (labelled.min(axis=0) >= found.min(axis=0) - 1).all()
    assert float(patch.images.max()) == 1.0


class PowerCut(Exception):
    """The run ends without warning."""


def trained(data: PreparedData, folder: RunFolder, cut_after: int = 0) -> list[torch.Tensor]:
    """Weights after six steps; of a run that is cut off and taken up again, after a checkpoint at each step."""

    def watch(optimization: Optimization, time: StepTime) -> None:
        if optimization.step == cut_after + 1:
            raise PowerCut

    how = {"device": torch.device("cpu"), "stream": io.StringIO()}
    if cut_after:
        with pytest.raises(PowerCut):
            train(data, CONFIG, Budget(steps=6), folder, resume=False, watch=watch, **how)  # type: ignore[arg-type]
    done = train(data, CONFIG, Budget(steps=6), folder, resume=cut_after > 0, **how)  # type: ignore[arg-type]
    return [parameter.detach().clone() for parameter in done.network.parameters()]


def test_a_resumed_training_is_equal_to_an_uninterrupted_one_to_the_bit(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "CHECKPOINT_INTERVAL_S", -1.0)
    data = prepare_data([read_dataset(folder)], CONFIG, RunFolder(tmp_path / "a.mts.safetensors"), io.StringIO())
    whole = trained(data, RunFolder(tmp_path / "whole.mts.safetensors"))
    resumed = trained(data, RunFolder(tmp_path / "cut.mts.safetensors"), cut_after=3)
    assert all(torch.equal(a, b) for a, b in zip(whole, resumed, strict=True))


def test_a_model_is_trained_measured_and_held_out_by_map(folder: Path, tmp_path: Path) -> None:
    manifest = train_model([folder], tmp_path / "m.mts.safetensors", CONFIG, Budget(steps=2), stream=io.StringIO())
    (task,) = manifest.tasks
    assert [label.name for label in task.labels] == ["brain"]
    assert task.training_cases == 6
    assert task.held_out_cases == 2
    assert 0 <= task.held_out_dice["brain"] <= 1
    (generation,) = manifest.training["provenance"]
    assert len(generation["labelled"]["heads_brain"]) == 3
    assert len(generation["held_out"]["heads_brain"]) == 1
