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
from MultiTaskSegLib.runtime.labels.label_stream import LabelStream
from MultiTaskSegLib.runtime.labels.labelling import finished
from MultiTaskSegLib.runtime.model.model_file import Model
from trainer.measuring.shipped_pass import ShippedPass

# So many slices of probabilities become labels at a time.
SLAB_SLICES = 8


def segment_together(models: Sequence[Model], volume: Volume, device: torch.device) -> NDArray[np.uint8]:
    """Labels ``(Z, Y, X)`` on the volume's own grid; of one model those that the shipped pipeline gives.

    Args:
        models: at least one; all with the same single task on the same profile. Their networks must be on ``device``.
        volume: the image.
        device: where to compute.
    """
    task = models[0].manifest.tasks[0]
    prepared = prepare(volume, task.profile)
    z, y, x = prepared.voxels.shape
    total = np.zeros((1 + len(task.labels), z, y, x), dtype=np.float32)
    for model in models:
        own = model.manifest.tasks[0]
        logits = ShippedPass(model.network, device).logits(prepared.voxels, own.channels)
        total += softmax(logits / own.temperature, axis=0)
    if len(models) > 1:
        # Temperatures near the surface belong to one network each; they change how sure, hardly which label.
        task = replace(task, temperature=1.0, surface_temperature=None)
    stream = LabelStream(task, (z, y, x), prepared.canonical_shape)
    for slab in torch.from_numpy(total / np.float32(len(models))).split(SLAB_SLICES, dim=1):
        stream.push(slab.contiguous())
    return finished(stream.running, task, prepared).labels
