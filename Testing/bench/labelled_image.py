"""Images to measure on: one of the wanted size, and real ones with labels."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from MultiTaskSegLib.runtime.image.preparation import Prepared, prepare
from MultiTaskSegLib.runtime.image.resampling import resample_linear
from MultiTaskSegLib.runtime.model.manifest import TaskInfo
from MultiTaskSegLib.runtime.predictor import Predictor
from trainer.data.dataset import read_dataset
from trainer.data.label_resampling import resample_labels
from trainer.data.provenance import unseen
from trainer.data.spread import evenly
from trainer.metrics.overlap import dice_per_label, mean_defined

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class LabelledImage:
    """A prepared real image with the truth on its own grid.

    Attributes:
        name: dataset and case.
        task: of the model.
        prepared: network input and the way back.
        truth: label values ``(Z, Y, X)``.
    """

    name: str
    task: TaskInfo
    prepared: Prepared
    truth: np.ndarray

    def dice(self, index: np.ndarray) -> float:
        """Mean Dice over the task's labels of class numbers ``(Z, Y, X)`` on the network's grid."""
        values = np.array([0, *(label.value for label in self.task.labels)], dtype=np.uint8)
        found = self.prepared.restore(resample_labels(values[index], self.prepared.canonical_shape))
        return mean_defined(list(dice_per_label(found, self.truth, tuple(int(v) for v in values[1:])).values()))


def synthetic_voxels(shape: tuple[int, int, int], seed: int = 0) -> np.ndarray:
    """Smooth noise in [0, 1] with fine noise on top: float32 ``(Z, Y, X)``; the cost does not depend on the content."""
    rng = np.random.default_rng(seed)
    z, y, x = (max(2, n // 16) for n in shape)
    smooth = resample_linear(rng.random((z, y, x), dtype=np.float32), shape)
    for number in range(shape[0]):
        smooth[number] += 0.05 * rng.standard_normal(shape[1:], dtype=np.float32)
    return np.ascontiguousarray(np.clip(smooth, 0.0, 1.0), dtype=np.float32)


def data_folder() -> Path | None:
    """Where real datasets are: MULTITASKSEG_DATA, else ``../shared/data`` beside the checkout; None where absent."""
    named = os.environ.get("MULTITASKSEG_DATA")
    folder = Path(named) if named else REPOSITORY.parent / "shared" / "data"
    return folder if folder.is_dir() else None


def labelled_images(predictor: Predictor, folder: Path, per_task: int) -> Iterator[LabelledImage]:
    """Of every task cases of patients that the model was not trained on, evenly spaced over the order of names."""
    for task in predictor.manifest.tasks:
        if not per_task or not (folder / task.name).is_dir():
            continue
        for case in evenly(unseen(read_dataset(folder / task.name), predictor.manifest), per_task):
            prepared = prepare(case.read_image(), task.profile)
            yield LabelledImage(f"{task.name}/{case.name}", task, prepared, case.read_labels()[0])
