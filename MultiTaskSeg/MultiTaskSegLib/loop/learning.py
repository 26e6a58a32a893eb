"""Starts trainings for the panel and for scripts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import slicer

from MultiTaskSegLib.correction.used_model import model_of
from MultiTaskSegLib.installation.trainer_packages import require_trainer
from MultiTaskSegLib.learning.shared_training import start_shared
from MultiTaskSegLib.learning.trainer_python import TrainerPython, find_trainer
from MultiTaskSegLib.learning.training_request import MINUTES, TrainingRequest
from MultiTaskSegLib.learning.training_run import TrainingRun
from MultiTaskSegLib.runtime.model.model_folder import model_name


def train(
    datasets: str | Path | Sequence[str | Path],
    start_from: str | Path | slicer.vtkMRMLSegmentationNode | None = None,
    minutes: float = MINUTES,
    name: str = "",
    python: str | TrainerPython = "",
    config: str | Path | None = None,
    steps: int | None = None,
) -> TrainingRun:
    """Start a training without waiting for it; its model appears among the user's.

    Args:
        datasets: one or more folders of labelled cases.
        start_from: a model file to train on from, or a result, for the model that made it; None to train a network
            from the beginning.
        minutes: time of the training itself.
        name: of the new model; by default that of the first dataset.
        python: where the trainer is, as of `find_trainer`.
        config: file with the trainer's settings.
        steps: optimiser steps instead of minutes.

    Raises:
        ModelError: the model of the result is not there any more.
        UsageError: a training is under way, or there is nothing to train on.
        ResourceError: there is no trainer, or it cannot be started.
    """
    folders = [datasets] if isinstance(datasets, (str, Path)) else list(datasets)
    paths = tuple(Path(folder).expanduser().absolute() for folder in folders if str(folder))
    if isinstance(start_from, slicer.vtkMRMLSegmentationNode):
        start_from = model_of(start_from)
    request = TrainingRequest(
        paths,
        name or _default_name(paths, start_from),
        None if start_from is None else Path(start_from).absolute(),
        minutes,
        steps,
        None if config is None else Path(config).absolute(),
    )
    trainer = python if isinstance(python, TrainerPython) else require_trainer(find_trainer(python))
    return start_shared(request, trainer)


def _default_name(datasets: Sequence[Path], start_from: str | Path | None) -> str:
    dataset = datasets[0].name if datasets else "model"
    return dataset if start_from is None else f"{model_name(Path(start_from))}_{dataset}"
