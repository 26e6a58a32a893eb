"""How many lesions are found: connected components instead of voxels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

THRESHOLDS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98)
# At a low threshold everything grows together into one candidate that touches every lesion. It finds none.
CURVE_PURITY = 0.1
FALSE_POSITIVES_PER_IMAGE = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)


@dataclass(frozen=True)
class LesionCounts:
    """Lesions of one image or of many.

    A lesion is a connected component of the true mask, touching corners count as connected. It is detected when enough
    of its voxels are marked. A candidate is a connected component of what is marked; it is true when enough of its
    voxels are lesion.

    Attributes:
        images: how many.
        lesions, detected: true lesions, and those of them that were found.
        candidates, true_candidates: what was marked, and what of it is right.
    """

    images: int = 0
    lesions: int = 0
    detected: int = 0
    candidates: int = 0
    true_candidates: int = 0

    def __add__(self, other: LesionCounts) -> LesionCounts:
        return LesionCounts(
            self.images + other.images,
            self.lesions + other.lesions,
            self.detected + other.detected,
            self.candidates + other.candidates,
            self.true_candidates + other.true_candidates,
        )

    @property
    def sensitivity(self) -> float:
        """Share of the lesions that was found; NaN without lesions."""
        return self.detected / self.lesions if self.lesions else float("nan")

    @property
    def precision(self) -> float:
        """Share of the candidates that is right; NaN without candidates."""
        return self.true_candidates / self.candidates if self.candidates else float("nan")

    @property
    def f1(self) -> float:
        """Harmonic mean of sensitivity and precision; 0 where nothing right was marked, NaN without lesions."""
        if not self.lesions:
            return float("nan")
        sensitivity, precision = self.sensitivity, self.precision if self.candidates else 0.0
        total = sensitivity + precision
        return 2 * sensitivity * precision / total if total else 0.0

    @property
    def false_positives_per_image(self) -> float:
        """Wrong candidates per image; NaN without images."""
        return (self.candidates - self.true_candidates) / self.images if self.images else float("nan")

    def as_dict(self) -> dict[str, float]:
        """Counts and rates for JSON."""
        return {
            "images": self.images,
            "lesions": self.lesions,
            "detected": self.detected,
            "candidates": self.candidates,
            "true_candidates": self.true_candidates,
            "sensitivity": self.sensitivity,
            "precision": self.precision,
            "f1": self.f1,
            "false_positives_per_image": self.false_positives_per_image,
        }


def count_lesions(
    marked: NDArray[np.bool_],
    truth: NDArray[np.bool_],
    smallest_overlap: float = 0.0,
    smallest_purity: float = 0.0,
) -> LesionCounts:
    """Lesions of one image. Only right candidates find lesions.

    Args:
        marked: ``(Z, Y, X)`` what is taken for lesion.
        truth: ``(Z, Y, X)`` what is lesion.
        smallest_overlap: share of a lesion that must be marked; 0: a single voxel is enough.
        smallest_purity: share of a candidate that must be lesion; 0: a single voxel is enough.
    """
    right, candidates, true_candidates = _hits(marked, truth, smallest_purity)
    _, lesions, detected = _hits(truth, right, smallest_overlap)
    return LesionCounts(1, lesions, detected, candidates, true_candidates)


def _hits(
    mask: NDArray[np.bool_], other: NDArray[np.bool_], smallest_share: float
) -> tuple[NDArray[np.bool_], int, int]:
    """Voxels of the components of which enough lies in the other mask, how many there are, and how many of those."""
    components, count = ndimage.label(mask, structure=np.ones((3,) * mask.ndim))
    sizes = np.bincount(components.ravel(), minlength=count + 1)
    common = np.bincount(components[mask & other], minlength=count + 1)
    enough = (common > 0) & (common >= smallest_share * sizes)
    enough[0] = False
    return enough[components], int(count), int(np.count_nonzero(enough))


def sum_counts(counts: Sequence[LesionCounts]) -> LesionCounts:
    """Counts of all images together, every lesion with the same weight."""
    total = LesionCounts()
    for one in counts:
        total = total + one
    return total


@dataclass(frozen=True)
class OperatingPoint:
    """One point of a free-response curve: where the threshold lies, and what it costs."""

    threshold: float
    sensitivity: float
    false_positives_per_image: float


def count_at_thresholds(
    probability: NDArray[np.floating], truth: NDArray[np.bool_], thresholds: Sequence[float] = THRESHOLDS
) -> list[LesionCounts]:
    """Lesions of one image at every threshold of the lesions' probability ``(Z, Y, X)``.

    A candidate is right when at least a tenth of it is lesion.
    """
    return [count_lesions(probability >= t, truth, smallest_purity=CURVE_PURITY) for t in thresholds]


def free_response(
    counts: Sequence[Sequence[LesionCounts]], thresholds: Sequence[float] = THRESHOLDS
) -> list[OperatingPoint]:
    """Free-response curve (FROC) over images.

    Args:
        counts: of every image, at every threshold.
        thresholds: as there.
    """
    points = []
    for number, threshold in enumerate(thresholds):
        total = sum_counts([image[number] for image in counts])
        points.append(OperatingPoint(threshold, total.sensitivity, total.false_positives_per_image))
    return points


def attainable(points: Sequence[OperatingPoint]) -> list[OperatingPoint]:
    """The points that no other one beats with as few false positives, by rising number of those."""
    best: list[OperatingPoint] = []
    for point in sorted(points, key=lambda p: (p.false_positives_per_image, -p.sensitivity)):
        if not best or point.sensitivity > best[-1].sensitivity:
            best.append(point)
    return best


def sensitivity_at(points: Sequence[OperatingPoint], false_positives_per_image: float) -> float:
    """Highest sensitivity of the points with at most so many false positives; 0 when there is none."""
    allowed = [p.sensitivity for p in points if p.false_positives_per_image <= false_positives_per_image]
    return max(allowed, default=0.0)
