"""The Dice of an image foretold from what one pass says about it: fitted to held-out images, clean and spoilt.

Tasks differ in what is usual: how large structures are, how sure the network is, how high the Dice. So an image is
described by how far it is from the usual of its task; one function then serves all tasks, also those with few patients.
What is fitted corrects the expected Dice: where nothing can be learnt, that is what remains.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from trainer.failure.cross_fitting import Mask, cross_fitted
from trainer.failure.measured_image import CLEAN, MeasuredImage

Floats = NDArray[np.float64]
FEWEST_IMAGES = 8
"""Of fewer nothing is learnt."""
TREES = 100
SMALLEST_LEAF = 3
PENALTIES = tuple(np.logspace(-2, 4, 13))
SMALLEST_VOLUME_ML = 1e-3
SCORES = (1e-3, 1e6)
"""Beyond these a score says no more."""

FOREST_TRAITS = ("entropy_boundary", "entropy_foreground", "entropy_background", "foreground_share", "pieces")
"""The five simple features of Jungo et al. (Frontiers in Neuroscience 14, 2020) as Zenk et al. 2025 use them."""
TRAITS = (
    "expected_dice",
    "expected_dice_lowest",
    "labels_found",
    "confidence_foreground",
    "confidence_worst_patch",
    "entropy",
    "entropy_foreground",
    "entropy_boundary",
    "entropy_non_boundary",
    "entropy_worst_patch",
    "entropy_per_foreground_voxel",
    "entropy_share_off_boundary",
    "share_outside_largest_piece",
)


class Regressor(Protocol):
    """Fits numbers to rows of features, as those of scikit-learn do."""

    def fit(self, features: Floats, target: Floats) -> object:
        """Fit."""

    def predict(self, features: Floats) -> Floats:
        """Foretell."""


def linear() -> Regressor:
    """A linear function, whose penalty is chosen by leaving images out."""
    model: Regressor = make_pipeline(StandardScaler(), RidgeCV(alphas=PENALTIES))
    return model


def forest() -> Regressor:
    """A random forest."""
    model: Regressor = RandomForestRegressor(TREES, min_samples_leaf=SMALLEST_LEAF, random_state=0)
    return model


def simple_forest(images: Sequence[MeasuredImage]) -> Floats:
    """Dice by image, from a random forest on five features, fitted within each task."""
    features = _traits(images, FOREST_TRAITS)
    dice = np.array([image.mean_dice for image in images])
    result = np.full(len(images), np.nan)
    for task in dict.fromkeys(image.task for image in images):
        own = np.flatnonzero([image.task == task for image in images])

        def foretell(known: Mask, wanted: Mask, own: NDArray[np.intp] = own) -> Floats:
            """By a forest of the task."""
            if known.sum() < FEWEST_IMAGES:
                return np.full(int(wanted.sum()), np.nan)
            model = forest()
            model.fit(features[own[known]], dice[own[known]])
            return model.predict(features[own[wanted]])

        patients, kinds = zip(*((image.group, image.kind) for image in images if image.task == task), strict=True)
        result[own] = cross_fitted(patients, kinds, foretell)
    return result


def quality_regression(
    images: Sequence[MeasuredImage], make: Callable[[], Regressor], *, faults_known: bool = False
) -> Floats:
    """Dice by image, from one function of the distance to the usual, fitted to all tasks together.

    Args:
        images: of any number of tasks.
        make: `linear` or `forest`.
        faults_known: see `cross_fitted`.

    Returns:
        ``(N,)``, not clipped to 0 to 1: the order counts; NaN where the task has no other patient, or all
        tasks together too few images.
    """
    # The score can be 0, of an image that is in the reference, or more than any number.
    scores = np.log(np.clip([image.score for image in images], *SCORES))
    traits = np.column_stack([_traits(images, TRAITS), scores, np.log1p([image.traits["pieces"] for image in images])])
    dice = np.array([image.mean_dice for image in images])

    def foretell(known: Mask, wanted: Mask) -> Floats:
        """By a function of what is usual among the known images."""
        features, usual = _from_usual(images, traits, dice, known)
        use = known & ~np.isnan(usual)
        if use.sum() < FEWEST_IMAGES:
            return np.full(int(wanted.sum()), np.nan)
        model = make()
        model.fit(features[use], dice[use] - usual[use])
        # Beyond what was seen a linear function would go on for ever.
        inside = np.clip(features[wanted], features[use].min(axis=0), features[use].max(axis=0))
        told: Floats = usual[wanted] + model.predict(np.nan_to_num(inside))
        return told

    patients, kinds = [image.group for image in images], [image.kind for image in images]
    return cross_fitted(patients, kinds, foretell, faults_known=faults_known)


def _from_usual(images: Sequence[MeasuredImage], traits: Floats, dice: Floats, known: Mask) -> tuple[Floats, Floats]:
    """Features as differences from the medians of the task's known clean images, and by image the Dice to begin with:
    their median Dice, more or less by as much as the expected Dice differs from theirs."""
    features, usual = np.zeros((len(images), traits.shape[1] + 1)), np.full(len(images), np.nan)
    for task in dict.fromkeys(image.task for image in images):
        own = np.array([image.task == task for image in images])
        clean = own & known & np.array([image.kind == CLEAN for image in images])
        if clean.any():
            volumes = np.log(_volumes(images, own))
            among = clean[own]
            unusual = np.abs(volumes - np.median(volumes[among], axis=0)).mean(axis=1)
            features[own] = np.column_stack([traits[own] - np.median(traits[clean], axis=0), unusual])
            usual[own] = np.median(dice[clean]) + features[own, TRAITS.index("expected_dice")]
    return features, usual


def _volumes(images: Sequence[MeasuredImage], own: Mask) -> Floats:
    rows = [list(image.volumes_ml.values()) for image, chosen in zip(images, own, strict=True) if chosen]
    return np.maximum(np.array(rows, dtype=np.float64), SMALLEST_VOLUME_ML)


def _traits(images: Sequence[MeasuredImage], names: Sequence[str]) -> Floats:
    """``(N, names)``; 0 where there is nothing to measure, which other features tell."""
    return np.nan_to_num(np.array([[image.traits[name] for name in names] for image in images], dtype=np.float64))
