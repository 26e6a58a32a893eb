"""A tiny model and datasets whose truth is what the model answers, under other label numbers than the model's."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from MultiTaskSegLib.runtime.image.image_file import read_image
from MultiTaskSegLib.runtime.model.model_file import read_manifest, rewrite_manifest
from MultiTaskSegLib.runtime.predictor import Predictor
from Testing.runtime.tiny_model import write_tiny_model
from Testing.trainer.seen_groups import trained_on

BALLS, CUBES = "Dataset001_Balls", "Dataset002_Cubes"
# The model's own numbers are 1 and 2.
NUMBERS = {"left_ball": 7, "right_ball": 3}
HELD_OUT = ("p1", "p3")


def write_model(path: Path) -> Path:
    """A tiny model that says to have been trained on patients p0 to p9, but for two."""
    manifest = read_manifest(write_tiny_model(path))[0]
    seen = {BALLS: [f"p{n}" for n in range(10) if f"p{n}" not in HELD_OUT], CUBES: ["q1", "q2"]}
    rewrite_manifest(path, replace(manifest, training=dict(manifest.training) | trained_on(seen)), path)
    return path


def write_answers(
    model: Path, folder: Path, groups: Sequence[str], split: str = "imagesTr", extra: str = "", seed: int = 0
) -> Path:
    """Images of noise with the model's own answer as truth, one per group; add to what is there.

    Args:
        model: that answers.
        folder: of the dataset; its name need not be a task's.
        groups: patients; a case is named after its patient.
        split: sub-folder of the images.
        extra: name of a label that the model does not know, drawn over a corner of each image.
        seed: of the noise.
    """
    predictor = Predictor.load(model, "cpu")
    labels_folder = folder / split.replace("images", "labels")
    for part in (folder / split, labels_folder):
        part.mkdir(parents=True, exist_ok=True)
    for number, group in enumerate(groups):
        rng = np.random.default_rng([seed, number])
        image = sitk.GetImageFromArray(rng.normal(100, 30, (8, 16, 16)).astype(np.float32))
        image.SetSpacing((2.0, 2.0, 2.0))
        path = folder / split / f"{group}_0000.nii.gz"
        sitk.WriteImage(image, str(path))
        answer = predictor.segment(read_image(path), BALLS).labels
        truth = np.select([answer == 1, answer == 2], list(NUMBERS.values())).astype(np.uint8)
        if extra:
            truth[0, 0, :2] = 9
        drawn = sitk.GetImageFromArray(truth)
        drawn.CopyInformation(image)
        sitk.WriteImage(drawn, str(labels_folder / f"{group}.nii.gz"))
    labels = {"background": 0, **NUMBERS, **({extra: 9} if extra else {})}
    info = {"channel_names": {"0": "T1"}, "labels": labels, "numTraining": len(groups), "file_ending": ".nii.gz"}
    (folder / "dataset.json").write_text(json.dumps(info), encoding="utf-8")
    return folder
