"""The last stages of an image's way: decode, label, report."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.labels.image_traits import image_traits
from MultiTaskSegLib.runtime.labels.labelling import finished
from MultiTaskSegLib.runtime.model.manifest import TaskInfo
from MultiTaskSegLib.runtime.prediction.caution import cautions
from MultiTaskSegLib.runtime.prediction.network_pass import Wanted
from MultiTaskSegLib.runtime.prediction.recognition import Sight
from MultiTaskSegLib.runtime.prediction.segmentation import Segmentation
from MultiTaskSegLib.runtime.prediction.stage_progress import StageProgress
from MultiTaskSegLib.runtime.quality.image_quality import ImageQuality, image_quality
from MultiTaskSegLib.runtime.quality.quality_info import TaskQuality


class FoundMaps(Protocol):
    """Maps ``(Z, Y, X)`` on the image's own grid, see `MultiTaskSegLib.runtime.labels.labelling.Labelling`."""

    @property
    def labels(self) -> NDArray[np.uint8]:
        """Values, 0 is background."""

    @property
    def uncertainty(self) -> NDArray[np.float32]:
        """0 to 1."""

    @property
    def confidence(self) -> NDArray[np.float32]:
        """0 to 1."""

    @property
    def predicted_dice(self) -> Mapping[int, float | None]:
        """By label value."""


def answer(
    sight: Sight,
    volume: Volume,
    task: TaskInfo,
    decoding: StageProgress,
    labelling: StageProgress,
    *,
    started_s: float,
    is_recognised: bool,
) -> Segmentation:
    """Labels of one task, and everything that is said about them.

    Args:
        sight: of the volume, with what the encoder has kept.
        volume: the image.
        task: of the sight's candidate.
        decoding, labelling: progress of these stages; nothing is decoded where labels came with the encoder's pass.
        started_s: when the way began, by `time.perf_counter`.
        is_recognised: whether the task was found by the image's signature, not told.

    Raises:
        ResourceError: memory runs out.
    """
    network_pass, prepared = sight.candidate.network_pass, sight.prepared
    wanted = Wanted(task, prepared.canonical_shape)
    tell = decoding.network(network_pass.shortages)
    running = network_pass.decode(prepared.voxels, wanted, sight.encoded, tell, stem=sight.candidate.stem)
    labelling.tell(0.0, "labels")
    maps = finished(running, task, prepared)
    model = sight.candidate.model
    # Known images are wholes: what a part of one is like says nothing about it.
    verdict = None if volume.whole is not None else sight.verdict
    score = None if verdict is None else verdict.score
    quality = quality_of_maps(maps, score, model.manifest.quality_of(task))
    total_s = time.perf_counter() - started_s
    labelling.tell(1.0, "done")
    found = bool((maps.labels > 0).any())
    about = cautions(prepared.frame, task, verdict, is_recognised=is_recognised, is_something_found=found)
    return Segmentation(
        volume,
        maps.labels,
        maps.uncertainty,
        maps.confidence,
        task,
        verdict,
        model.manifest.name,
        model.digest,
        str(network_pass.device),
        {"network_s": total_s - running.seconds, "labels_s": running.seconds, "total_s": total_s},
        volume.warnings + about + tuple(dict.fromkeys((*sight.notes, *network_pass.notes))),
        # What is to be expected was measured on images like those of the training: of others nobody knows it.
        {} if verdict is not None and verdict.is_ood else quality.dice,
        maps.regions,
        maps.region_confidence,
        prepared.frame.as_dict(),
        quality=quality,
        precision=network_pass.backend.precision,
    )


def quality_of_maps(maps: FoundMaps, score: float | None, known: TaskQuality) -> ImageQuality:
    """What is to be expected of a result. Of a part of an image, and of one that was not checked, nothing but the
    expected Dice is known: corrections and bounds were learnt on others.

    Args:
        maps: of one pass.
        score: of the out-of-distribution check; None where nothing was checked.
        known: what the model file knows of the task.
    """
    if score is None:
        return ImageQuality(maps.predicted_dice, patients=known.patients, is_checked=False)
    if not known.traits:  # so that nobody waits for traits that nothing rests on
        return image_quality(maps.predicted_dice, {}, known)
    traits = image_traits(maps.labels, maps.uncertainty, maps.confidence, maps.predicted_dice.values(), score)
    return image_quality(maps.predicted_dice, traits, known)
