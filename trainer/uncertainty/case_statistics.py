"""What one case says about calibration and uncertainty, as small arrays that add up over cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.labels.connected_component import connected_pieces, most_probable_piece
from MultiTaskSegLib.runtime.labels.expected_dice import expected_dice
from MultiTaskSegLib.runtime.labels.surface_band import BAND_VOXELS, near_surface
from MultiTaskSegLib.runtime.machine.atomic_file import atomic_path
from trainer.calibration.scaling import Scaling
from trainer.data.labelled_case import LabelledCase
from trainer.metrics.overlap import dice
from trainer.uncertainty.error_detection import error_histogram
from trainer.uncertainty.reliability import reliability_table, squared_error_total

RING_VOXELS = BAND_VOXELS
CALIBRATION_REGIONS = ("whole", "ring", "predicted_ring", "ideal_ring")
"""The whole image; within 2 voxels of the true surface; within 2 voxels of the predicted surface; and the ring around
the surface of truths drawn from the probabilities themselves: what a perfectly calibrated model would score."""

ERROR_REGIONS = ("whole", "near")
"""The whole image; the body of interest: true or predicted structures and 2 voxels around their surfaces."""

SEGMENT = ("predicted_dice", "real_dice", "mean_confidence", "predicted_voxels", "true_voxels")
IDEAL_LEVELS = tuple((2 * level + 1) / 20 for level in range(10))

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class CaseStatistics:
    """Sums of one case, or stacked over cases with a leading axis. K is the number of calibrations compared.

    Attributes:
        reliability: ``(K, regions, 3, bins)``, see `reliability_table`.
        squared_error: ``(K, regions, 2)``, see `squared_error_total`.
        errors: ``(K, regions, 2, bins)``, see `error_histogram`.
        segments: ``(K, labels, 5)``, see `SEGMENT`; NaN where a Dice coefficient is not defined.
        seconds: of the estimator.
    """

    reliability: Floats
    squared_error: Floats
    errors: Floats
    segments: Floats
    seconds: float

    def save(self, path: Path) -> None:
        """Write to an ``.npz`` file, whole or not at all."""
        with atomic_path(path) as temporary, temporary.open("wb") as stream:
            np.savez_compressed(
                stream,
                reliability=self.reliability,
                squared_error=self.squared_error,
                errors=self.errors.astype(np.int64),
                segments=self.segments,
                seconds=np.float64(self.seconds),
            )

    @classmethod
    def load(cls, path: Path) -> CaseStatistics:
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as archive:
            return cls(
                archive["reliability"],
                archive["squared_error"],
                archive["errors"].astype(np.float64),
                archive["segments"],
                float(archive["seconds"]),
            )


def case_statistics(
    case: LabelledCase,
    log_probabilities: NDArray[np.floating],
    scalings: Sequence[Scaling],
    seconds: float,
    with_ideal: bool,
) -> CaseStatistics:
    """Measure a case under several calibrations.

    Args:
        case: with the truth.
        log_probabilities: ``(1 + labels, Z, Y, X)`` before calibration.
        scalings: the calibrations.
        seconds: that the estimator took.
        with_ideal: also the region ``ideal_ring``, which takes longer than everything else; its sums are 0 otherwise.
    """
    rows = []
    for scaling in scalings:
        probabilities = scaling.probabilities(log_probabilities)
        plain = (
            probabilities if scaling == scaling.without_bias else scaling.without_bias.probabilities(log_probabilities)
        )
        rows.append(_measure(case, probabilities, predicted_labels(plain, case.task.single_component), with_ideal))
    reliability, squared_error, errors, segments = (np.stack(parts) for parts in zip(*rows, strict=True))
    return CaseStatistics(reliability, squared_error, errors.astype(np.float64), segments, seconds)


def _measure(
    case: LabelledCase, probabilities: NDArray[np.float32], predicted: NDArray[np.uint8], with_ideal: bool
) -> tuple[Floats, ...]:
    foreground = 1.0 - probabilities[0].astype(np.float64)
    truth = case.truth > 0
    regions = (
        np.ones(truth.shape, dtype=bool),
        near_surface(truth.astype(np.uint8)),
        near_surface((predicted > 0).astype(np.uint8)),
    )
    tables = [reliability_table(foreground[region], truth[region]) for region in regions]
    totals = [squared_error_total(foreground[region], truth[region]) for region in regions]
    ideal = ideal_ring(foreground) if with_ideal else (np.zeros_like(tables[0]), np.zeros(2))
    uncertainty = normalised_entropy(probabilities)
    wrong = predicted != case.truth
    near = regions[1] | regions[2] | truth | (predicted > 0)
    errors = [error_histogram(uncertainty[region], wrong[region]) for region in (regions[0], near)]
    return (
        np.stack([*tables, ideal[0]]),
        np.stack([*totals, ideal[1]]),
        np.stack(errors),
        segment_table(probabilities, predicted, case.truth),
    )


def predicted_labels(probabilities: NDArray[np.float32], single_component: bool) -> NDArray[np.uint8]:
    """The most probable label ``(Z, Y, X)``, in one piece where the shipped pipeline keeps one."""
    predicted: NDArray[np.uint8] = probabilities.argmax(axis=0).astype(np.uint8)
    if single_component:
        pieces, count = connected_pieces(predicted > 0)
        if count > 1:
            planes = (
                (plane[plane > 0], 1.0 - share[plane > 0])
                for plane, share in zip(pieces, probabilities[0], strict=True)
            )
            predicted[pieces != most_probable_piece(planes, count)] = 0
    return predicted


def normalised_entropy(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """Entropy over the first axis in units of its largest value, as in the uncertainty map that ships."""
    entropy = -(probabilities * np.log(np.maximum(probabilities, np.float32(1e-12)))).sum(axis=0)
    return np.asarray(np.clip(entropy / np.log(len(probabilities)), 0.0, 1.0), dtype=np.float32)


def segment_table(
    probabilities: NDArray[np.float32], predicted: NDArray[np.integer], truth: NDArray[np.integer]
) -> Floats:
    """One row of `SEGMENT` per label, ``(labels, 5)``."""
    rows = []
    for index in range(1, len(probabilities)):
        share = probabilities[index].astype(np.float64)
        mask, target = predicted == index, truth == index
        voxels, overlap = int(np.count_nonzero(mask)), float(share[mask].sum())
        expected = expected_dice(overlap, float(share.sum()), voxels)
        rows.append(
            (
                np.nan if expected is None else expected,
                dice(mask, target),
                overlap / voxels if voxels else np.nan,
                voxels,
                np.count_nonzero(target),
            )
        )
    return np.array(rows, dtype=np.float64)


def ideal_ring(foreground: Floats) -> tuple[Floats, Floats]:
    """Reliability and squared errors in the ring when the foreground probability is right by construction.

    Truths are the sets where the probability exceeds a level, for levels spread evenly over 0 to 1: averaged over
    levels, each voxel is foreground as often as its probability says, and surfaces stay smooth. Whatever error remains
    comes from looking at the ring around the truth, which no model knows.

    Args:
        foreground: probability ``(Z, Y, X)``.
    """
    likely = np.argwhere(foreground > min(IDEAL_LEVELS) / 2)
    if not len(likely):
        return np.zeros((3, 10)), np.zeros(2)
    # Nothing outside the box around every level set, with room for the ring, can be in a ring.
    box = tuple(
        slice(max(0, low - RING_VOXELS - 1), high + RING_VOXELS + 2)
        for low, high in zip(likely.min(axis=0), likely.max(axis=0), strict=True)
    )
    inside = foreground[box]
    tables, totals = [], []
    for level in IDEAL_LEVELS:
        truth = inside > level
        ring = near_surface(truth.astype(np.uint8))
        tables.append(reliability_table(inside[ring], truth[ring]))
        totals.append(squared_error_total(inside[ring], truth[ring]))
    return np.sum(tables, axis=0), np.sum(totals, axis=0)
