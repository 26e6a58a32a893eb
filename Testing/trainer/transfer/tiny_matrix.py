"""A transfer experiment that takes seconds: discs of two sizes as domains."""

from __future__ import annotations

from pathlib import Path

from Testing.trainer.layout.written import noise, write_picture
from Testing.trainer.synthetic_dataset import BallDataset

TRAINING = """
channels = [4, 6, 8]
patches_per_group = 2
groups_per_step = 1
patch_voxels = 2048
workers = 0
warmup_steps = 2
validations = 1
minimum_validation_groups = 2
threads = 1
learning_rate = 1e-2
ema_decay = 0.8
fit_matrix = 16
"""
SHAPE = (1, 16, 16)


def write_data(root: Path) -> None:
    """Two targets that share patients with one source, another source, and photographs of two classes."""
    for name, patients, modality in (
        ("Dataset001_LesionT1", 8, "T1"),
        ("Dataset002_LesionFLAIR", 9, "FLAIR"),
        ("Dataset003_DiscUS", 8, "ultrasound"),
    ):
        BallDataset(name, shape=SHAPE, patients=patients, modality=modality).write(root)
    cases = root / "Dataset003_DiscUS" / "cases.csv"
    cases.write_text(cases.read_text().replace("patient_", "volunteer_"))
    for number, name in enumerate(("cat", "dog")):
        for index in range(5):
            write_picture(root / "photos" / name / f"{index}.png", noise(10 * number + index, (16, 16, 3)))


def write_config(path: Path, seeds: str = "[0, 1]", sources: str = "", training: str = TRAINING) -> Path:
    """The configuration file beside the data."""
    path.write_text(
        f"""{training}
[transfer]
title = "Tiny matrix"
data_root = "data"
seeds = {seeds}
pretrain_steps = 3
finetune_steps = 3
images_to_predict = 4

[[transfer.targets]]
name = "lesion"
domain = "T1 brain MRI"
data = "Dataset001_LesionT1"
lesions = true
labelled_cases = 4

[[transfer.sources]]
name = "flair-seg"
task = "segmentation"
domain = "T1 brain MRI"
data = ["Dataset002_LesionFLAIR"]

[[transfer.sources]]
name = "photo-class"
task = "classification"
domain = "natural images"
data = ["photos"]
{sources}"""
    )
    return path


SELF_SUPERVISED = """
[[transfer.sources]]
name = "us-self"
task = "self-supervised"
domain = "ultrasound"
data = ["Dataset003_DiscUS"]
pretexts = ["denoising"]
"""
