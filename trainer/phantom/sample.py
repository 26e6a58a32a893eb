"""The sample images of the Slicer modules: two unseen phantoms of known tasks and one of no task.

``python -m trainer.phantom.sample DIR`` writes them; the same voxels each time.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from MultiTaskSegLib.runtime.image.sitk_image import to_sitk
from MultiTaskSegLib.runtime.image.volume import Volume
from trainer.phantom.task import TASKS, draw_exams, draw_foreign

SEED = 1
FIRST_UNSEEN_PERSON = 24  # the demo trains on persons before this one
PERSON_OF_SAMPLE = {"PhantomHead": (0, 2), "PhantomHeart": (1, 0)}
"""Task number and unseen person by sample name."""
THUMBNAIL_PIXELS = 160
BRIGHTEST_PERCENTILE = 99.9
GREY_LEVELS = 127


def sample_volumes() -> dict[str, Volume]:
    """The images by name: a head and a heart, which are known to a model of the phantoms, and a knee, which is not."""
    samples = {}
    for name, (task, person) in PERSON_OF_SAMPLE.items():
        exam = draw_exams(TASKS[task], SEED, person + 1, first_person=FIRST_UNSEEN_PERSON)[person]
        samples[name] = exam.render().volume
    samples["PhantomKnee"] = draw_foreign("knee", SEED).volume
    return {name: in_grey_levels(volume) for name, volume in samples.items()}


def in_grey_levels(volume: Volume) -> Volume:
    """The magnitude image in 128 grey levels, which makes a small file; the brightest 0.1 % are cut off."""
    brightest = np.percentile(volume.voxels, BRIGHTEST_PERCENTILE)
    levels = np.round(np.clip(volume.voxels / brightest, 0.0, 1.0) * GREY_LEVELS)
    return replace(volume, voxels=levels.astype(np.float32))


def write_samples(directory: Path) -> None:
    """Write each image as a compressed NRRD file of bytes, with a thumbnail."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, volume in sample_volumes().items():
        image = to_sitk(volume.voxels.astype(np.uint8), volume)
        sitk.WriteImage(image, str(directory / f"{name}.nrrd"), useCompression=True, compressionLevel=9)
        sitk.WriteImage(_thumbnail(volume), str(directory / f"{name}.png"), useCompression=True, compressionLevel=9)


def _thumbnail(volume: Volume) -> sitk.Image:
    """The middle slice as it is stored, enlarged, on black."""
    pixels = volume.voxels[volume.shape[0] // 2]
    picture = sitk.GetImageFromArray(np.round(pixels * 255.0 / GREY_LEVELS).astype(np.uint8))
    enlargement = THUMBNAIL_PIXELS / max(picture.GetSize())
    across = [(THUMBNAIL_PIXELS / enlargement - size) / 2 for size in picture.GetSize()]
    return sitk.Resample(
        picture,
        (THUMBNAIL_PIXELS, THUMBNAIL_PIXELS),
        sitk.Transform(),
        sitk.sitkLinear,
        [-margin for margin in across],
        [1.0 / enlargement] * 2,
    )


if __name__ == "__main__":
    write_samples(Path(sys.argv[1]))
