"""Small models of nnU-Net as model files of our own, with random weights."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch

from MultiTaskSegLib.runtime.imported.importing import Choice, import_model
from Testing.runtime.nnunet.checkpoint_bytes import (
    DATASET,
    PLANS,
    checkpoint_content,
    nnunet_weights,
    saved_checkpoint,
    written_results,
)

NAME = "tiny.mts.safetensors"
REGIONS: Mapping[str, Any] = {
    **DATASET,
    "labels": {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": 3},
    "regions_class_order": [3, 1, 2],
}


def checkpoint(seed: int = 0, dataset: Mapping[str, Any] = DATASET, plans: Mapping[str, Any] = PLANS) -> bytes:
    """A checkpoint of the tiny network with random weights."""
    started = {**checkpoint_content()["init_args"], "plans": plans, "dataset_json": dataset}
    weights = nnunet_weights(seed, len(dataset["channel_names"]))
    return saved_checkpoint(checkpoint_content(weights, init_args=started))


def results_folder(folder: Path, folds: int = 1, **changed: Any) -> Path:
    """A results folder of so many folds.

    Args:
        folder: where to.
        folds: their number.
        changed: other ``dataset`` or ``plans``.
    """
    contents = {str(number): checkpoint(number, **changed) for number in range(folds)}
    return written_results(folder, contents, changed.get("plans"), changed.get("dataset"))


def imported(folder: Path, folds: int = 1, **changed: Any) -> Path:
    """The model file of such a folder."""
    path = folder / NAME
    import_model(results_folder(folder / "results", folds, **changed), path, Choice(), "CC BY 4.0")
    return path


def plans_with(**changes: Any) -> dict[str, Any]:
    """`PLANS` with another configuration."""
    plans = deepcopy(PLANS)
    plans["configurations"]["3d_fullres"].update(changes)
    return plans


def seeded(shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    """Random numbers, the same for the same seed."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def of_two_channels() -> dict[str, Any]:
    """What `results_folder` and `imported` take for a model of T1 and FLAIR."""
    schemes = {"normalization_schemes": ["ZScoreNormalization"] * 2, "use_mask_for_norm": [False] * 2}
    return {"dataset": {**DATASET, "channel_names": {"0": "T1", "1": "FLAIR"}}, "plans": plans_with(**schemes)}
