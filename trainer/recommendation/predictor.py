"""What can be said about a source model and a target before any training: higher means more promising."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.memory_allocator import release_freed_memory
from MultiTaskSegLib.runtime.predictor import Predictor
from MultiTaskSegLib.runtime.profile import Intensity, scale_intensity
from MultiTaskSegLib.runtime.volume import Volume
from trainer.case import Case
from trainer.dataset import Dataset

SPECTRAL = "spectral"
PREDICTORS = (SPECTRAL, "histogram", "size", "cases", "segments")
DESCRIPTIONS = {
    SPECTRAL: "minus the mean log spectral distance of the target's images to the nearest training image of the source",
    "histogram": "minus the distance between mean intensity histograms (control)",
    "size": "minus the difference of log image sizes (control)",
    "cases": "log number of training images of the source (control)",
    "segments": "1 when the source was trained to segment, else 0 (control)",
}
BINS = 32


@dataclass(frozen=True)
class ImageFacts:
    """What the controls know of a set of images.

    Attributes:
        histogram: mean share of voxels by intensity, `BINS` bins between the percentiles 1 and 99.5 of each image.
        log_size: mean logarithm of the voxels per image.
    """

    histogram: NDArray[np.float64]
    log_size: float


def source_facts(datasets: Sequence[Dataset], images: int) -> ImageFacts:
    """Facts of a source's images, evenly from all its datasets."""
    cases = [case for dataset in datasets for case in evenly(dataset.cases, -(-images // len(datasets)))]
    return image_facts([case.read_image() for case in cases])


def image_facts(volumes: Sequence[Volume]) -> ImageFacts:
    """Facts of images."""
    scaling = Intensity("percentile", 1.0, 99.5)
    histograms = []
    for volume in volumes:
        shares, _ = np.histogram(scale_intensity(volume.voxels, scaling), bins=BINS, range=(0.0, 1.0))
        histograms.append(shares / volume.voxels.size)
    return ImageFacts(np.mean(histograms, axis=0), float(np.mean([np.log(v.voxels.size) for v in volumes])))


def predict_transfer(
    predictor: Predictor, dataset: Dataset, cases: Sequence[Case], images: int, facts: ImageFacts | None = None
) -> dict[str, Any]:
    """Every predictor for one source model and one target.

    Args:
        predictor: the source model.
        dataset: the target.
        cases: its cases that may be looked at; labels are not.
        images: at most so many, evenly spaced.
        facts: of the source's images; without them two of the controls are None.

    Raises:
        InputError: the model is for images of another dimension.
    """
    volumes = [case.read_image() for case in evenly(cases, images)]
    distances = []
    for volume in volumes:
        distances.append(predictor.check(volume).score)
        release_freed_memory()
    tasks = predictor.manifest.tasks
    said: dict[str, Any] = {
        SPECTRAL: -float(np.mean(np.log(distances))),
        "histogram": None,
        "size": None,
        "cases": float(np.log(max(1, sum(task.training_cases for task in tasks)))),
        "segments": float(predictor.manifest.has_labels),
        "images": len(volumes),
        "dataset": dataset.name,
    }
    if facts is not None:
        own = image_facts(volumes)
        said["histogram"] = -float(np.abs(np.cumsum(own.histogram - facts.histogram)).mean())
        said["size"] = -abs(own.log_size - facts.log_size)
    return said


def evenly(cases: Sequence[Case], count: int) -> list[Case]:
    """At most ``count`` cases, evenly spaced."""
    chosen = np.linspace(0, len(cases) - 1, min(count, len(cases))).round()
    return [cases[int(index)] for index in chosen]
