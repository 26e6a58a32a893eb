"""Detectors that measure the distance to the nearest known images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.covariance import EmpiricalCovariance
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler, normalize

from trainer.ood.detector.features import ImageFeatures
from trainer.ood.detector.sample import Sample

KEPT_VARIANCE = 0.9999
NEIGHBOURS = 5


class HistogramNearest:
    """Intensity histogram features with nearest neighbour (IHF-NN): Vasiliuk et al. 2023, J. Imaging 9(9):191.

    A 150-bin histogram of the image, projected to the principal components that keep 99.99 % of the variance of the
    training images; Euclidean distance to the nearest of these. The method uses no network.

    Deviations: the histogram is that of the image as the network gets it (the profile's spacing and intensity scale);
    images with several profiles count with the smallest distance.
    """

    name = "histogram, nearest neighbour"
    source = "Vasiliuk et al. 2023 (arXiv 2306.13528)"

    def fit(self, training: Sequence[Sample], held_out: Sequence[Sample]) -> None:
        """See `Detector`."""
        self._components = _principal_components(training)
        self._known = NearestNeighbors(n_neighbors=1).fit(self._components.transform(_histograms(training)))

    def score(self, sample: Sample) -> float:
        """See `Detector`."""
        return float(self._known.kneighbors(self._components.transform(_histograms([sample])))[0].min())


class HistogramMahalanobis:
    """Intensity histogram features with the Mahalanobis distance (IHF-Mah): Vasiliuk et al. 2023.

    As `HistogramNearest`, with the distance to the mean of all training images under their empirical covariance, which
    the projection makes regular.
    """

    name = "histogram, Mahalanobis"
    source = "Vasiliuk et al. 2023 (arXiv 2306.13528)"

    def fit(self, training: Sequence[Sample], held_out: Sequence[Sample]) -> None:
        """See `Detector`."""
        self._components = _principal_components(training)
        self._gaussian = EmpiricalCovariance().fit(self._components.transform(_histograms(training)))

    def score(self, sample: Sample) -> float:
        """See `Detector`."""
        squares = self._gaussian.mahalanobis(self._components.transform(_histograms([sample])))
        return float(np.sqrt(max(float(squares.min()), 0.0)))


def _principal_components(training: Sequence[Sample]) -> PCA:
    return PCA(n_components=KEPT_VARIANCE, svd_solver="full").fit(_histograms(training))


def _histograms(samples: Sequence[Sample]) -> NDArray[np.float64]:
    return np.stack([attempt.histogram for sample in samples for attempt in sample.attempts])


class PooledNeighbours:
    """k-th nearest neighbour of pooled features: Sun et al. 2022 (ICML); Woodland et al. 2024 (MELBA 2024:020).

    The deepest feature map averaged to a grid of 2 x 4 x 4 cells, scaled to unit length; Euclidean distance to the
    fifth nearest training image.

    Deviations: Woodland et al. average with 2-D or 3-D kernels of fixed size and k up to 256, chosen on the test set;
    cells here follow the image's size, and k stays below the smallest dataset's number of images. Images with several
    profiles count with the smallest distance.
    """

    name = "KNN, pooled features"
    source = "Sun et al. 2022; Woodland et al. 2024"

    def fit(self, training: Sequence[Sample], held_out: Sequence[Sample]) -> None:
        """See `Detector`."""
        rows = np.stack([_unit_vector(attempt) for sample in training for attempt in sample.attempts])
        self._known = NearestNeighbors(n_neighbors=min(NEIGHBOURS, len(rows))).fit(rows)

    def score(self, sample: Sample) -> float:
        """See `Detector`."""
        rows = np.stack([_unit_vector(attempt) for attempt in sample.attempts])
        return float(self._known.kneighbors(rows)[0][:, -1].min())


def _unit_vector(attempt: ImageFeatures) -> NDArray[np.float64]:
    return np.asarray(normalize(attempt.pooled[None].astype(np.float64))[0])


class DimensionsControl:
    """Control: nearest neighbour of the logarithms of size and spacing, standardised over the training images.

    What an image's header alone gives away. A gain of any method counts only over this one.
    """

    name = "control: size and spacing"
    source = "control"

    def fit(self, training: Sequence[Sample], held_out: Sequence[Sample]) -> None:
        """See `Detector`."""
        rows = np.stack([sample.dimensions for sample in training])
        self._scaler = StandardScaler().fit(rows)
        self._known = NearestNeighbors(n_neighbors=1).fit(self._scaler.transform(rows))

    def score(self, sample: Sample) -> float:
        """See `Detector`."""
        return float(self._known.kneighbors(self._scaler.transform(sample.dimensions[None]))[0][0, 0])
