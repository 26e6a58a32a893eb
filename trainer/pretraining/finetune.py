"""The whole of ``finetune``: train on from a model file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TextIO

from MultiTaskSegLib.runtime.manifest import Manifest
from trainer.config import TrainingConfig
from trainer.training import Budget

Strategy = Literal["all", "frozen-encoder", "last-layers", "gradual"]


def finetune(
    model_file: Path | None,
    directories: Sequence[Path],
    output: Path,
    config: TrainingConfig,
    budget: Budget,
    *,
    strategy: Strategy = "all",
    scope: Literal["all", "encoder"] = "all",
    labelled_cases: Sequence[str] | int | None = None,
    resume: bool = False,
    stream: TextIO | None = None,
) -> Manifest:
    """Train on labelled cases, starting from a model file, and write an ordinary model file and its run folder.

    Args:
        model_file: where to start; None: random weights (the control), everything else alike.
        directories, output, config, budget, resume, stream: as for `trainer.train_model.train_model`.
        strategy: ``all``: every weight is trained; ``frozen-encoder``: the encoder stays as it is; ``last-layers``:
            only the finest decoder stage and the head; ``gradual``: from the head towards the encoder, one part after
            the other.
        scope: what is taken from the model file, all or the encoder.
        labelled_cases: of each dataset's training cases only these are used: names, or a number of cases drawn by
            ``config.seed`` (never from held-out groups); None: all.

    Raises:
        ModelError: the model's network does not fit, before any training starts.
        DatasetError: too few labelled cases.
    """
    raise NotImplementedError
