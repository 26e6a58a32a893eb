"""Voxels that are no numbers: few are mended with a warning and hardly change the result, many are refused."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.runtime.image.image_file import read_image
from MultiTaskSegLib.runtime.predictor import Predictor
from Testing.hostile.campaign.trial import Broken, Ground, ListedTrial, require
from Testing.runtime.tiny_model import write_tiny_model

SHAPE = (20, 24, 28)
VALUES = {"NaN": np.nan, "+Inf": np.inf, "-Inf": -np.inf}
# Share of the voxels, and whether it is mended; one voxel in 13 440 is less than 0.1 %.
SHARES = {"one": (1 / 13440, True), "0.1 %": (0.00095, True), "0.2 %": (0.002, False), "half": (0.5, False)}
ENDINGS = ("nii.gz", "nrrd", "mha")
PLACES = range(5)


def ball() -> np.ndarray:
    """float32 ``(Z, Y, X)``: a ball in noise."""
    z, y, x = (np.linspace(-1, 1, count) for count in SHAPE)
    inside = z[:, None, None] ** 2 + y[:, None] ** 2 + x**2 < 0.4
    return (100 + 200 * inside + np.random.default_rng(2).normal(0, 10, SHAPE)).astype(np.float32)


@cache
def predictor(path: Path) -> Predictor:
    """The tiny model, loaded once."""
    return Predictor.load(path, "cpu")


def dice(first: np.ndarray, second: np.ndarray) -> float:
    """Mean over the labels that either has."""
    values = np.union1d(np.unique(first), np.unique(second))
    found = [
        2.0 * ((first == v) & (second == v)).sum() / ((first == v).sum() + (second == v).sum()) for v in values if v
    ]
    return float(np.mean(found)) if found else 1.0


def attempt(case: str, ground: Ground) -> None:
    """``VALUE, SHARE, FORMAT, SEED``."""
    value, share, ending, seed = case.split(", ")
    part, is_mended = SHARES[share]
    voxels = ball()
    count = max(1, round(part * voxels.size))
    places = np.random.default_rng(int(seed)).choice(voxels.size, count, replace=False)
    voxels.reshape(-1)[places] = VALUES[value]
    path = ground.folder / f"image.{ending}"
    sitk.WriteImage(sitk.GetImageFromArray(voxels), str(path))
    model = predictor(ground.once("tiny.mts.safetensors", write_tiny_model))
    try:
        image = read_image(path)
    except InputError as refused:
        require(not is_mended, f"refused: {refused}")
        require("NaN or infinite" in str(refused), f"says {refused}")
        return
    if not is_mended:
        raise Broken("used, although so many voxels are no numbers")
    require(any(f"{count} NaN or infinite" in text for text in image.warnings), f"warnings: {image.warnings}")
    task = model.manifest.tasks[0].name
    clean = ground.folder / "clean.nrrd"
    sitk.WriteImage(sitk.GetImageFromArray(ball()), str(clean))
    expected = model.segment(read_image(clean), task).labels
    found = model.segment(image, task).labels
    require(expected.any(), "the clean image has no structure to compare")
    require(np.isfinite(image.voxels).all(), "voxels that are no numbers are left")
    least = 0.99 if share == "one" else 0.9
    require(dice(found, expected) >= least, f"Dice with the clean image {dice(found, expected):.3f} below {least}")


NON_FINITE = ListedTrial(
    "non_finite",
    "voxels that are NaN or infinite: one, 0.1 %, 0.2 %, half of them",
    "one: Dice with the clean image at least 0.99; up to 0.1 %: mended with a warning; more: refused",
    tuple(f"{v}, {s}, {e}, {seed}" for v in VALUES for s in SHARES for e in ENDINGS for seed in PLACES),
    attempt,
)
