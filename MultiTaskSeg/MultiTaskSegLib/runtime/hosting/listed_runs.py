"""Runs with a model file, or with that model of the list whose training images are nearest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from MultiTaskSegLib.runtime.hosting.model_host import ModelHost, Progress
from MultiTaskSegLib.runtime.hosting.nearest_model import NearestModel, nearest_model
from MultiTaskSegLib.runtime.hosting.purpose import Purpose
from MultiTaskSegLib.runtime.hosting.torch_machine import Answers, Machine
from MultiTaskSegLib.runtime.image.volume import Volume

T = TypeVar("T")
# Of the time, where a segmentation or a map follows: a look costs about a third of a segmentation.
LOOKING_SHARE = 0.4


@dataclass(frozen=True)
class Outcome(Generic[T]):
    """What a run gave.

    Attributes:
        found: what was asked for.
        notes: sentences about what had to be done differently.
        origin: name and SHA-256 of the model that answered.
        nearest: how the models of the list were compared; None where a model file was named.
    """

    found: T
    notes: tuple[str, ...]
    origin: tuple[str, str]
    nearest: NearestModel | None = None

    @property
    def choice(self) -> dict[str, Any] | None:
        """How the model was chosen among several, as plain values; None where there was no choice."""
        return self.nearest.as_dict() if self.nearest and self.nearest.is_elected else None

    @property
    def model(self) -> dict[str, Any]:
        """Which model it was and how it was chosen, as in a report."""
        name, digest = self.origin
        return {"name": name, "sha256": digest, **({"choice": self.choice} if self.choice else {})}


class ListedRuns:
    """Finds the model for each image where none is named.

    Args:
        host: keeps the model that was used last.
        machine: loads models and knows the list.
    """

    def __init__(self, host: ModelHost, machine: Machine) -> None:
        self._host, self._machine = host, machine

    def run(
        self,
        model: str | None,
        device: str,
        volume: Volume,
        purpose: Purpose,
        act: Callable[[Answers, Progress], T],
        progress: Progress,
        tell: Callable[[str], None],
        seen: Volume | None = None,
    ) -> Outcome[T]:
        """``act`` with a model file, or with the nearest model of the list; see `ModelHost.run`.

        Args:
            model: path of a model file; None for the list.
            device, volume, tell: as for `ModelHost.run`.
            purpose: what ``act`` does; for a check, ``act`` gives the model's verdict and nothing else.
            act: called with the predictor, and with what it is to tell its progress to.
            progress: told the share that is done and the step's name.
            seen: what of the volume ``act`` works on, where it is not all. Models are compared by the whole: known
                images are wholes.

        Raises:
            MtsError: as `ModelHost.run` and `nearest_model`.
        """
        worked_on = volume if seen is None else seen
        if model is not None:
            return self._with(model, device, worked_on, purpose, act, progress, tell)
        looks = _Looks(progress, 1.0 if purpose.is_check else LOOKING_SHARE)
        nearest = nearest_model(self._host, self._machine, device, volume, purpose, looks, tell)
        if nearest is None:
            return self._with(None, device, worked_on, purpose, act, progress, tell)
        if purpose.is_check and nearest.chosen.verdict is not None:
            chosen = nearest.chosen
            return Outcome(cast(T, chosen.verdict), chosen.notes, chosen.origin, nearest)
        path = str(nearest.chosen.path)
        outcome = self._with(path, device, worked_on, purpose, act, looks.rest(), tell)
        return Outcome(outcome.found, outcome.notes, outcome.origin, nearest)

    def _with(
        self,
        model: str | None,
        device: str,
        volume: Volume,
        purpose: Purpose,
        act: Callable[[Answers, Progress], T],
        progress: Progress,
        tell: Callable[[str], None],
    ) -> Outcome[T]:
        def known(predictor: Answers, told: Progress) -> tuple[T, tuple[str, str]]:
            """What ``act`` gives, and whose it is."""
            return act(predictor, told), (predictor.manifest.name, predictor.model.digest)

        (found, origin), notes = self._host.run(model, device, volume, purpose, known, progress, tell)
        return Outcome(found, notes, origin)


class _Looks:
    """Progress of the comparison as a share of the whole, and of what follows as the rest.

    Args:
        report: told the share of the whole.
        share: of the comparison.
    """

    def __init__(self, report: Progress, share: float) -> None:
        self._report, self._share = report, share
        self._reached = 0.0

    def __call__(self, share: float, step: str) -> None:
        """A share of the comparison is done."""
        self._reached = self._share * share
        self._report(self._reached, step)

    def rest(self) -> Progress:
        """What tells the share of what follows; all of it where nothing was compared."""
        start = self._reached

        def told(share: float, step: str) -> None:
            """A share of the rest is done."""
            self._report(start + (1.0 - start) * share, step)

        return told
