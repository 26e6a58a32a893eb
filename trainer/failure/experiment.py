"""The experiment ``failure-detection``: does any confidence of an image tell that its segmentation is bad?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TextIO

from MultiTaskSegLib.runtime.errors import DatasetError, UsageError
from MultiTaskSegLib.runtime.model.manifest import TaskInfo
from MultiTaskSegLib.runtime.predictor import Predictor
from trainer.data.dataset import Dataset, datasets_with_masks
from trainer.failure.confidence import confidences
from trainer.failure.failure_flag import FAILURE_DICE
from trainer.failure.filed_quality import FiledQuality
from trainer.failure.findings import findings
from trainer.failure.image_store import ImageStore
from trainer.failure.measured_image import MeasuredImage
from trainer.failure.page import write_page
from trainer.failure.repeat import SNAPSHOTS, Dropout, Ensemble, FurtherLooks, Repeat, require_same_labels
from trainer.ood.catalogue import KNOWN, Entry, spoilt_images
from trainer.ood.fault.artefact import ARTEFACT_KINDS, PLANAR_ARTEFACT_KINDS
from trainer.report.origin import origin
from trainer.report.progress import Progress
from trainer.report.run_folder import write_json_file
from trainer.snapshot.snapshot_model import require_snapshots_of
from trainer.uncertainty.experiment import usable_cases

SCHEMA = "multitaskseg-failure-detection/1"
KINDS = ("bias_field", "ghosting", "spikes", "motion")
"""The faults of Zenk et al. 2025, with motion in place of their affine deformation, which turns the truth, too."""


@dataclass(frozen=True)
class FailureOptions:
    """What to measure.

    Attributes:
        models: model files; the first is measured, the others make an ensemble with it.
        data: dataset folders, one per task to measure.
        kinds: of artefacts, each in three severities.
        passes: of Monte Carlo dropout; 0 leaves it out.
        looks: whether the further looks of the thorough check are taken.
        seed: of dropout and of the patients drawn.
        rounds: in which patients are drawn.
        title: of what is measured.
        snapshots: further model files, left by the training of the first of ``models``.
    """

    models: tuple[Path, ...]
    data: tuple[Path, ...]
    kinds: tuple[str, ...] = KINDS
    passes: int = 0
    looks: bool = False
    seed: int = 0
    rounds: int = 1000
    title: str = "Failure detection"
    snapshots: tuple[Path, ...] = ()


def run_failure_detection(
    options: FailureOptions, output: Path, words: Sequence[str] = (), stream: TextIO | None = None
) -> dict[str, Any]:
    """Measure a model on held-out images, clean and spoilt; write ``metrics.json`` and ``report.html`` to ``output``.

    Images that are measured already are not measured again.

    Args:
        options: what to measure.
        output: folder; also keeps what is needed to go on after an interruption.
        words: of the command line, for the record.
        stream: for progress; standard error by default.

    Raises:
        DatasetError: a dataset is not a task of the model, or no case of it was held out from all models.
        ModelError: a model does not say whom it has seen.
        UsageError: models do not know the same labels, a snapshot is none of the model that is measured, a task takes
            several channels or has regions that overlap, a model or a kind is given twice, a kind is unknown or cannot
            be seen in the model's images, or the seed is negative.
    """
    # Before the work: the sources may have changed when it is done.
    source = origin("python -m trainer", words)
    require_different(options.kinds, "artefact")
    if options.seed < 0:
        raise UsageError(f"the seed {options.seed} is negative", remedy="Use 0 or more")
    predictors, snapshots = ([Predictor.load(path) for path in own] for own in (options.models, options.snapshots))
    everyone = [*predictors, *snapshots]
    require_different([predictor.model.digest for predictor in everyone], "model of the digest")
    require_snapshots_of(predictors[0].model, [predictor.model for predictor in snapshots])
    chosen = [
        entry for dataset in datasets_with_masks(options.data) for entry in entries(dataset, everyone, options.kinds)
    ]
    store = ImageStore(output / "images", predictors[0], repeats(options, predictors, snapshots))
    images, left_out = _measured(store, chosen, stream)
    filed = FiledQuality.of(predictors[0].manifest)
    metrics = {
        "schema": SCHEMA,
        "title": options.title,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        **source,
        "model": _identity(predictors[0]),
        "ensemble": [_identity(predictor) for predictor in predictors[1:]],
        "snapshots": [_identity(predictor) for predictor in snapshots],
        "dropout_passes": options.passes,
        "kinds": list(options.kinds),
        "failure_dice": FAILURE_DICE,
        "left_out": left_out,
        "new_patients": len({image.group for image in images if not filed.knows(image.group)}),
        **findings(images, confidences(images, filed), options.seed, options.rounds, filed),
    }
    write_json_file(output / "metrics.json", metrics)
    write_page(metrics, output / "report.html")
    return metrics


def entries(dataset: Dataset, predictors: Sequence[Predictor], kinds: Sequence[str]) -> list[Entry]:
    """Images of a dataset whose patients none of the models has seen: clean, then spoilt.

    Raises:
        DatasetError: it is no task of the first model, or there is no such image.
        UsageError: the models do not mean the same by the task, it takes several channels or has regions that overlap,
            or a kind is unknown or cannot be seen in the model's images.
    """
    task = _task(predictors[0], dataset)
    require_same_labels(predictors, task)
    for own in (predictor.manifest.task(task.name) for predictor in predictors):
        if own.input_count > 1 or own.are_regions:
            has = "takes several channels, and artefacts are made in one" if own.input_count > 1 else "has regions"
            raise UsageError(f"{task.name} {has}", remedy="Leave it out")
    _require_visible(kinds, predictors[0])
    cases = usable_cases(dataset, predictors)
    known = [
        Entry(
            KNOWN, dataset.name, case.name, case.group, task.name, case.image, case.label, reader=case.reader,
            label_names=dataset.labels,
        )
        for case in cases
    ]  # fmt: skip
    return [image for entry in known for image in (entry, *spoilt_images(entry, kinds))]


def require_different(names: Sequence[str], what: str) -> None:
    """Refuse what would count twice.

    Args:
        names: of which none may be given twice.
        what: they are, for the message.

    Raises:
        UsageError: one is.
    """
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise UsageError(f"the {what} {twice[0]} is given twice", remedy="Give it once")


def repeats(
    options: FailureOptions, predictors: Sequence[Predictor], snapshots: Sequence[Predictor] = ()
) -> list[Repeat]:
    """The ways to segment an image several times that were asked for."""
    ways: list[Repeat] = []
    if options.passes:
        ways.append(Dropout(predictors[0], options.passes, seed=options.seed))
    if options.looks:
        ways.append(FurtherLooks(predictors[0]))
    if len(predictors) > 1:
        ways.append(Ensemble(predictors))
    if snapshots:
        ways.append(Ensemble([predictors[0], *snapshots], SNAPSHOTS))
    return ways


def _measured(
    store: ImageStore, chosen: Sequence[Entry], stream: TextIO | None
) -> tuple[list[MeasuredImage], dict[str, int]]:
    """The images, and how many of them could not be prepared or have no Dice, by task."""
    progress = Progress(len(chosen), "measuring", stream)
    images: list[MeasuredImage] = []
    left_out: dict[str, int] = {}
    for number, entry in enumerate(chosen, start=1):
        image = store.get(entry)
        if image is None or image.mean_dice != image.mean_dice:
            left_out[entry.task] = left_out.get(entry.task, 0) + 1
        else:
            images.append(image)
        progress.update(number)
    store.keep()
    if not images:
        raise DatasetError("none of the images has a Dice coefficient", remedy="Give labelled images")
    return images, left_out


def _task(predictor: Predictor, dataset: Dataset) -> TaskInfo:
    try:
        return predictor.manifest.task(dataset.name)
    except KeyError:
        raise DatasetError(
            f"the model has no task {dataset.name!r}", file=dataset.directory, remedy="Give its own datasets"
        ) from None


def _require_visible(kinds: Sequence[str], predictor: Predictor) -> None:
    """What cannot be seen in 2-D images would be measured as if it did no harm."""
    unseen = [kind for kind in kinds if kind in ARTEFACT_KINDS and kind not in PLANAR_ARTEFACT_KINDS]
    if unseen and predictor.manifest.is_planar:
        raise UsageError(f"{unseen[0]} cannot be seen in 2-D images", remedy="Leave it out of --kinds")


def _identity(predictor: Predictor) -> dict[str, str]:
    return {"name": predictor.manifest.name, "sha256": predictor.model.digest}
