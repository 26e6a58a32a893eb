"""What the benchmark compares: ways to tell from one image how foreign it is."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from trainer.ood.detector.feature_detector import DatasetClassifier, Frodo, PooledMahalanobis, Vim
from trainer.ood.detector.nearest_detector import (
    DimensionsControl,
    HistogramMahalanobis,
    HistogramNearest,
    PooledNeighbours,
)
from trainer.ood.detector.output_detector import disagreement_detectors, output_detectors
from trainer.ood.detector.sample import Sample
from trainer.ood.detector.spectral_detector import (
    image_control,
    input_spectrum_control,
    spectral_detectors,
    stage_detectors,
)


class Detector(Protocol):
    """One way to score images.

    Attributes:
        name: short and unique, for the table.
        source: publication, ``control`` or ``this project``.
    """

    name: str
    source: str

    def fit(self, training: Sequence[Sample], held_out: Sequence[Sample]) -> None:
        """Learn what is known.

        Args:
            training: images that the network was trained on; scores depend on these alone.
            held_out: known images that it never saw, for methods that need some, such as for a threshold.
        """

    def score(self, sample: Sample) -> float:
        """Finite number, higher for what is more foreign."""


def ways_of(samples: Sequence[Sample]) -> tuple[str, ...]:
    """Ways of making several predictions that every one of the samples has (keys of `Sample.disagreement`)."""
    shared = set.intersection(*(set(sample.disagreement) for sample in samples)) if samples else set()
    return tuple(sorted(shared))


def patch_detectors(layer_names: tuple[str, ...]) -> list[Detector]:
    """All detectors for a network that runs patch by patch, whose deepest map is never there as a whole.

    Args:
        layer_names: of the encoder's maps.
    """
    return [
        *spectral_detectors(layer_names),
        *stage_detectors(layer_names),
        HistogramNearest(),
        HistogramMahalanobis(),
        Frodo(layer_names),
        *output_detectors(),
        DimensionsControl(),
        input_spectrum_control(),
        image_control(),
    ]


def detectors(layer_names: tuple[str, ...], ways: Collection[str] = ()) -> list[Detector]:
    """All detectors for a network.

    Args:
        layer_names: `Architecture.layer_names` of the network.
        ways: from `ways_of`; detectors that read others are left out.
    """
    return [
        *spectral_detectors(layer_names),
        HistogramNearest(),
        HistogramMahalanobis(),
        PooledNeighbours(),
        PooledMahalanobis(),
        Frodo(layer_names),
        Frodo(layer_names, per_task=True),
        Vim(),
        DatasetClassifier(layer_names),
        *output_detectors(),
        *disagreement_detectors(ways),
        DimensionsControl(),
        input_spectrum_control(),
        image_control(),
    ]
