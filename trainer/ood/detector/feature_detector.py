"""Detectors that model the distribution of known images' features."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from trainer.ood.detector.features import ImageFeatures
from trainer.ood.detector.gaussian import RidgeGaussian
from trainer.ood.detector.sample import Sample
from trainer.ood.detector.spectral_detector import FARTHEST

SMALLEST_RESIDUAL = 1e-12
LARGEST_NUMBER_OF_STEPS = 10_000


class PooledMahalanobis:
    """Mahalanobis distance of pooled features: Gonzalez et al. (MICCAI 2021, arXiv 2107.05975; MedIA 2022).

    The deepest feature map averaged to few cells, one Gaussian over all training images (`RidgeGaussian`).

    Deviations: a grid of 2 x 4 x 4 cells instead of pooling by 2 until fewer than 10,000 numbers are left, so that
    images of all sizes compare; images with several profiles count with the smallest distance.
    """

    name = "Mahalanobis, pooled features"
    source = "Gonzalez et al. 2022 (arXiv 2208.03217)"

    def fit(self, training: Sequence[Sample], held_out: Sequence[Sample]) -> None:
        """See `Detector`."""
        self._gaussian = RidgeGaussian(np.stack([a.pooled for sample in training for a in sample.attempts]))

    def score(self, sample: Sample) -> float:
        """See `Detector`."""
        return min(self._gaussian.distance(attempt.pooled) for attempt in sample.attempts)


class Frodo:
    """FRODO: Calli et al. 2019 (arXiv 1907.01253), IEEE TMI 42(4):971 (2023).

    Channel means of every layer; per layer the Mahalanobis distance to all training images (`RidgeGaussian`) divided
    by the number of channels; mean over the layers.

    Deviations: images with several profiles count with the smallest score. Per task, which is not part of the method:
    a Gaussian for each task, and the smallest score over the tasks of the profile.

    Args:
        layers: names of the feature maps.
        per_task: whether each task has its own Gaussian.
    """

    def __init__(self, layers: tuple[str, ...], *, per_task: bool = False) -> None:
        self.name = "FRODO per task" if per_task else "FRODO"
        self.source = "Calli et al. 2019, 2023 (arXiv 1907.01253)"
        self._layers, self._per_task = layers, per_task
        self._gaussians: dict[str, dict[str, RidgeGaussian]] = {}

    def fit(self, training: Sequence[Sample], held_out: Sequence[Sample]) -> None:
        """See `Detector`."""
        tasks = sorted({sample.task for sample in training}) if self._per_task else [""]
        for task in tasks:
            known = [a for sample in training if task in ("", sample.task) for a in sample.attempts]
            self._gaussians[task] = {
                layer: RidgeGaussian(np.stack([attempt.layers[layer].means for attempt in known]))
                for layer in self._layers
            }

    def score(self, sample: Sample) -> float:
        """See `Detector`; `FARTHEST` where no known task has the image's profile."""
        pairs = [(task, a) for a in sample.attempts for task in self._gaussians if task in ("", *a.outputs)]
        return min((self._distance(task, attempt) for task, attempt in pairs), default=FARTHEST)

    def _distance(self, task: str, attempt: ImageFeatures) -> float:
        terms = []
        for layer, gaussian in self._gaussians[task].items():
            means = attempt.layers[layer].means
            terms.append(gaussian.distance(means) / len(means))
        return float(np.mean(terms))


class Vim:
    """Virtual-logit matching: Wang et al. 2022 (CVPR, arXiv 2203.10807).

    Norm of the features' part outside their principal subspace, scaled to match the logits, plus the energy.

    Deviations: the features are the pooled deepest map (standardised, centred on their mean), the logits' part is the
    mean energy of the recognised task, since a segmentation network has no linear classifier over pooled features; the
    subspace has half as many directions as there are training images.
    """

    name = "ViM"
    source = "Wang et al. 2022 (arXiv 2203.10807)"

    def fit(self, training: Sequence[Sample], held_out: Sequence[Sample]) -> None:
        """See `Detector`."""
        rows = np.stack([sample.recognised_attempt.pooled for sample in training]).astype(np.float64)
        self._scaler = StandardScaler().fit(rows)
        directions = max(1, min(len(rows) // 2, rows.shape[1] - 1))
        self._subspace = PCA(n_components=directions, svd_solver="full").fit(self._scaler.transform(rows))
        residual = float(np.mean([self._residual(row) for row in rows]))
        logits = -float(np.mean([_energy(sample) for sample in training]))
        self._scale = abs(logits) / max(residual, SMALLEST_RESIDUAL)

    def score(self, sample: Sample) -> float:
        """See `Detector`."""
        return self._scale * self._residual(sample.recognised_attempt.pooled) + _energy(sample)

    def _residual(self, pooled: NDArray[np.floating]) -> float:
        row = self._scaler.transform(np.asarray(pooled, dtype=np.float64)[None])
        inside = self._subspace.inverse_transform(self._subspace.transform(row))
        return float(np.linalg.norm(row - inside))


def _energy(sample: Sample) -> float:
    output = sample.recognised_attempt.outputs[sample.recognised]
    return output.energy / output.voxels


class DatasetClassifier:
    """Image classification over the datasets, the kind of competitor that Karimi & Gholipour (IEEE TAI 2023) name.

    Logistic regression on the standardised channel means of all layers tells which dataset an image belongs to; the
    score is 1 - the largest probability (Hendrycks & Gimpel 2017), summed up from the small ones so that it does not
    round to 0. Datasets weigh the same. Images with several profiles count with the smallest score; with one dataset
    alone there is nothing to tell apart, and all images score 0.

    Deviation: the paper's own classifier is not published.

    Args:
        layers: names of the feature maps.
    """

    name = "dataset classifier"
    source = "after Karimi & Gholipour, IEEE TAI 2023"

    def __init__(self, layers: tuple[str, ...]) -> None:
        self._layers = layers
        self._model: Pipeline | None = None

    def fit(self, training: Sequence[Sample], held_out: Sequence[Sample]) -> None:
        """See `Detector`."""
        pairs = [(self._means(attempt), sample.task) for sample in training for attempt in sample.attempts]
        tasks = [task for _, task in pairs]
        if len(set(tasks)) > 1:
            regression = LogisticRegression(class_weight="balanced", max_iter=LARGEST_NUMBER_OF_STEPS)
            self._model = make_pipeline(StandardScaler(), regression).fit(np.stack([row for row, _ in pairs]), tasks)

    def score(self, sample: Sample) -> float:
        """See `Detector`."""
        if self._model is None:
            return 0.0
        probabilities = self._model.predict_proba(np.stack([self._means(attempt) for attempt in sample.attempts]))
        return float(np.sort(probabilities, axis=1)[:, :-1].sum(axis=1).min())

    def _means(self, attempt: ImageFeatures) -> NDArray[np.float64]:
        return np.concatenate([attempt.layers[layer].means for layer in self._layers])
