"""What is published of one model: the newest figures of every kind that were measured with it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from MultiTaskSegLib.runtime.errors import DatasetError
from MultiTaskSegLib.runtime.model.manifest import Manifest
from trainer.ood.page import UNTRAINED
from trainer.refitting.descent import CHECKED_AS, MEASURED_AS, REFITTED_FROM, digests_in

TOLD = "-told"
Content = Mapping[str, Any]


@dataclass(frozen=True)
class PublishedFigures:
    """Of one model.

    Attributes:
        evaluation, told: of ``evaluate``, where ``auto`` chose the task and where it was told.
        benchmark: of the check, all families and every control; may be of the same weights before a refit. None where
            the check knows images without labels, which the benchmark cannot measure.
        places, localisation: file name and content of the map of foreign places; likewise.
        acceptance: then, how many images of which folders the check accepts.
    """

    evaluation: Content
    told: Content
    benchmark: Content | None
    places: str
    localisation: Content | None
    acceptance: Content | None = None


def published_figures(manifest: Manifest, digest: str, results: Path) -> PublishedFigures:
    """Find them.

    Args:
        manifest, digest: of the model file.
        results: folder with the published ``evaluation-*``, ``ood-benchmark-*`` and ``localisation-*`` JSON files, or
            ``acceptance-*`` in place of the last two.

    Raises:
        DatasetError: one of them is missing.
    """
    digests = measured_as(manifest, digest)
    names = {task.name for task in manifest.tasks}
    checked = checked_as(manifest, digest)
    older = (*checked, *digests_in(manifest.training, REFITTED_FROM))

    def of_model(content: Content) -> bool:
        """Whether figures were measured with this very model, on all of its tasks."""
        return content.get("model") in digests and names <= set(content["datasets"])

    def of_weights(content: Content) -> bool:
        """Whether figures were measured with these weights, before the check was fitted anew or since."""
        return content.get("model") in older

    def complete(content: Content) -> bool:
        """Whether a benchmark is of these weights alone, of all families and with every control."""
        first = content["models"][0]
        is_controlled = any(name.startswith(UNTRAINED) for name in first["detectors"])
        is_whole = is_controlled and "artefact" in first["shipped"]["sensitivity"]
        return first["sha256"] in older and len(content["models"]) == 1 and is_whole

    _, evaluation = _newest(results, f"evaluation-*-{manifest.name}.json", of_model)
    _, told = _newest(results, f"evaluation-*-{manifest.name}{TOLD}.json", of_model)
    for _, acceptance in _fitting(results, f"acceptance-*-{manifest.name}.json", lambda own: own["model"] in checked):
        return PublishedFigures(evaluation, told, None, "", None, acceptance)
    _, benchmark = _newest(results, "ood-benchmark-*.json", complete)
    places, localisation = _newest(results, f"localisation-*-{manifest.name}.json", of_weights)
    return PublishedFigures(evaluation, told, benchmark["models"][0], places, localisation)


def measured_as(manifest: Manifest, digest: str) -> tuple[str, ...]:
    """Digests of the files whose figures are the model's: its own, and those of earlier files that differ in nothing
    but in what the manifest says about the training or lower precisions."""
    return digest, *digests_in(manifest.training, MEASURED_AS)


def checked_as(manifest: Manifest, digest: str) -> tuple[str, ...]:
    """Digests of the files whose labels and verdicts are the model's: `measured_as`, and those of earlier files that
    foretell another Dice."""
    return *measured_as(manifest, digest), *digests_in(manifest.training, CHECKED_AS)


def _newest(folder: Path, pattern: str, fits: Callable[[Content], bool]) -> tuple[str, Content]:
    """Name and content of the newest file that fits."""
    for found in _fitting(folder, pattern, fits):
        return found
    raise DatasetError(
        f"no {pattern} is of this model file and all of its tasks", file=folder, remedy="Measure and publish it first"
    )


def _fitting(folder: Path, pattern: str, fits: Callable[[Content], bool]) -> Iterator[tuple[str, Content]]:
    """Names and contents of the files that fit, the newest first."""
    for path in sorted(folder.glob(pattern), reverse=True):
        content = json.loads(path.read_text(encoding="utf-8"))
        if fits(content):
            yield path.name, content
