"""The one training that this application has under way, found again by whoever asks; it ends with the application."""

from __future__ import annotations

import atexit
from pathlib import Path

from MultiTaskSegLib.learning.trainer_python import TrainerPython
from MultiTaskSegLib.learning.training_request import TrainingRequest
from MultiTaskSegLib.learning.training_run import TrainingRun
from MultiTaskSegLib.runtime.errors import UsageError
from MultiTaskSegLib.runtime.model.model_folder import model_folder
from MultiTaskSegLib.runtime.model.released import NAMES

_current: TrainingRun | None = None


def current_training() -> TrainingRun | None:
    """The training that was started last, also when it is over; None where there was none."""
    return _current


def start_shared(request: TrainingRequest, python: TrainerPython, folder: Path | None = None) -> TrainingRun:
    """Start a training, of which there is one at a time.

    Args:
        request: what to do.
        python: which has the trainer.
        folder: where the model goes; None for the user's others.

    Raises:
        UsageError: one is under way, or the request cannot be put to the trainer.
        ResourceError: it cannot be started.
    """
    global _current
    if _current is not None and not _current.is_over:
        raise UsageError("a training is under way", remedy="Wait for it, or cancel it")
    run = TrainingRun(request, python, folder or model_folder(), NAMES)
    atexit.register(run.cancel)
    _current = run
    return run


def forget_training() -> None:
    """Let go of the training, which is cancelled if it is under way."""
    global _current
    run, _current = _current, None
    if run is not None:
        run.cancel()
        atexit.unregister(run.cancel)
