"""Runs on one image after the other, 2-D and 3-D, with the same model file or the nearest of the list."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from MultiTaskSegLib.runtime.hosting.listed_runs import ListedRuns, Outcome
from MultiTaskSegLib.runtime.hosting.model_host import ModelHost, Progress
from MultiTaskSegLib.runtime.hosting.purpose import Purpose
from MultiTaskSegLib.runtime.hosting.torch_machine import Answers, Machine, TorchMachine
from MultiTaskSegLib.runtime.image.volume import Volume

T = TypeVar("T")
REPLACED = "the model file was replaced since the first image: verdicts before and after it do not come from one model"


class ImageRuns:
    """Keeps one model loaded for 2-D and one for 3-D images, so that mixed images load each once.

    Args:
        model: a model file; None for the nearest one of the list.
        device: what the user chose.
        progress: told the share of a run that is done and the step's name.
        machine: loads models and plans runs; this one by default.
    """

    def __init__(self, model: Path | None, device: str, progress: Progress, machine: Machine | None = None) -> None:
        self._model, self._device, self._progress = None if model is None else str(model), device, progress
        machine = machine or TorchMachine()
        self._runs = {is_planar: ListedRuns(ModelHost(machine), machine) for is_planar in (False, True)}
        self._digests: dict[str, str] = {}

    def run(
        self,
        volume: Volume,
        purpose: Purpose,
        act: Callable[[Answers, Progress], T],
        seen: Volume | None = None,
    ) -> Outcome[T]:
        """What ``act`` gives, and which model it was; see `ListedRuns.run`."""
        runs = self._runs[volume.is_planar and self._model is None]
        outcome = runs.run(self._model, self._device, volume, purpose, act, self._progress, _say_nothing, seen)
        name, digest = outcome.origin
        key = str(outcome.nearest.chosen.path) if outcome.nearest else name
        is_same = self._digests.setdefault(key, digest) == digest
        return outcome if is_same else replace(outcome, notes=(*outcome.notes, REPLACED))


def _say_nothing(note: str) -> None:
    """What was done in another way is told at the end."""
