"""What a training is to do, and how the trainer is told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from MultiTaskSegLib.runtime.errors import UsageError

MINUTES = 30.0


@dataclass(frozen=True)
class TrainingRequest:
    """A training to start.

    Attributes:
        datasets: folders of labelled cases.
        name: of the new model; a number is added where there is one of that name.
        start_from: model file to train on from; None to train a network from the beginning.
        minutes: time of the training itself; measuring the model comes on top.
        steps: optimiser steps instead of minutes, for results that can be repeated.
        config: file with the trainer's settings, or None.
    """

    datasets: tuple[Path, ...]
    name: str
    start_from: Path | None = None
    minutes: float = MINUTES
    steps: int | None = None
    config: Path | None = None

    def arguments(self, output: Path) -> list[str]:
        """Of ``python``, for a model file that is written to ``output``.

        Raises:
            UsageError: no dataset is given, or the time is not positive.
        """
        if not self.datasets:
            raise UsageError("no dataset to train on is chosen", remedy="Add a case to one, or choose a folder")
        if self.steps is None and not self.minutes > 0:
            raise UsageError(f"{self.minutes:g} minutes are no time to train in", remedy="Give more than 0")
        words = ["-m", "trainer", "train" if self.start_from is None else "finetune"]
        if self.start_from is not None:
            words += ["--model", str(self.start_from)]
        words += ["--data", *map(str, self.datasets), "--output", str(output)]
        if self.config is not None:
            words += ["--config", str(self.config)]
        return words + (["--minutes", f"{self.minutes:g}"] if self.steps is None else ["--steps", str(self.steps)])
