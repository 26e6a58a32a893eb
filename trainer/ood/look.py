"""How a model looks at an image of the benchmark: features of all that any detector asks for, in one pass."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.image.preparation import Prepared, prepare
from MultiTaskSegLib.runtime.image.profile import Profile
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.imported.imported_judgement import plainly_prepared
from MultiTaskSegLib.runtime.imported.imported_predictor import ImportedPredictor
from MultiTaskSegLib.runtime.model.manifest import TaskInfo
from MultiTaskSegLib.runtime.network.architecture import SegmentationNetwork
from MultiTaskSegLib.runtime.ood.image_statistics import image_statistics
from MultiTaskSegLib.runtime.ood.signature import MULTILAYER_FLOOR, SignatureSpec
from MultiTaskSegLib.runtime.predictor import Predictor
from trainer.data.label_resampling import resample_labels
from trainer.data.labelled_case import label_indices
from trainer.metrics.overlap import dice_per_label, mean_defined
from trainer.ood.detector.features import (
    HISTOGRAM_BINS,
    INPUT_LAYER,
    ImageFeatures,
    KeptSpectrum,
    extract_features,
    neighbourhood_moments,
    with_neighbours,
)
from trainer.ood.detector.output_statistics import OutputStatistics
from trainer.ood.fault.geometry_fault import Labels


@dataclass(frozen=True)
class Truth:
    """What an image shows.

    Attributes:
        task: name of its task.
        labels: on the image's own grid.
        names: of the label values.
    """

    task: str
    labels: Labels
    names: Mapping[int, str]


class Look(Protocol):
    """A way to look at an image."""

    def __call__(self, volume: Volume, profile: Profile, truth: Truth | None) -> tuple[ImageFeatures, float | None]:
        """Features of the image under a profile, and the mean Dice over the labels where there is a truth.

        Raises:
            InputError: the image cannot be prepared.
        """


class OwnLook:
    """Of a network that was trained here.

    Args:
        predictor: gives tasks and profiles.
        network: the predictor's own, or another of the same architecture.
    """

    def __init__(self, predictor: Predictor, network: SegmentationNetwork) -> None:
        self._predictor, self._network = predictor, network

    def __call__(self, volume: Volume, profile: Profile, truth: Truth | None) -> tuple[ImageFeatures, float | None]:
        """See `Look`; the Dice is that on the network's grid."""
        prepared = prepare(volume, profile)
        tasks = tuple(task for task in self._predictor.manifest.tasks if task.profile == profile)
        features, found = extract_features(self._network, prepared.voxels, tasks, self._predictor.device)
        if truth is None or truth.task not in found:
            return features, None
        task = self._predictor.manifest.task(truth.task)
        return features, _on_network_grid(found[task.name], task, prepared, truth)


class ImportedLook:
    """Of a model that nnU-Net trained: maps of its encoder, and its scores on the image's own grid.

    Args:
        predictor: the model.
    """

    def __init__(self, predictor: ImportedPredictor) -> None:
        self._predictor = predictor
        self._spec = SignatureSpec("multilayer", predictor.manifest.encoder_layers, MULTILAYER_FLOOR)

    def __call__(self, volume: Volume, profile: Profile, truth: Truth | None) -> tuple[ImageFeatures, float | None]:
        """See `Look`. Of regions, which may overlap, there are neither figures of the output nor a Dice."""
        manifest = self._predictor.manifest
        (task,) = manifest.tasks
        seen = self._predictor.own_grid_scores(volume, self._spec)
        found: list[NDArray[np.uint8]] = []
        outputs = _output_statistics(_noted(seen.slices, found), task)
        assert seen.watch is not None
        layers = {name: KeptSpectrum(spectrum) for name, spectrum in seen.watch.spectra().items()}
        voxels = plainly_prepared(volume, profile).voxels  # of one channel: others are refused beforehand
        counts = np.histogram(voxels, bins=HISTOGRAM_BINS, range=(0.0, 1.0))[0]
        features = ImageFeatures(
            {INPUT_LAYER: neighbourhood_moments(voxels), **layers},
            image_statistics(voxels, manifest.architecture.is_planar),
            np.zeros(0, np.float32),
            counts / voxels.size,
            {task.name: outputs},
        )
        if truth is None or truth.task != task.name or task.are_regions:
            return features, None
        predicted = np.asarray(seen.way_back.restored(np.stack(found)), np.uint8)
        positions = np.asarray(label_indices(truth.labels, task, truth.names), np.uint8)
        return features, _mean_dice(predicted, positions, task)


def _noted(slices: Iterable[torch.Tensor], found: list[NDArray[np.uint8]]) -> Iterator[torch.Tensor]:
    """The slices as they are; the most likely outputs ``(Y, X)`` of each are appended to ``found``."""
    for scores in slices:
        found.append(scores.argmax(0).to(torch.uint8).numpy())
        yield scores.float()


def _output_statistics(slices: Iterator[torch.Tensor], task: TaskInfo) -> OutputStatistics:
    """Sums over all slices ``(outputs, Y, X)``; none of regions, whose scores are no probabilities of one label."""
    total = OutputStatistics()
    for window, _, counted in with_neighbours(scores[None, :, None] for scores in slices):
        if not task.are_regions:
            total = total.plus(window[0], (counted, slice(None), slice(None)))
    return total


def _on_network_grid(predicted: NDArray[np.uint8], task: TaskInfo, prepared: Prepared, truth: Truth) -> float:
    """``predicted`` and the truth as positions in the head."""
    canonical = np.asarray(prepared.canonical(label_indices(truth.labels, task, truth.names)))
    known = np.asarray(resample_labels(canonical, prepared.voxels.shape), np.uint8)
    return _mean_dice(predicted, known, task)


def _mean_dice(predicted: NDArray[np.uint8], truth: NDArray[np.uint8], task: TaskInfo) -> float:
    return mean_defined(list(dice_per_label(predicted, truth, tuple(range(1, 1 + len(task.labels)))).values()))
