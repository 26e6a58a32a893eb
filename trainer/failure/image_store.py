"""Measured images on disk, so that an interrupted experiment goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.runtime.machine.memory_allocator import release_freed_memory
from MultiTaskSegLib.runtime.model.manifest import TaskInfo
from MultiTaskSegLib.runtime.predictor import Predictor
from trainer.data.data_fingerprint import case_content
from trainer.data.label_resampling import LABELS_BY
from trainer.data.prepared_label import PREPARED_BY
from trainer.failure.image_traits import image_traits, label_volumes_ml
from trainer.failure.measured_image import CLEAN, MeasuredImage
from trainer.failure.repeat import Repeat
from trainer.failure.shipped_look import look
from trainer.identity.file_content import MEMORY_NAME, FileContents
from trainer.identity.fingerprint import fingerprint
from trainer.metrics.case_overlap import overlap_by_label
from trainer.ood.catalogue import Entry
from trainer.report.run_folder import write_json_file

# Change whenever what an earlier version has stored must not be used any more.
STORE_VERSION = 1
NAME_DIGITS = 16
REFUSED = "refused"
PAIRWISE_DICE = "pairwise_dice"


class ImageStore:
    """Measures what is not there yet. A file is named after all that its content depends on: what the image's files
    hold, what is done to the image, the model, and the way in which the segmentation is repeated.

    Args:
        folder: for the files.
        predictor: the model that is measured.
        repeats: ways to segment an image several times.
    """

    def __init__(self, folder: Path, predictor: Predictor, repeats: Sequence[Repeat] = ()) -> None:
        self._folder, self._predictor, self._repeats = folder, predictor, tuple(repeats)
        self._contents = FileContents(folder / MEMORY_NAME)
        folder.mkdir(parents=True, exist_ok=True)

    def get(self, entry: Entry) -> MeasuredImage | None:
        """An image; None when it cannot be prepared, for the model that is measured or for another of an ensemble: an
        artefact can leave nothing but air."""
        task = self._predictor.manifest.task(entry.task)
        facts = self._kept(entry, "image", {}, lambda: self._measured(entry, task).as_dict())
        if REFUSED in facts:
            return None
        agreement: dict[str, float] = {}
        for way in self._repeats:
            found = self._kept(entry, way.name, way.settings, partial(_agreement, way, entry, task))
            if REFUSED in found:
                return None
            agreement[way.name] = _or_nan(found[PAIRWISE_DICE])
        return replace(MeasuredImage.from_dict(facts), agreement=agreement)

    def keep(self) -> None:
        """Remember what the files hold, so that they need not be read again."""
        self._contents.keep()

    def _measured(self, entry: Entry, task: TaskInfo) -> MeasuredImage:
        volume, truth = entry.load()
        assert truth is not None, "only labelled images are measured"
        seen = look(self._predictor, volume, task)
        overlaps = overlap_by_label(seen.maps.labels, task, truth, entry.label_names, seen.maps.regions)
        by_value = label_volumes_ml(seen.maps, float(np.prod(volume.spacing_mm)) / 1000)
        return MeasuredImage(
            entry.task,
            entry.name,
            entry.group,
            CLEAN if entry.artefact is None else entry.artefact.kind,
            0 if entry.artefact is None else entry.artefact.severity,
            {name: overlap.dice for name, overlap in overlaps.items()},
            {label.name: _or_nan(seen.maps.predicted_dice[label.value]) for label in task.labels},
            image_traits(seen.maps),
            {label.name: by_value[label.value] for label in task.labels},
            seen.verdict.score,
            seen.verdict.is_ood,
            seen.seconds,
        )

    def _kept(
        self, entry: Entry, what: str, settings: Mapping[str, object], measure: Callable[[], dict[str, Any]]
    ) -> dict[str, Any]:
        content = [case_content(case, self._contents) for case in entry.cases]
        names = list(entry.label_names.items())
        versions = [STORE_VERSION, PREPARED_BY, LABELS_BY]
        mark = fingerprint([versions, self._predictor.model.digest, dict(settings), content, names])
        path = self._folder / f"{entry.key}.{what}.{mark[:NAME_DIGITS]}.json"
        if not path.is_file():
            try:
                write_json_file(path, measure())
            except InputError as error:
                write_json_file(path, {REFUSED: str(error)})
            # What a large image needed would stay with the process through all the small ones.
            release_freed_memory()
        facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return facts


def _agreement(way: Repeat, entry: Entry, task: TaskInfo) -> dict[str, Any]:
    return {PAIRWISE_DICE: way.agreement(entry.load()[0], task)}


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value
