"""A segmentation as it ships, with what is not told of images that the check calls foreign: their expected Dice."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.image.preparation import prepare
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.labels.labelling import Labelling, finished
from MultiTaskSegLib.runtime.model.manifest import TaskInfo
from MultiTaskSegLib.runtime.ood.verdict import Verdict
from MultiTaskSegLib.runtime.prediction.candidate import candidates_of
from MultiTaskSegLib.runtime.prediction.network_pass import NetworkPass
from MultiTaskSegLib.runtime.prediction.recognition import recognise
from MultiTaskSegLib.runtime.prediction.stage_progress import StageProgress
from MultiTaskSegLib.runtime.predictor import Predictor
from trainer.tiled.task_logits import task_logits
from trainer.uncertainty.estimator import injected_dropout

LabelMap = NDArray[np.uint8]


@dataclass(frozen=True)
class Look:
    """What one pass gives.

    Attributes:
        maps: on the image's own grid.
        verdict: of the check, among the tasks that prepare images alike.
        seconds: from the volume in memory to the maps.
    """

    maps: Labelling
    verdict: Verdict
    seconds: float


def look(predictor: Predictor, volume: Volume, task: TaskInfo) -> Look:
    """Segment an image as `Predictor.segment` does where the task is named.

    Args:
        predictor: the model.
        volume: the image.
        task: of the model.

    Raises:
        InputError: the image cannot be prepared.
        ResourceError: memory runs out.
    """
    started_s = time.perf_counter()
    model = predictor.model
    network_pass = NetworkPass(predictor.backend, model.manifest.architecture, model.reference.spec)
    untold = StageProgress(_untold)
    sight = recognise(candidates_of(model, network_pass, [task.profile]), volume, untold, known=task)
    assert sight.encoded.labels is not None, "the labels of a known task come from the encoder's pass"
    maps = finished(sight.encoded.labels, task, sight.prepared)
    return Look(maps, sight.verdict, time.perf_counter() - started_s)


@torch.inference_mode()
def dropout_labels(
    predictor: Predictor, volume: Volume, task: TaskInfo, passes: int, rate: float, seed: int
) -> Iterator[LabelMap]:
    """Label maps of passes with dropout, on the network's grid, as positions in the task's head.

    The network need not have been trained with dropout (Ledda et al. 2023, "Dropout injection at test time").

    Args:
        predictor: the model.
        volume: the image, of one channel.
        task: of the model.
        passes: how many.
        rate: share of activations set to 0.
        seed: of the masks.

    Raises:
        InputError: the image cannot be prepared.
    """
    voxels = prepare(volume, task.profile).voxels
    generator = torch.Generator(predictor.device).manual_seed(seed)
    with injected_dropout(predictor.network, rate, generator):
        for _ in range(passes):
            logits = task_logits(predictor.network, voxels, task, device=predictor.device)
            yield logits.argmax(axis=0).astype(np.uint8)


def _untold(share: float, step: str) -> None:
    """Nobody wants to know."""
