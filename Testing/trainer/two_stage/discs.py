"""Pictures of discs, some without one, and settings of runs that take a second."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from Testing.trainer.synthetic_dataset import BallDataset
from trainer.config import TrainingConfig
from trainer.pretraining.auxiliary_config import AuxiliaryConfig
from trainer.two_stage.settings import Settings, TwoStageConfig

TARGET = BallDataset("Dataset011_Discs", shape=(1, 16, 16), patients=16)
OTHER = BallDataset("Dataset012_Holes", shape=(1, 16, 16), patients=4, contrast=-80.0)
SOLID = BallDataset("Dataset013_Balls", shape=(6, 16, 16), patients=4)
SETTINGS = Settings(
    TrainingConfig(
        seed=0, channels=(4, 6), patches_per_group=2, groups_per_step=1, workers=0, warmup_steps=2, validations=1,
        threads=1, learning_rate=1e-2, ema_decay=0.8, fit_matrix=16, ood_layers=("encoder0", "encoder1"),
    ),
    AuxiliaryConfig(images_per_step=3),
    TwoStageConfig(pretexts=("denoising", "orientation"), steps=4, pretraining_steps=3, validation_groups=2),
)  # fmt: skip


def write_target(parent: Path, empty: int = 3) -> Path:
    """The target; every ``empty``-th picture has neither disc nor label."""
    folder = TARGET.write(parent)
    for number in range(0, TARGET.patients, empty):
        rng = np.random.default_rng(number)
        blank = rng.normal(TARGET.offset, 10, TARGET.shape).astype(np.int16)
        sitk.WriteImage(sitk.GetImageFromArray(blank), str(folder / "imagesTr" / f"case_{number:02d}_0000.nii.gz"))
        nothing = np.zeros(TARGET.shape, dtype=np.uint8)
        sitk.WriteImage(sitk.GetImageFromArray(nothing), str(folder / "labelsTr" / f"case_{number:02d}.nii.gz"))
    return folder


def write_run(folder: Path, positives: float | None, empty_rule: float) -> Path:
    """A folder as a finished run leaves it, with one label."""
    folder.mkdir(parents=True)
    validation = {
        "dice_positives_only": positives,
        "dice_empty_rule": empty_rule,
        "by_label": {"part1": {"dice_positives_only": positives, "dice_empty_rule": empty_rule}},
    }
    content = {"metrics": {"validation": validation}}
    (folder / "metrics.json").write_text(json.dumps(content), encoding="utf-8")
    return folder
