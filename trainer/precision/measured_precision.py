"""The whole of ``precision``: a model in lower precisions beside float32, on held-out, foreign and spoilt images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import TextIO

import numpy as np
import torch

from MultiTaskSegLib.runtime.errors import DatasetError, InputError, ResourceError
from MultiTaskSegLib.runtime.machine.memory_allocator import release_freed_memory
from MultiTaskSegLib.runtime.model.manifest import Manifest
from MultiTaskSegLib.runtime.model.model_file import Model, load_model, rewrite_manifest
from MultiTaskSegLib.runtime.model.precision_info import PrecisionFigures, PrecisionInfo
from MultiTaskSegLib.runtime.network.backend import TorchBackend
from MultiTaskSegLib.runtime.network.precision import FLOAT32, LOWER_PRECISIONS, Lower, hardware_precisions
from MultiTaskSegLib.runtime.network.reduced_backend import ReducedBackend
from MultiTaskSegLib.runtime.ood.verdict import Verdict
from MultiTaskSegLib.runtime.predictor import Predictor
from trainer.data.dataset import Dataset, read_datasets
from trainer.data.provenance import noted_held_out, unseen
from trainer.layout.case import Case
from trainer.measuring.held_out_dice import held_out_dice, held_out_samples
from trainer.ood.catalogue import ARTEFACT, KNOWN, LEFT_OUT, REAL, Entry, catalogue
from trainer.ood.separation import auroc
from trainer.refitting.descent import described
from trainer.refitting.output_place import OutputPlace
from trainer.report.progress import Progress
from trainer.training.training_device import training_device

VERSION = 1
FAMILIES = (KNOWN, LEFT_OUT, REAL, ARTEFACT)


@dataclass(frozen=True)
class Images:
    """What is looked at in every precision.

    Attributes:
        held_out: dataset and cases by task.
        checked: entries of the catalogue whose verdicts are compared.
    """

    held_out: Mapping[str, tuple[Dataset, Sequence[Case]]]
    checked: Sequence[Entry]

    @property
    def count(self) -> int:
        """How many times an image is looked at in one precision."""
        return sum(len(cases) for _, cases in self.held_out.values()) + len(self.checked)


@dataclass
class Behaviour:
    """What a model does with the images in one precision.

    Attributes:
        dice: mean by task.
        verdicts: by the entry's place; missing where the image shows nothing to check.
    """

    dice: dict[str, float] = field(default_factory=dict)
    verdicts: dict[int, Verdict] = field(default_factory=dict)


def measure_precisions(
    model_path: Path,
    directories: Sequence[Path],
    output: Path,
    *,
    foreign: Sequence[Path] = (),
    precisions: Sequence[Lower] = (),
    artefact_cases: int = 1,
    stream: TextIO | None = None,
) -> Manifest:
    """Run a model in float32 and in lower precisions on the same images, and write what that costs into its file.

    Patients of its tasks who were not known before are noted as held out.

    Args:
        model_path: model to measure.
        directories: one folder per task of the model, with the task's name; other datasets are foreign images.
        output: model file to write; may be ``model_path``.
        foreign: further folders of foreign images.
        precisions: which; none for those that this computer has instructions for. Others are slow, and round alike.
        artefact_cases: held-out cases per task that are spoilt by every artefact.
        stream: for progress; standard error by default.

    Raises:
        ResourceError: this computer has no lower precision, and none was named.
        DatasetError: a task has no folder or no held-out case, or there is no foreign image.
        ModelError: the model does not say whom it has seen, or another file has been written to the output meanwhile.
    """
    place = OutputPlace.of(output)
    model, device = load_model(model_path), training_device()
    wanted = tuple(dict.fromkeys(precisions)) or hardware_precisions(device)
    if not wanted:
        raise ResourceError(
            "this computer has no instructions for a lower precision",
            remedy="Measure on one that has, or name one with --precision, which takes long here: "
            + " or ".join(LOWER_PRECISIONS),
        )
    images = _images(model, device, directories, foreign, artefact_cases)
    progress, done = Progress((1 + len(wanted)) * images.count, "measuring", stream), count(1)

    def advance() -> None:
        """One more image."""
        progress.update(next(done))

    plain = Predictor(model, device.type, "torch")
    expected = behaviour(plain, images, advance)
    measured = []
    for precision in wanted:
        lower = Predictor(model, device.type, ReducedBackend(TorchBackend(plain.network, plain.device), precision))
        found = behaviour(lower, images, advance)
        _require_computed(lower, precision)
        measured.append(compared(precision, lower.backend.name, images, found, expected))
    changed = replace(model.manifest, precision=PrecisionInfo(VERSION, tuple(measured)))
    changed = noted_held_out(changed, {name: cases for name, (_, cases) in images.held_out.items()})
    manifest = described(changed, model.digest)
    place.require_untouched()
    rewrite_manifest(model_path, manifest, output, read_as=model.digest)
    return manifest


def behaviour(predictor: Predictor, images: Images, advance: Callable[[], None]) -> Behaviour:
    """What a model does with the images.

    Args:
        predictor: in one precision.
        images: which.
        advance: called after each.
    """
    found = Behaviour()
    for name, (dataset, cases) in images.held_out.items():
        task = predictor.manifest.task(name)
        by_label = held_out_dice(held_out_samples(predictor, task, dataset.labels, cases, advance))
        found.dice[name] = float(np.mean(list(by_label.values()))) if by_label else 0.0
    for number, entry in enumerate(images.checked):
        volume, _ = entry.load()
        try:
            found.verdicts[number] = predictor.check(volume)
        except InputError:
            # A fault may leave nothing to see; then no precision says anything.
            found.verdicts.pop(number, None)
        release_freed_memory()
        advance()
    return found


def compared(precision: Lower, backend: str, images: Images, found: Behaviour, expected: Behaviour) -> PrecisionFigures:
    """The figures of a lower precision.

    Args:
        precision: which.
        backend: who computed.
        images: that were looked at.
        found, expected: what the model does with them in this precision, and in float32.
    """
    judged = [number for number in range(len(images.checked)) if number in expected.verdicts]
    differing = [number for number in judged if not _is_same(found.verdicts.get(number), expected.verdicts[number])]

    def separation(own: Behaviour) -> float:
        """AUROC of known against all others."""
        scores: dict[bool, list[float]] = {True: [], False: []}
        for number in judged:
            if number in own.verdicts:
                scores[images.checked[number].family == KNOWN].append(own.verdicts[number].score)
        return auroc(scores[True], scores[False]) if scores[True] and scores[False] else 0.5

    return PrecisionFigures(
        precision,
        backend,
        {name: round(value, 6) for name, value in found.dice.items()},
        {name: round(value, 6) for name, value in expected.dice.items()},
        len(judged),
        len(differing),
        round(separation(found), 6),
        round(separation(expected), 6),
    )


def _is_same(found: Verdict | None, expected: Verdict) -> bool:
    """Whether an image is flagged in both or in neither, and taken for one of the same task."""
    if found is None:
        return False
    return (found.is_ood, found.nearest_task) == (expected.is_ood, expected.nearest_task)


def _require_computed(predictor: Predictor, precision: Lower) -> None:
    """Where plain torch has taken over, nothing was measured."""
    if predictor.backend.precision == FLOAT32:
        raise ResourceError(
            f"{precision} failed on this computer while it computed",
            remedy="Measure on another computer, or with another version of torch",
        )


def _images(
    model: Model, device: torch.device, directories: Sequence[Path], foreign: Sequence[Path], artefact_cases: int
) -> Images:
    datasets = read_datasets(directories, several=True)
    by_name = {dataset.name: dataset for dataset in datasets}
    tasks = [task.name for task in model.manifest.tasks if task.labels]
    if missing := [name for name in tasks if name not in by_name]:
        raise DatasetError(f"no folder for {', '.join(missing)}", remedy="Give the dataset of every task in --data")
    held_out = {name: (by_name[name], unseen(by_name[name], model.manifest)) for name in tasks}
    if not all(cases for _, cases in held_out.values()):
        raise DatasetError("a task has no held-out case", remedy="Give the datasets that the model was trained on")
    entries = catalogue(Predictor(model, device.type, "torch"), datasets, foreign, artefact_cases)
    return Images(held_out, [entry for entry in entries if entry.family in FAMILIES])
