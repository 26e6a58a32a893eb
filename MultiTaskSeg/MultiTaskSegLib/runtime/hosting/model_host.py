"""Keeps the model that was used last, and runs it where it fits: large parts, smaller parts, and at last the CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from MultiTaskSegLib.runtime.hosting.model_stamp import model_stamp
from MultiTaskSegLib.runtime.hosting.purpose import Purpose
from MultiTaskSegLib.runtime.hosting.torch_machine import Answers, Machine
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.machine.memory_shortage import is_card_broken, is_card_short

if TYPE_CHECKING:
    from MultiTaskSegLib.runtime.hosting.run_plan import RunPlan

T = TypeVar("T")
Progress = Callable[[float, str], None]
CPU = "cpu"
CARD_RAN_OUT = "the memory of the graphics card did not suffice, so the CPU was used"
CARD_FAILED = "the graphics card or its driver failed, so the CPU was used"


class ModelHost:
    """One loaded model at a time.

    Args:
        machine: loads models and plans runs.
    """

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._loaded: tuple[tuple[object, ...], Answers] | None = None

    def predictor(self, model: str | None, device: str, planar: bool) -> Answers:
        """The predictor of ``model``, loaded when another one was used last.

        Args:
            model: path of a model file; None for the released one.
            device: what the user chose.
            planar: whether the released model for 2-D images is meant.
        """
        return self._load(model, self._machine.device(device), planar)

    def run(
        self,
        model: str | None,
        device: str,
        volume: Volume,
        purpose: Purpose,
        act: Callable[[Answers, Progress], T],
        progress: Progress,
        tell: Callable[[str], None],
    ) -> tuple[T, tuple[str, ...]]:
        """Load the model and ``act`` with it where it fits.

        Args:
            model, device: as `predictor`.
            volume: the image that ``act`` works on.
            purpose: what ``act`` does.
            act: called with the predictor, and with what it is to tell its progress to.
            progress: told the share that is done, which never falls, and the step's name.
            tell: called with a few words when the run goes on in another way than planned.

        Returns:
            What ``act`` returned, and sentences about what had to be done differently.

        Raises:
            ResourceError: the image does not fit anywhere.
            MtsError: from loading and from ``act``.
        """
        name = self._machine.device(device)
        share = _Rising(progress)
        try:
            predictor = self._load(model, name, volume.is_planar)
        except Exception as error:
            if name == CPU or not _is_of_card(error):
                raise
            predictor, reason = None, _reason(error)
        if predictor is None:
            tell("on the CPU")
            return self._on_cpu(model, volume, purpose, act, share, reason)
        plan = self._machine.plan(predictor, volume, purpose, name)
        if plan.device != name:
            tell("on the CPU")
            predictor = self._load(model, plan.device, volume.is_planar)
        elif plan.memory_step:
            tell("in smaller parts")
        _follow(plan, predictor)
        try:
            return act(predictor, share), plan.warnings
        except Exception as error:
            if plan.device == CPU or not _is_of_card(error):
                raise
            reason = _reason(error)
        # Outside the handler: the traceback would keep the feature maps on the card.
        del predictor
        tell("on the CPU")
        share.begin_again()
        return self._on_cpu(model, volume, purpose, act, share, reason)

    def _on_cpu(
        self,
        model: str | None,
        volume: Volume,
        purpose: Purpose,
        act: Callable[[Answers, Progress], T],
        share: Progress,
        reason: str,
    ) -> tuple[T, tuple[str, ...]]:
        """`run`, after the card had too little memory, or failed."""
        predictor = self._load(model, CPU, volume.is_planar)
        plan = self._machine.plan(predictor, volume, purpose, CPU)
        _follow(plan, predictor)
        return act(predictor, share), (reason, *plan.warnings)

    def _load(self, model: str | None, device: str, planar: bool) -> Answers:
        wanted = (model, device, planar and model is None)
        # A model that was trained again has new weights under its old name.
        key = (*wanted, model_stamp(model) if model else None)
        if self._loaded is None or self._loaded[0] != key:
            had_one = self._loaded is not None
            self._loaded = None  # frees the old model before the next one needs the memory
            if had_one:
                self._machine.release()
            self._loaded = (key, self._machine.load(*wanted))
        return self._loaded[1]


def _is_of_card(error: Exception) -> bool:
    return is_card_short(error) or is_card_broken(error)


def _reason(error: Exception) -> str:
    return CARD_FAILED if is_card_broken(error) else CARD_RAN_OUT


def _follow(plan: RunPlan, predictor: Answers) -> None:
    predictor.memory_step, predictor.spares_memory = plan.memory_step, plan.spares_memory
    predictor.keeps_maps = plan.keeps_maps


class _Rising:
    """Progress of one attempt after the other: another one shares out what was left, so that nothing ever falls.

    Args:
        report: told the share of the whole.
    """

    def __init__(self, report: Progress) -> None:
        self._report = report
        self._start = self._reached = 0.0

    def begin_again(self) -> None:
        """What is told next is a share of what is left."""
        self._start = self._reached

    def __call__(self, share: float, step: str) -> None:
        """A share of the attempt is done."""
        self._reached = max(self._reached, self._start + (1.0 - self._start) * share)
        self._report(self._reached, step)
