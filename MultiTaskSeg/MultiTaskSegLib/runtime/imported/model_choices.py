"""Which models nnU-Net has left in a folder or zip file, as plain values to choose from. No weights are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from MultiTaskSegLib.runtime.nnunet.results_source import results_source
from MultiTaskSegLib.runtime.nnunet.trained_model import trained_models


def model_choices(folder: Path) -> list[dict[str, Any]]:
    """Per model its ``place`` in the folder, ``trainer``, ``plans``, ``configuration``, the names of its ``folds``,
    and those that are ``usual`` where none is chosen.

    Raises:
        ModelError: there is none, or the folder cannot be read.
    """
    return [
        {
            "place": str(model.place),
            "trainer": model.trainer,
            "plans": model.plans,
            "configuration": model.configuration,
            "folds": list(model.folds),
            "usual": list(model.usual_folds),
        }
        for model in trained_models(results_source(folder))
    ]
