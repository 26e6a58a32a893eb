"""What lower precisions cost a model, as the trainer has measured it; and with that, which of them it may run in."""

from __future__ import annotations

from dataclasses import dataclass

from MultiTaskSegLib.runtime.network.precision import Lower

LARGEST_DIFFERENCE = 0.002
"""Of the mean Dice of each task, and of the AUROC of the check, from those of float32."""
# Differences of numbers that were rounded for the file.
ROUNDING = 1e-9


@dataclass(frozen=True)
class PrecisionFigures:
    """One lower precision beside float32, on the same images.

    Attributes:
        precision: which.
        backend: who computed; the rounding is that of the numbers, not of the library.
        dice, dice_float32: mean Dice of held-out images by task.
        images: how many were checked in both: held-out, foreign and spoilt ones.
        differing_verdicts: how many of them were judged otherwise.
        auroc, auroc_float32: of the check, held-out images against the others.
    """

    precision: Lower
    backend: str
    dice: dict[str, float]
    dice_float32: dict[str, float]
    images: int
    differing_verdicts: int
    auroc: float
    auroc_float32: float

    @property
    def is_permitted(self) -> bool:
        """Whether all that matters is as in float32: it follows from the figures and is stored nowhere."""
        return not self.shortfall

    @property
    def shortfall(self) -> str:
        """What forbids this precision, in words; empty where nothing does."""
        for task, own in self.dice.items():
            if abs(own - self.dice_float32[task]) > LARGEST_DIFFERENCE + ROUNDING:
                return f"the Dice of {task} is {own:.4f}, not {self.dice_float32[task]:.4f}"
        if self.differing_verdicts:
            return f"{self.differing_verdicts} of {self.images} images are judged otherwise"
        if abs(self.auroc - self.auroc_float32) > LARGEST_DIFFERENCE + ROUNDING:
            return f"the AUROC of the check is {self.auroc:.4f}, not {self.auroc_float32:.4f}"
        return ""


@dataclass(frozen=True)
class PrecisionInfo:
    """The block ``precision`` of a manifest.

    Attributes:
        version: of the block, 1.
        measured: by precision; those that fall short are published, too.
    """

    version: int
    measured: tuple[PrecisionFigures, ...]

    @property
    def permitted(self) -> tuple[Lower, ...]:
        """The lower precisions that the model may run in."""
        return tuple(figures.precision for figures in self.measured if figures.is_permitted)


def contradiction(info: PrecisionInfo, tasks: list[str]) -> str:
    """What in the block cannot be, in words; empty where nothing is wrong.

    Args:
        info: the block, each number of which is within its bounds.
        tasks: names of the model's tasks that have labels.
    """
    names = [figures.precision for figures in info.measured]
    if len(set(names)) != len(names) or not names:
        return "a precision was measured twice, or none"
    for figures in info.measured:
        if not (sorted(figures.dice) == sorted(figures.dice_float32) == sorted(tasks)):
            return f"the Dice in {figures.precision} is not that of the model's tasks"
        if figures.differing_verdicts > figures.images:
            return f"more images were judged otherwise in {figures.precision} than were checked"
    return ""
