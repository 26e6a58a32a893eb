"""The whole story on data made by code: phantoms, training, segmentation of unseen cases, foreign images, pictures."""

from __future__ import annotations

import json
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np

from MultiTaskSegLib.runtime.errors import UsageError
from MultiTaskSegLib.runtime.image.image_file import read_image
from MultiTaskSegLib.runtime.image.sitk_image import to_sitk, write_image
from MultiTaskSegLib.runtime.prediction.segmentation import Segmentation
from MultiTaskSegLib.runtime.predictor import Predictor
from trainer.config import TrainingConfig
from trainer.data.dataset import Dataset, read_dataset
from trainer.demo.picture import write_pictures
from trainer.demo.story import KnownCase, Story, numbers, summary
from trainer.metrics.case_overlap import overlap_by_label
from trainer.phantom.artefact import ARTEFACTS
from trainer.phantom.cohort import write_cohort
from trainer.phantom.task import FOREIGN, draw_foreign
from trainer.report.report import write_whole
from trainer.report.run_folder import LOCK_FILE, RunFolder
from trainer.training.run_lock import held
from trainer.training.train_model import train_model
from trainer.training.training import Budget

SEED = 1
MARKER = "demo.json"
MODEL = "phantom.mts.safetensors"
CONFIG = TrainingConfig(
    seed=SEED,
    channels=(12, 24, 48),
    patch_voxels=24_000,
    learning_rate=4e-3,
    warmup_steps=20,
    foreground_fraction=0.8,
    ema_decay=0.98,
    validations=4,
    validation_cases=1,
    minimum_validation_groups=6,
    workers=1,
)


@dataclass(frozen=True)
class DemoSize:
    """How much the demo does.

    Attributes:
        cases: training cases per task.
        test_cases: unseen cases per task.
        steps: of the training. Not minutes: on a machine that is slow or busy the same model takes longer, instead of
            another one being shown that has learnt nothing.
    """

    cases: int = 24
    test_cases: int = 3
    steps: int = 600


def run_demo(
    directory: Path, *, size: DemoSize | None = None, stream: TextIO | None = None, output: TextIO | None = None
) -> int:
    """Makes phantoms, trains on them, and shows what the model does with known and foreign images.

    Args:
        directory: for all results; must be new, empty or left by an earlier demo, whose results are replaced.
        size: how much to do; the default trains for three to six minutes on two cores.
        stream: for progress; standard error by default.
        output: for the summary; standard output by default.

    Returns:
        0 when the story held, 1 when it did not; the summary then says why.

    Raises:
        UsageError: the folder holds something else.
    """
    started_s = time.monotonic()
    size, stream, output = size or DemoSize(), stream or sys.stderr, output or sys.stdout
    _require_room(directory)
    with held(directory, "this demo", stream):
        _clear(directory)
        story = _told(directory, size, stream, started_s)
    print(summary(story, directory), file=output)
    return 1 if story.failures() else 0


def _told(directory: Path, size: DemoSize, stream: TextIO, started_s: float) -> Story:
    """From phantoms to pictures."""
    print("1/4 making phantoms: head T1, short-axis heart cine, torso CT", file=stream, flush=True)
    folders = write_cohort(directory / "data", SEED, size.cases, size.test_cases)
    print(f"2/4 training one model for all three, {size.steps} steps", file=stream, flush=True)
    training_s = _train(folders, directory / MODEL, size, stream)
    print("3/4 segmenting unseen cases, checking foreign images", file=stream, flush=True)
    predictor = Predictor.load(directory / MODEL, "cpu")
    known = tuple(case for folder in folders for case in _segment_unseen(predictor, folder, directory / "results"))
    foreign = {name: _segment_foreign(predictor, name, directory) for name in FOREIGN}
    spoilt = _segment_spoilt(predictor, known[0])
    print("4/4 drawing pictures", file=stream, flush=True)
    story = Story(known, foreign, spoilt, training_s, 0.0)
    write_pictures(story, predictor, RunFolder(directory / MODEL), directory)
    story = Story(known, foreign, spoilt, training_s, time.monotonic() - started_s)
    write_whole(directory / MARKER, (json.dumps(numbers(story), indent=1) + "\n").encode("utf-8"))
    return story


def _require_room(directory: Path) -> None:
    """Only an earlier demo is ever removed."""
    directory.mkdir(parents=True, exist_ok=True)
    is_empty = all(entry.name == LOCK_FILE for entry in directory.iterdir())
    if not is_empty and not (directory / MARKER).is_file():
        raise UsageError("the folder is not empty", file=directory, remedy="Choose a new or empty folder with -o")


def _clear(directory: Path) -> None:
    """Makes room for new results."""
    for name in ("data", "results", "foreign", MODEL.replace(".mts.safetensors", ".run")):
        shutil.rmtree(directory / name, ignore_errors=True)
    # The marker comes first, so that an interrupted demo can be started again.
    (directory / MARKER).write_text("{}\n", encoding="utf-8")


def _train(folders: list[Path], model: Path, size: DemoSize, stream: TextIO) -> float:
    """Trains and writes the model file. Returns the seconds of the training loop."""
    train_model(folders, model, CONFIG, Budget(steps=size.steps), stream=stream)
    return float(RunFolder(model).records()[-1]["elapsed_s"])


def _segment_unseen(predictor: Predictor, folder: Path, results: Path) -> list[KnownCase]:
    dataset = read_dataset(folder, "imagesTs")
    return [_segment_case(predictor, dataset, number, results) for number in range(len(dataset.cases))]


def _segment_case(predictor: Predictor, dataset: Dataset, number: int, results: Path) -> KnownCase:
    case = dataset.cases[number]
    volume, truth = case.read_pair(dataset.labels)
    result = predictor.segment(volume)
    result.write(results / case.name)
    overlaps = overlap_by_label(result.labels, result.task, truth, dataset.labels)
    return KnownCase(case.name, dataset.name, result, {name: overlap.dice for name, overlap in overlaps.items()})


def _segment_foreign(predictor: Predictor, name: str, directory: Path) -> Segmentation:
    volume = draw_foreign(name, SEED).volume
    path = directory / "foreign" / f"{name.replace(' ', '_')}.nii.gz"
    path.parent.mkdir(exist_ok=True)
    write_image(to_sitk(volume.voxels.astype(np.int16), volume), path)
    result = predictor.segment(read_image(path))
    result.write(directory / "results" / path.name.removesuffix(".nii.gz"))
    return result


def _segment_spoilt(predictor: Predictor, case: KnownCase) -> dict[str, Segmentation]:
    random = np.random.default_rng(SEED)
    return {name: predictor.segment(spoil(case.result.volume, random)) for name, spoil in ARTEFACTS.items()}
