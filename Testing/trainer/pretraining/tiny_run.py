"""Settings and data of runs that take a second."""

from __future__ import annotations

from Testing.trainer.synthetic_dataset import BallDataset
from trainer.config import TrainingConfig

CONFIG = TrainingConfig(
    seed=1, channels=(4, 6, 8), patches_per_group=2, groups_per_step=1, patch_voxels=2048, workers=0, warmup_steps=2,
    validations=1, minimum_validation_groups=2, threads=1, learning_rate=1e-2, ema_decay=0.8, fit_matrix=16,
)  # fmt: skip
BALLS = {
    "2-D": BallDataset("Dataset005_Discs", shape=(1, 16, 16), patients=9),
    "3-D": BallDataset("Dataset006_Balls", shape=(8, 16, 16), patients=9),
}
