"""A run on what is wanted of an image: a region instead of the whole, some structures instead of all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.hosting.purpose import Purpose
from MultiTaskSegLib.runtime.hosting.torch_machine import Answers
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.ood.verdict import REGION_NOT_CHECKED, Verdict
from MultiTaskSegLib.runtime.prediction.caution import about_verdict, nothing_found
from MultiTaskSegLib.runtime.prediction.segmentation import Segmentation
from MultiTaskSegLib.runtime.quality.image_agreement import further_looks
from MultiTaskSegLib.runtime.selection.image_part import ImagePart
from MultiTaskSegLib.runtime.selection.region import Region
from MultiTaskSegLib.runtime.selection.structures import only_structures, require_structures
from MultiTaskSegLib.runtime.thorough.further_looks import looked_again, part_of

AUTO = "auto"
# The share of a run that looking at the whole image is told to take, where that is wanted beside a region.
CHECKED = 0.6
Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class Selection:
    """What is wanted of an image.

    Attributes:
        task: a task's name, or ``auto``.
        region: what is to be labelled; None for all of the image.
        whole_check: whether the whole image is checked beside a region. The check compares whole images with whole
            images, so that a region alone gets no verdict. Where the task is to be recognised it is checked anyway.
        structures: names of those that are wanted; none for all.
        is_thorough: whether further looks tell how sure the result is.
    """

    task: str = AUTO
    region: Region | None = None
    whole_check: bool = False
    structures: tuple[str, ...] = ()
    is_thorough: bool = False

    @property
    def purpose(self) -> Purpose:
        """Of the run."""
        return Purpose(self.task, is_thorough=self.is_thorough)

    @property
    def _looks_at_whole(self) -> bool:
        return self.region is None or self.whole_check or self.task == AUTO

    def seen(self, volume: Volume) -> Volume:
        """What of a volume the network will see at once, by which memory is planned.

        Raises:
            InputError: no voxel of the image lies in the region.
        """
        if self.region is None or self._looks_at_whole:
            return volume
        return ImagePart.of(volume, self.region).volume

    def segment(self, model: Answers, volume: Volume, progress: Progress) -> Segmentation:
        """The result on the whole grid of a volume.

        Raises:
            UsageError: there is no such structure.
            MtsError: as the model's ``segment`` and ``check``.
        """
        require_structures([own for own in model.manifest.tasks if self.task in (AUTO, own.name)], self.structures)
        return _told(only_structures(self._all_structures(model, volume, progress), self.structures))

    def _all_structures(self, model: Answers, volume: Volume, progress: Progress) -> Segmentation:
        if self.region is None:
            return self._looked(model, volume, self.task, progress)
        part = ImagePart.of(volume, self.region)
        if not self._looks_at_whole or model.manifest.ood is None:
            found = self._looked(model, part.volume, self.task, progress, part.inside)
            return _placed(found, part, None)
        verdict = model.check(volume, part_of(progress, 0.0, CHECKED))
        task = verdict.nearest_task if self.task == AUTO else self.task
        found = self._looked(model, part.volume, task, part_of(progress, CHECKED, 1.0), part.inside)
        return _judged(_placed(found, part, verdict), self.task == AUTO)

    def _looked(
        self,
        model: Answers,
        volume: Volume,
        task: str,
        progress: Progress,
        inside: NDArray[np.bool_] | None = None,
    ) -> Segmentation:
        """A result, and how far further looks agree with it where they are wanted."""
        if not self.is_thorough:
            plain: Segmentation = model.segment(volume, task, progress)
            return plain
        share = 1 / (1 + further_looks(volume.is_planar))
        found: Segmentation = model.segment(volume, task, part_of(progress, 0.0, share))
        return looked_again(model, volume, found, part_of(progress, share, 1.0), inside)


def _placed(found: Segmentation, part: ImagePart, verdict: Verdict | None) -> Segmentation:
    """A result on a part as one on the whole image: background, and nothing uncertain, outside the region."""
    regions = None if found.regions is None else np.stack([part.in_whole(one, 0) for one in found.regions])
    labels = np.asarray(part.in_whole(found.labels, 0), dtype=np.uint8)
    # Of what lies in the surroundings alone there is nothing to expect.
    values = {label.value for label in found.task.labels}
    if regions is None:
        values &= set(np.unique(labels).tolist())
    else:
        values &= {label.value for label, one in zip(found.task.labels, regions, strict=True) if one.any()}
    return replace(
        found,
        volume=part.whole,
        labels=labels,
        uncertainty=np.asarray(part.in_whole(found.uncertainty, 0), dtype=np.float32),
        confidence=np.asarray(part.in_whole(found.confidence, 1), dtype=np.float32),
        regions=None if regions is None else regions.astype(np.bool_),
        region_confidence={value: own for value, own in found.region_confidence.items() if value in values},
        predicted_dice={value: own for value, own in found.predicted_dice.items() if value in values},
        quality=None if found.quality is None else found.quality.without(set(found.quality.dice) - values),
        region=part.region.as_dict(),
        inside=np.asarray(part.in_whole(np.ones(found.labels.shape, np.bool_), 0)),
        verdict=verdict,
    )


def _judged(placed: Segmentation, is_recognised: bool) -> Segmentation:
    """With what the verdict on the whole image says; what is to be expected of a foreign image nobody knows."""
    verdict = placed.checked
    told = [warning for warning in placed.warnings if warning != REGION_NOT_CHECKED]
    first = about_verdict(verdict, placed.task, is_recognised)
    notes = tuple(dict.fromkeys((*first, *verdict.warnings, *told)))
    return replace(placed, warnings=notes, predicted_dice={} if verdict.is_ood else placed.predicted_dice)


def _told(found: Segmentation) -> Segmentation:
    """Where nothing is left of what a model found, because it is not wanted or lies outside the region, with a word."""
    if (
        (found.region is None and not found.left_out)
        or found.labels.any()
        or nothing_found(found.task) in found.warnings
    ):
        return found
    return found.with_warnings([nothing_found(found.task, "that is wanted " if found.left_out else "")])
