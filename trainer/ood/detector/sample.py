"""One image of the benchmark as the detectors see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.image.geometry import canonical_reorientation
from MultiTaskSegLib.runtime.image.volume import Volume
from trainer.ood.detector.features import ImageFeatures


@dataclass(frozen=True)
class Sample:
    """Features and origin of one image.

    Attributes:
        name: of the image.
        group: patient or source; groups are resampled together for intervals.
        task: name of the task for images of known tasks, as they are or spoilt; empty for foreign ones.
        attempts: features under every preprocessing profile that suits the image; of training images, their task's.
        recognised: task that the shipped pipeline takes the image for.
        dimensions: from `dimensions_of`.
        disagreement: by way of making several predictions (``mc_dropout``, ``ensemble``): see `disagreement_of`.
        dice: against the truth of the image, None where there is no truth for it.
        own: features under the profile of its task, of known images as they are.
    """

    name: str
    group: str
    task: str
    attempts: tuple[ImageFeatures, ...]
    recognised: str
    dimensions: NDArray[np.float64]
    disagreement: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    dice: float | None = None
    own: ImageFeatures | None = None

    @property
    def recognised_attempt(self) -> ImageFeatures:
        """Features under the profile of the task that was recognised."""
        return next(attempt for attempt in self.attempts if self.recognised in attempt.outputs)


def dimensions_of(volume: Volume) -> NDArray[np.float64]:
    """Logarithms of the size ``(z, y, x)`` in voxels and of the spacing in mm: what a header alone gives away."""
    reorientation = canonical_reorientation(volume)
    sizes = [volume.shape[axis] for axis in reorientation.axes]
    return np.log(np.array([*sizes, *reorientation.spacing_zyx_mm(volume)], dtype=np.float64))
