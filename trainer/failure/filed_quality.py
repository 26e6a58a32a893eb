"""What a model file itself says of quality, judged on patients whom nothing in the file knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.model.manifest import Manifest
from MultiTaskSegLib.runtime.quality.image_quality import ImageQuality, image_quality
from MultiTaskSegLib.runtime.quality.quality_info import TaskQuality
from trainer.data.provenance import Provenance
from trainer.failure.measured_image import CLEAN, MeasuredImage
from trainer.failure.shipped_quality import coverage_by_task, reached, sample_of

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class FiledQuality:
    """What a model file says of the quality of its results.

    Attributes:
        tasks: by name; none where the file says nothing.
        knows: of a patient, whether anything in the file was learnt, fitted or measured with their images.
    """

    tasks: Mapping[str, TaskQuality]
    knows: Callable[[str], bool]

    @classmethod
    def of(cls, manifest: Manifest) -> FiledQuality:
        """Of a model file.

        Raises:
            ModelError: it does not say whom the model has seen.
        """
        known = manifest.quality.tasks if manifest.quality else ()
        names = (task.name for task in manifest.tasks)
        return cls(dict(zip(names, known, strict=False)), Provenance.of(manifest).knows)

    def judged(self, images: Sequence[MeasuredImage]) -> NDArray[np.bool_]:
        """``(N,)``: whether the file says something of an image's task and does not know its patient."""
        return np.array([image.task in self.tasks and not self.knows(image.group) for image in images], dtype=np.bool_)

    def foretold(self, images: Sequence[MeasuredImage]) -> list[ImageQuality | None]:
        """What the file says of each image; None where it says nothing of the task, or knows the patient."""
        pairs = zip(images, self.judged(images).tolist(), strict=True)
        return [self._foretold(image) if is_judged else None for image, is_judged in pairs]

    def _foretold(self, image: MeasuredImage) -> ImageQuality:
        sample = sample_of(image)
        return image_quality(dict(enumerate(sample.expected.values())), sample.traits, self.tasks[image.task])


def filed_dice(images: Sequence[MeasuredImage], filed: FiledQuality) -> Floats:
    """The Dice that the file predicts.

    Args:
        images: of any number of tasks.
        filed: of their model.

    Returns:
        ``(N,)``: mean over the structures that were found; NaN where none was, and where the file knows the patient or
        says nothing.
    """
    told = (None if quality is None else quality.mean for quality in filed.foretold(images))
    return np.array([np.nan if mean is None else mean for mean in told], dtype=np.float64)


def filed_bound_coverage(images: Sequence[MeasuredImage], filed: FiledQuality) -> dict[str, Any]:
    """How often the real Dice of a structure reaches the bound of the file, in clean images of new patients.

    Returns:
        see `trainer.failure.shipped_quality.bound_coverage`; nothing where all patients are known.
    """
    margins = np.full(len(images), np.nan)
    held: list[list[bool]] = [[] for _ in images]
    for at, (image, quality) in enumerate(zip(images, filed.foretold(images), strict=True)):
        if image.kind == CLEAN and quality is not None and quality.margin is not None:
            margins[at], held[at] = quality.margin, reached(sample_of(image), quality)
    return coverage_by_task(images, margins, held)
