"""Labelled volumes of any number of classes, on which only the cost of training matters."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from Testing.bench.labelled_image import synthetic_voxels

PATIENTS = 6
# Regions that cannot hold each other's structures: every task is then asked for the absence of all others.
REGIONS = ("head", "neck", "chest", "heart", "abdomen", "pelvis", "leg", "arm")


def write_banded_dataset(parent: Path, number: int, labels: int, shape: tuple[int, int, int]) -> Path:
    """Write a dataset in nnU-Net v2 raw layout whose labels are bands along y, and return its folder.

    Args:
        parent: where to.
        number: of the dataset: name, region and noise depend on it.
        labels: how many beside the background.
        shape: ``(Z, Y, X)``.
    """
    folder = parent / f"Dataset{number:03d}_Bands"
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True)
    bands = np.arange(shape[1]) * (labels + 1) // shape[1]
    stored = np.broadcast_to(bands.astype(np.uint8)[None, :, None], shape)
    for case in range(PATIENTS):
        voxels = synthetic_voxels(shape, seed=1000 * number + case) + stored / (labels + 1)
        sitk.WriteImage(sitk.GetImageFromArray(voxels.astype(np.float32)), folder / f"imagesTr/case{case}_0000.nii.gz")
        sitk.WriteImage(sitk.GetImageFromArray(stored), folder / f"labelsTr/case{case}.nii.gz")
    description = {
        "channel_names": {"0": "T1"},
        "labels": {"background": 0, **{f"band{n}": n for n in range(1, labels + 1)}},
        "numTraining": PATIENTS,
        "file_ending": ".nii.gz",
        "anatomy": REGIONS[number % len(REGIONS)],
    }
    (folder / "dataset.json").write_text(json.dumps(description), encoding="utf-8")
    return folder
