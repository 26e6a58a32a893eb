"""A folder of small label maps: nested ellipsoids that are not alike left and right."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from trainer.synthesis.scan import ISOTROPIC, Scan

NUMBERS = (0, 2, 3, 41, 42, 24, 515, 511, 16)
NAMES = ("air", "left white", "left cortex", "right white", "right cortex", "fluid", "bone", "skin", "stem")
SPACING_MM = 4.0
EXTENT = (52, 60, 44)
IDENTITY = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


def head_array(seed: int) -> np.ndarray:
    """uint8 ``(Z, Y, X)``; X runs to the left."""
    rng = np.random.default_rng(seed)
    middle = np.array(EXTENT).reshape(3, 1, 1, 1) / 2 + rng.uniform(-1, 1, (3, 1, 1, 1))
    axes = (np.indices(EXTENT) - middle) / (np.array(EXTENT) / 2).reshape(3, 1, 1, 1)
    radius = np.sqrt((axes**2).sum(axis=0))
    labels = np.zeros(EXTENT, dtype=np.uint8)
    for limit, value in ((0.95, 7), (0.85, 6), (0.75, 5)):
        labels[radius < limit] = value
    left = axes[2] > 0
    # The right half of the white matter is smaller than the left.
    labels[radius < 0.7] = np.where(left, 2, 4)[radius < 0.7]
    labels[(radius < 0.5) & left] = 1
    labels[(radius < 0.35) & ~left] = 3
    labels[radius < 0.1] = 8
    return labels


def write_heads(parent: Path, count: int = 3, **said: object) -> Path:
    """Write the folder."""
    folder = parent / "heads"
    folder.mkdir()
    entries = [
        {"value": v, "freesurfer": n, "name": name} for v, (n, name) in enumerate(zip(NUMBERS, NAMES, strict=True))
    ]
    table = {
        "labels": entries,
        "licence": "CC0-1.0",
        "origin": "made by code",
        "released_weights_may_use": True,
        **said,
    }
    (folder / "labels.json").write_text(json.dumps(table), encoding="utf-8")
    for number in range(count):
        image = sitk.GetImageFromArray(head_array(number))
        image.SetSpacing((SPACING_MM,) * 3)
        sitk.WriteImage(image, str(folder / f"head_{number}.nii.gz"))
    return folder


MEANS = tuple(0.1 + 0.1 * value for value in range(len(NUMBERS)))


def still_scan(**changes: object) -> Scan:
    """Without anything that moves or spoils: every voxel shows the mean of its value."""
    nothing = tuple(0.0 for _ in NUMBERS)
    scan = Scan(
        "random", MEANS, nothing, IDENTITY, mirrored=False, centre_mm=(0.0, 0.0, 0.0), extent_mm=(200.0, 232.0, 168.0),
        spacing_mm=(SPACING_MM,) * 3, slice_axis=ISOTROPIC, elastic_mm=(0.0, 0.0), shows="head", bias=0.0, blur_mm=0.0,
        gamma=1.0, noise=0.0, is_rician=False, seed=5,
    )  # fmt: skip
    return replace(scan, **changes)  # type: ignore[arg-type]
