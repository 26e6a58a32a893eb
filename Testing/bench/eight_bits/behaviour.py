"""What a model makes of images in one precision, and how that differs from float32."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.model.model_file import Model
from MultiTaskSegLib.runtime.model.precision_info import LARGEST_DIFFERENCE, ROUNDING
from MultiTaskSegLib.runtime.network.backend import Backend
from MultiTaskSegLib.runtime.ood.verdict import Verdict
from MultiTaskSegLib.runtime.prediction.sights import Sights
from MultiTaskSegLib.runtime.predictor import Predictor
from Testing.bench.eight_bits.images import Images
from trainer.measuring.held_out_dice import held_out_dice
from trainer.metrics.overlap import dice_per_label, mean_defined
from trainer.quality.quality_sample import quality_sample

HELD_OUT, SPOILT, FOREIGN = "held-out", "spoilt", "foreign"


@dataclass(frozen=True)
class Look:
    """What is made of one image.

    Attributes:
        family: one of the three above.
        verdict: None where the image shows nothing to check.
        logs: by layer, the logarithms of its singular values, as the verdict sees them.
        task: of a held-out image, which is told; else empty.
        labels: of a held-out image, ``(Z, Y, X)``.
    """

    family: str
    verdict: Verdict | None
    logs: Mapping[str, NDArray[np.float64]]
    task: str = ""
    labels: NDArray[np.uint8] | None = None


@dataclass
class Behaviour:
    """What is made of all images; ``dice`` is the mean over labels against the truth, by task."""

    dice: dict[str, float] = field(default_factory=dict)
    looks: list[Look] = field(default_factory=list)


def behaviour(predictor: Predictor, images: Images, advance: Callable[[str], None]) -> Behaviour:
    """Check every image, and segment held-out ones; a check's maps serve the segmentation.

    Args:
        predictor: in one precision, see `remembering_predictor`.
        images: which.
        advance: told the family after each image.
    """
    found = Behaviour()
    for name, (dataset, cases) in images.held_out.items():
        samples = []
        for case in cases:
            volume, truth = case.read_pair(dataset.labels)
            look = _look(predictor, volume, HELD_OUT)
            result = predictor.segment(volume, name)
            found.looks.append(Look(HELD_OUT, look.verdict, look.logs, name, result.labels))
            samples.append(quality_sample(result, truth, dataset.labels, case.group))
            advance(HELD_OUT)
        by_label = list(held_out_dice(samples).values())
        found.dice[name] = mean_defined(by_label) if by_label else 0.0
    for family, volumes in ((SPOILT, (e.load()[0] for e in images.spoilt)), (FOREIGN, iter(images.foreign))):
        for volume in volumes:
            found.looks.append(_look(predictor, volume, family))
            advance(family)
    return found


def remembering_predictor(model: Model, backend: Backend) -> Predictor:
    """A predictor for `behaviour`."""
    predictor = Predictor(model, "cpu", backend, Sights())
    predictor.keeps_maps = True
    return predictor


def _look(predictor: Predictor, volume: Volume, family: str) -> Look:
    try:
        verdict, spectra = predictor.examine(volume)
    except InputError:  # a fault may leave nothing to see
        return Look(family, None, {})
    return Look(family, verdict, {name: predictor.model.reference.spec.vector(own) for name, own in spectra.items()})


def compared(found: Behaviour, expected: Behaviour, values: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """Figures of a precision beside those of float32.

    Args:
        found, expected: in this precision and in float32, of the same images.
        values: of the labels, by task.
    """
    pairs = list(zip(found.looks, expected.looks, strict=True))
    differing = [own.family for own, exact in pairs if judged(own) != judged(exact)]
    differences = {name: round(value - expected.dice[name], 6) for name, value in found.dice.items()}
    return {
        "dice": {name: round(value, 6) for name, value in found.dice.items()},
        "dice_difference": differences,
        **_labels(pairs, values),
        "log_spectrum_shift": _shifts(pairs),
        "score_ratio": round(max((_score_ratio(own, exact) for own, exact in pairs), default=1.0), 4),
        "verdicts": sum(own.verdict is not None or exact.verdict is not None for own, exact in pairs),
        "differing_verdicts": {family: differing.count(family) for family in (HELD_OUT, SPOILT, FOREIGN)},
        "is_accepted": not differing and all(abs(d) <= LARGEST_DIFFERENCE + ROUNDING for d in differences.values()),
    }


def judged(look: Look) -> tuple[bool, str] | None:
    """What must be the same: whether an image is foreign, and whose images it is nearest to."""
    return None if look.verdict is None else (look.verdict.is_ood, look.verdict.nearest_task)


def _labels(pairs: Sequence[tuple[Look, Look]], values: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """By task, share of equal labels and Dice against float32's labels: the mean, and the least of an image."""
    equal: dict[str, list[float]] = {}
    overlap: dict[str, list[float]] = {}
    for own, exact in pairs:
        if own.labels is not None and exact.labels is not None:
            equal.setdefault(own.task, []).append(float(np.mean(own.labels == exact.labels)))
            score = mean_defined(list(dice_per_label(own.labels, exact.labels, tuple(values[own.task])).values()))
            overlap.setdefault(own.task, []).append(1.0 if np.isnan(score) else score)  # neither has found anything
    return {
        key: {task: {"mean": round(float(np.mean(of)), 6), "least": round(min(of), 6)} for task, of in by_task.items()}
        for key, by_task in (("equal_labels", equal), ("dice_to_float32", overlap))
    }


def _shifts(pairs: Sequence[tuple[Look, Look]]) -> dict[str, float]:
    """By layer, the largest difference of a logarithm; of images that are taken for other ones there is none."""
    found: dict[str, float] = {}
    for own, exact in pairs:
        if own.verdict is None or exact.verdict is None or own.verdict.nearest_task != exact.verdict.nearest_task:
            continue
        for layer, logs in own.logs.items():
            found[layer] = max(found.get(layer, 0.0), float(np.abs(logs - exact.logs[layer]).max()))
    return {layer: round(value, 4) for layer, value in found.items()}


def _score_ratio(own: Look, exact: Look) -> float:
    """Of two scores of an image the larger to the smaller."""
    if own.verdict is None or exact.verdict is None or min(own.verdict.score, exact.verdict.score) <= 0:
        return 1.0
    return max(own.verdict.score, exact.verdict.score) / min(own.verdict.score, exact.verdict.score)
