"""Does a card say what the processor says: labels, verdict and score of the same images?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.model.model_file import Model
from MultiTaskSegLib.runtime.network.precision import FLOAT32
from Testing.bench.card.engines import our_predictor, require_computed

CPU = torch.device("cpu")
# In float32 libraries may add up in another order; in 16 bits a thousandth of the labels may differ.
LEAST_ALIKE = {"float32": 0.9999, "bfloat16": 0.999, "float16": 0.999}


def agreement(model: Model, device: torch.device, precision: str, images: Mapping[str, Volume]) -> dict[str, Any]:
    """By image, the share of voxels with the same label, and whether task and verdict are the same.

    Args:
        model: both run.
        device: the card.
        precision: on the card; the processor computes in float32.
        images: by name.

    Raises:
        RuntimeError: the precision failed on the card: what took over says nothing about it.
    """
    found: dict[str, Any] = {}
    for name, volume in images.items():
        predictor = our_predictor(model, device, precision)
        there = predictor.segment(volume)
        require_computed(predictor, precision)
        here = our_predictor(model, CPU, FLOAT32).segment(volume)
        alike = float(np.mean(there.labels == here.labels))
        is_same = (there.task.name, there.checked.is_ood) == (here.task.name, here.checked.is_ood)
        found[name] = {
            "labels_alike": alike,
            "same_task_and_verdict": is_same,
            "score": there.checked.score,
            "score_of_processor": here.checked.score,
            "agrees": is_same and alike >= LEAST_ALIKE[precision],
        }
    return found
