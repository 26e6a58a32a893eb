"""Changes of an image that do not change what it shows: the labels and the verdict stay what they were."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from MultiTaskSegLib.runtime.image.image_file import read_image
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.predictor import Predictor
from Testing.hostile.campaign.trial import Ground, ListedTrial, require
from Testing.hostile.nifti_bytes import nifti_bytes
from Testing.runtime.orientation import axis_matrices, grid
from Testing.runtime.test_reoriented_copies import arrange, stored_as
from Testing.runtime.tiny_model import write_tiny_model

SHAPE, AIR = (12, 14, 16), -5
SEEDS = 10
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def image(seed: int) -> Volume:
    """Whole numbers in air, on an oblique grid."""
    rng = np.random.default_rng(seed)
    voxels = np.full(SHAPE, AIR, np.float32)
    voxels[1:-1, 1:-1, 1:-1] = rng.normal(200, 40, tuple(n - 2 for n in SHAPE)).round()
    return Volume(voxels, grid(np.eye(3), (10.0, 0.0, 20.0), (1.5, 1.5, 2.5)), "image")


def moved(volume: Volume, _: Path, seed: int) -> Volume:
    """Elsewhere in the world."""
    matrix = volume.ijk_to_lps.copy()
    matrix[:3, 3] += np.random.default_rng(seed).uniform(-500, 500, 3)
    return Volume(volume.voxels, matrix, volume.name)


def flipped(volume: Volume, _: Path, seed: int) -> Volume:
    """Stored along other axes."""
    return stored_as(volume, axis_matrices()[7 * seed % 48])


def scaled(volume: Volume, _: Path, seed: int) -> Volume:
    """Another unit of the intensities; powers of two, so that no digit is lost."""
    return Volume(volume.voxels * 2.0 ** (seed % 7 - 3) + 128.0, volume.ijk_to_lps, volume.name)


def padded(volume: Volume, _: Path, seed: int) -> Volume:
    """More air around."""
    before = np.random.default_rng(seed).integers(0, 9, 3)
    voxels = np.pad(volume.voxels, [(int(n), 3) for n in before], constant_values=AIR)
    matrix = volume.ijk_to_lps.copy()
    matrix[:3, 3] -= matrix[:3, :3] @ before[::-1]
    return Volume(voxels, matrix, volume.name)


def stored(ending: str) -> Callable[[Volume, Path, int], Volume]:
    """Written and read in a format."""

    def change(volume: Volume, folder: Path, _: int) -> Volume:
        path = folder / f"image.{ending}"
        grid_of = sitk.GetImageFromArray(volume.voxels)
        spacing_mm = np.linalg.norm(volume.ijk_to_lps[:3, :3], axis=0)
        grid_of.SetSpacing(spacing_mm.tolist())
        grid_of.SetDirection((volume.ijk_to_lps[:3, :3] / spacing_mm).ravel().tolist())
        grid_of.SetOrigin(volume.ijk_to_lps[:3, 3].tolist())
        sitk.WriteImage(grid_of, str(path))
        return read_image(path)

    return change


def described(volume: Volume, folder: Path, seed: int) -> Volume:
    """Free words in the header, another type of voxels, big-endian, compressed."""
    content = bytearray(
        nifti_bytes(volume.voxels.astype("<i2"), LPS_TO_RAS @ volume.ijk_to_lps, byte_order="<>"[seed % 2])
    )
    content[148:252] = np.random.default_rng(seed).integers(32, 126, 104).astype(np.uint8).tobytes()
    path = folder / "image.nii.gz"
    path.write_bytes(gzip.compress(bytes(content)))
    return read_image(path)


CHANGES: dict[str, Callable[[Volume, Path, int], Volume]] = {
    "moved": moved,
    "flipped": flipped,
    "scaled": scaled,
    "padded": padded,
    "as nrrd": stored("nrrd"),
    "as mha": stored("mha"),
    "as nii": stored("nii"),
    "header changed": described,
}


@cache
def predictor(path: Path) -> Predictor:
    """The tiny model."""
    return Predictor.load(path, "cpu")


def attempt(case: str, ground: Ground) -> None:
    """``CHANGE #SEED``."""
    name, _, seed = case.partition(" #")
    model = predictor(ground.once("tiny.mts.safetensors", write_tiny_model))
    plain = image(int(seed))
    changed = CHANGES[name](plain, ground.folder, int(seed))
    expected, found = model.segment(plain), model.segment(changed)
    labels = found.labels
    if name == "padded":
        before = np.random.default_rng(int(seed)).integers(0, 9, 3)
        labels = labels[tuple(slice(int(n), int(n) + size) for n, size in zip(before, SHAPE, strict=True))]
    wanted = arrange(expected.labels, axis_matrices()[7 * int(seed) % 48]) if name == "flipped" else expected.labels
    require(len(np.unique(wanted)) > 1, "the image has nothing to compare")
    different = int((labels != wanted).sum())
    require(different == 0, f"{different} voxels have another label")
    require(found.verdict.is_ood == expected.verdict.is_ood, "another verdict")
    require(abs(found.verdict.score / expected.verdict.score - 1) < 1e-6, f"score {found.verdict.score}")
    require(found.task.name == expected.task.name, "another task")


METAMORPHIC = ListedTrial(
    "metamorphic",
    "the same image moved, flipped, in another unit, with more air, in other formats, with another header",
    "the same labels, task and verdict",
    tuple(f"{change} #{seed}" for change in CHANGES for seed in range(SEEDS)),
    attempt,
)
