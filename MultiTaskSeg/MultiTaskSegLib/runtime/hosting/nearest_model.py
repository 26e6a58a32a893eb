"""Which model of the list an image goes to: the one whose training images are nearest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from MultiTaskSegLib.runtime.errors import MtsError, UsageError
from MultiTaskSegLib.runtime.hosting.purpose import CHECK, Purpose
from MultiTaskSegLib.runtime.hosting.torch_machine import Answers, Machine
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.machine.memory_shortage import reason_of

if TYPE_CHECKING:
    from MultiTaskSegLib.runtime.hosting.model_host import ModelHost
    from MultiTaskSegLib.runtime.model.model_list import ListedModel
    from MultiTaskSegLib.runtime.ood.verdict import Verdict

Progress = Callable[[float, str], None]
AUTO = "auto"
# Models so little farther than the nearest one may be the right ones as well: tasks of one model that are so close to
# each other are told as rivals (`SpectralReference.contenders`), by the same measure.
ABOUT_AS_NEAR = 1.2
UNCHECKED = "it has no reference images, so nobody knows how near an image is"


@dataclass(frozen=True)
class Standing:
    """How one model of the list stands to an image.

    Attributes:
        name: in the list.
        path: of its file.
        verdict: on the image; None where the model was not asked.
        origin: name and SHA-256 of the model that was asked, as a report has them.
        is_measured: whether somebody has measured how well it segments what is nearest, on images kept back.
        reason: why it was not asked, or could not answer.
        notes: what had to be done in another way.
    """

    name: str
    path: Path
    verdict: Verdict | None = None
    origin: tuple[str, str] = ("", "")
    is_measured: bool = False
    reason: str = ""
    notes: tuple[str, ...] = ()

    @property
    def share_of_limit(self) -> float:
        """Distance to the nearest task in units of its limit: above 1, the image is out of distribution.

        Distances of two models have no unit in common; their limits mean the same.
        """
        return float("inf") if self.verdict is None else self.verdict.score / self.verdict.threshold

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as in a report."""
        if self.verdict is None:
            return {"name": self.name, "reason": self.reason}
        return {
            "name": self.name,
            "nearest_task": self.verdict.nearest_task,
            "score": self.verdict.score,
            "threshold": self.verdict.threshold,
            "is_ood": self.verdict.is_ood,
        }


@dataclass(frozen=True)
class NearestModel:
    """The model that an image goes to.

    Attributes:
        chosen: how it stands to the image; without a verdict where it was the only one that came into question.
        standings: of all models of the list, the nearest first, then those that were not asked.
    """

    chosen: Standing
    standings: tuple[Standing, ...]

    @property
    def is_elected(self) -> bool:
        """Whether several models were compared."""
        return self.chosen.verdict is not None

    def sentence(self) -> str:
        """Which model was chosen and why, for people; empty where there was no choice."""
        if self.chosen.verdict is None:
            return ""
        asked = [standing for standing in self.standings if standing.verdict is not None]
        others = "; ".join(f"{standing.name}: {_distance(standing)}" for standing in asked if standing != self.chosen)
        nearest = self.standings[0]
        reason = "are nearest"
        if self.chosen != nearest:
            reason = f"are about as near as those of {nearest.name}, of which nobody knows how well it segments"
        words = f"{self.chosen.name} was chosen, whose images of {self.chosen.verdict.nearest_task} {reason}"
        return f"{words} ({_distance(self.chosen)}{'; ' if others else ''}{others})"

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as in a report."""
        models = [standing.as_dict() for standing in self.standings]
        return {"name": self.chosen.name, "sentence": self.sentence(), "models": models}


def _distance(standing: Standing) -> str:
    return f"{standing.share_of_limit:.2f} of the limit"


def nearest_model(
    host: ModelHost,
    machine: Machine,
    device: str,
    volume: Volume,
    purpose: Purpose,
    progress: Progress,
    tell: Callable[[str], None],
) -> NearestModel | None:
    """Ask the models of the list that come into question how near an image is to what they know.

    Where there is one, it is not asked. Where one fails, the others answer without it, and its standing says why.
    Where several are about as near, those come first whose results somebody has measured.

    Args:
        host: loads one model after the other.
        machine: knows the list.
        device, volume, purpose, tell: as for `ModelHost.run`.
        progress: of the comparison.

    Returns:
        None where no model of the list comes into question: the released one for such images says why, then.

    Raises:
        InputError: no model can look at the image, which is constant for example.
        UsageError: none of those that take such images has the task.
        MtsError: what went wrong with the first one, where none could be asked.
    """
    models = machine.models()
    standings = [Standing(model.name, model.path, reason=_objection(model, volume, purpose)) for model in models]
    asked = [standing for standing in standings if not standing.reason] or _named(standings, purpose)
    if not asked:
        _require_known(models, volume, purpose)
        return None
    if len(asked) == 1:
        return NearestModel(asked[0], tuple(sorted(standings, key=lambda standing: bool(standing.reason))))
    failure: MtsError | None = None
    found: list[Standing] = []
    look_for = replace(CHECK, keeps=purpose.keeps or purpose.task is not None)
    for number, standing in enumerate(asked):
        part = _part(progress, number, len(asked), standing.name)
        try:
            found.append(_looked(host, standing, device, volume, look_for, part, tell))
        except Exception as error:
            reason = reason_of(error)
            failure = failure or reason
            found.append(Standing(standing.name, standing.path, reason=str(reason)))
    left_out = [standing for standing in standings if standing.reason]
    ordered = sorted(found, key=lambda standing: standing.share_of_limit)
    if ordered[0].verdict is None:
        assert failure is not None
        raise failure
    return NearestModel(_preferred(ordered), (*ordered, *left_out))


def _preferred(ordered: Sequence[Standing]) -> Standing:
    """The nearest one, or one about as near of which it is known how well it segments."""
    close = [one for one in ordered if one.share_of_limit <= ABOUT_AS_NEAR * ordered[0].share_of_limit]
    return next((one for one in close if one.is_measured), ordered[0])


def _looked(
    host: ModelHost,
    standing: Standing,
    device: str,
    volume: Volume,
    purpose: Purpose,
    progress: Progress,
    tell: Callable[[str], None],
) -> Standing:
    def look(model: Answers, told: Progress) -> Standing:
        """The verdict, and whose it is."""
        verdict, origin = model.check(volume, told), (model.manifest.name, model.model.digest)
        is_measured = any(task.held_out_dice for task in model.manifest.tasks if task.name == verdict.nearest_task)
        return Standing(standing.name, standing.path, verdict, origin, is_measured)

    found, notes = host.run(str(standing.path), device, volume, purpose, look, progress, tell)
    return replace(found, notes=notes)


def _objection(model: ListedModel, volume: Volume, purpose: Purpose) -> str:
    """Why a model does not come into question, as far as the header of its file tells; empty where it does."""
    if model.problem:
        return f"it cannot be used: {model.problem}"
    if not model.takes(volume.is_planar):
        return f"it is for {'2-D' if model.is_planar else '3-D'} images"
    fitting = [task for task in model.tasks if max(1, len(task.inputs)) == volume.channel_count]
    if not fitting:
        return f"it takes other channels than the {volume.channel_count} of the image"
    if purpose.task is not None and not any(task.labels for task in fitting):
        return "it was trained without labels"
    if purpose.task not in (None, AUTO, *(task.name for task in fitting)):
        return f"it has no task {purpose.task}"
    return "" if model.is_checked else UNCHECKED


def _named(standings: Sequence[Standing], purpose: Purpose) -> list[Standing]:
    """The first model that has a task which was asked for by name: it need not be compared with any other."""
    if purpose.task in (None, AUTO):
        return []
    return [replace(standing, reason="") for standing in standings if standing.reason == UNCHECKED][:1]


def _require_known(models: Sequence[ListedModel], volume: Volume, purpose: Purpose) -> None:
    """Refuse a task that no model of the list has for such images."""
    known = list(dict.fromkeys(_tasks_for(models, volume)))
    if known and purpose.task not in (None, AUTO, *known):
        names = ", ".join((AUTO, *known))
        raise UsageError(f"no model of the list has a task {purpose.task!r} for such images", remedy=f"Use {names}")


def _tasks_for(models: Sequence[ListedModel], volume: Volume) -> Iterator[str]:
    for model in models:
        if not model.problem and model.takes(volume.is_planar):
            yield from (task.name for task in model.tasks)


def _part(progress: Progress, number: int, count: int, name: str) -> Progress:
    """Progress of one look among several."""

    def told(share: float, step: str) -> None:
        """A share of the look is done."""
        progress((number + share) / count, f"{name}: {step}")

    return told
