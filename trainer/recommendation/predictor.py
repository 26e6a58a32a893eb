"""What can be said about a source model and a target before any training: higher means more promising."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.image.preparation import scale_intensity
from MultiTaskSegLib.runtime.image.profile import Intensity
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.machine.memory_allocator import release_freed_memory
from MultiTaskSegLib.runtime.predictor import Predictor
from trainer.data.dataset import Dataset
from trainer.data.spread import evenly
from trainer.layout.case import Case

RICHNESS, SPECTRAL = "richness", "spectral"
PREDICTORS = (RICHNESS, SPECTRAL, "histogram", "size", "cases", "segments")
DESCRIPTIONS = {
    RICHNESS: "log effective rank of the target's feature maps in the deepest layer of the source's signature",
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
    distances, ranks = [], []
    for volume in volumes:
        verdict, spectra = predictor.examine(volume)
        distances.append(verdict.score)
        ranks.append(effective_rank(spectra[_deepest(predictor)].singular_values))
        release_freed_memory()
    tasks = predictor.manifest.tasks
    said: dict[str, Any] = {
        RICHNESS: float(np.log(np.mean(ranks))),
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


def effective_rank(singular_values: NDArray[np.float64]) -> float:
    """Exponential of the entropy of the singular values as shares of their sum, 1 to C.

    What a network tells apart in images it can be taught to name; maps that are all alike leave nothing to teach.
    Garrido et al., RankMe (ICML 2023), equation 1, rank pre-trained networks by it without labels or training.

    Args:
        singular_values: ``(C,)`` of a voxels x channels matrix.

    >>> effective_rank(np.array([2.0, 2.0, 0.0]))
    2.0
    """
    total = singular_values.sum()
    shares = singular_values[singular_values > 0] / total if total > 0 else np.ones(1)
    return float(np.exp(-(shares * np.log(shares)).sum()))


def _deepest(predictor: Predictor) -> str:
    """The coarsest of the layers whose spectra the check knows."""
    architecture, layers = predictor.manifest.architecture, predictor.model.reference.spec.layers
    return max(layers, key=lambda layer: (np.prod(architecture.layer_stride(layer)), layer))
