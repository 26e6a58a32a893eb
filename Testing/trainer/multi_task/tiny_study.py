"""A multi-task experiment that takes seconds: discs in three modalities, two of which show the same patients."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from Testing.trainer.synthetic_dataset import BallDataset
from Testing.trainer.transfer.tiny_matrix import SHAPE, TRAINING

T1, FLAIR, ULTRASOUND, CT = "Dataset001_DiscT1", "Dataset002_LesionFLAIR", "Dataset003_DiscUS", "Dataset004_RingCT"
DATASETS = (T1, FLAIR, ULTRASOUND, CT)
SHORT_ARMS = """
[[multi_task.arms]]
name = "dedicated"
kind = "dedicated"

[[multi_task.arms]]
name = "transfer"
kind = "transfer"
source = "others"

[[multi_task.arms]]
name = "shared"
kind = "joint"
head = "shared_foreground"

[[multi_task.arms]]
name = "joint"
kind = "joint"

[[multi_task.arms]]
name = "joint-finetuned"
kind = "joint_finetuned"
"""
PAPER_ARM = """
[[multi_task.arms]]
name = "paper"
kind = "joint"
head = "shared_foreground"
network = "paper"

[multi_task.paper]
channels = [2, 4, 8]
patch = 16
validation_interval = 3
learning_rate = 1e-3
"""


def write_data(root: Path) -> None:
    """Four datasets; the first two show the same patients, the last has two labels."""
    for name, patients, modality, prefix, values in (
        (T1, 10, "T1", "patient_", (1,)),
        (FLAIR, 12, "FLAIR", "patient_", (1,)),
        (ULTRASOUND, 11, "ultrasound", "volunteer_", (1,)),
        (CT, 9, "CT", "ct_", (1, 2)),
    ):
        dataset = BallDataset(name, shape=SHAPE, patients=patients, modality=modality, label_values=values)
        cases = dataset.write(root) / "cases.csv"
        cases.write_text(cases.read_text().replace("patient_", prefix))
    foreign = root / "foreign"
    foreign.mkdir()
    for number in range(3):
        noise = np.random.default_rng(number).integers(0, 255, (16, 16)).astype(np.uint8)
        sitk.WriteImage(sitk.GetImageFromArray(noise), str(foreign / f"noise_{number}.png"))


def write_config(
    path: Path,
    *,
    arms: str = SHORT_ARMS,
    more: str = "",
    seeds: str = "[0, 1]",
    labelled: str = "[4, 0]",
    data: Sequence[str] = DATASETS,
) -> Path:
    """The configuration file beside the data."""
    path.write_text(
        f"""{TRAINING}
[multi_task]
title = "Tiny study"
data_root = "data"
data = ["{'", "'.join(data)}"]
lesions = ["{FLAIR}"]
labelled_groups = {labelled}
seeds = {seeds}
steps = 4
finetune_steps = 2
foreign = ["foreign"]
foreign_images = 2
{more}
{arms}"""
    )
    return path
