"""One segmentation from several models of the same task: the average of their calibrated probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import softmax

from MultiTaskSegLib.runtime.image.preparation import prepare
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.labels.labelling import label_image
from MultiTaskSegLib.runtime.model.model_file import Model
from trainer.training.validation import task_logits


def segment_together(models: Sequence[Model], volume: Volume, device: torch.device) -> NDArray[np.uint8]:
    """Labels ``(Z, Y, X)`` on the volume's own grid; of one model those that the shipped pipeline gives.

    Args:
        models: at least one; all with the same single task on the same profile. Their networks must be on ``device``.
        volume: the image.
        device: where to compute.
    """
    task = models[0].manifest.tasks[0]
    prepared = prepare(volume, task.profile)
    total = np.zeros((1 + len(task.labels), *prepared.voxels.shape), dtype=np.float32)
    for model in models:
        own = model.manifest.tasks[0]
        logits = task_logits(model.network, prepared.voxels, own, device=device)
        total += softmax(logits / own.temperature, axis=0)
    if len(models) > 1:
        # Temperatures near the surface belong to one network each; they change how sure, hardly which label.
        task = replace(task, temperature=1.0, surface_temperature=None)
    return label_image(total / len(models), task, prepared).labels
