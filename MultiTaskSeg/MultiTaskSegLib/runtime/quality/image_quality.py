"""How good the segments of one image are thought to be."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from MultiTaskSegLib.runtime.quality.quality_info import FEWEST_PATIENTS, TaskQuality
from MultiTaskSegLib.runtime.quality.usability import GOOD, LOOK_HERE, Usability, usability

FOREIGN_WORDS = "the image is unlike those that figures were measured on"
NOTHING_WORDS = "nothing was found"
UNCHECKED_WORDS = "bounds were measured on whole images, which the check had seen"


@dataclass(frozen=True)
class ImageQuality:
    """What is expected of an image, whether or not it is like the training images.

    Attributes:
        dice: to expect, by label value; None of structures that were not found.
        margin, patients: see `TaskQuality`.
        is_checked: whether the check has seen the image as a whole; of others the model file says nothing.
    """

    dice: Mapping[int, float | None]
    margin: float | None = None
    patients: int = 0
    is_checked: bool = True

    @property
    def mean(self) -> float | None:
        """Dice to expect, mean over the structures that were found; None where there is none."""
        found = [value for value in self.dice.values() if value is not None]
        return sum(found) / len(found) if found else None

    @property
    def answer(self) -> Usability:
        """Whether the result is good, see `usability`."""
        return usability(list(self.dice.values()), self.margin)

    def at_least(self, value: int) -> float | None:
        """The Dice that nine of ten such images exceed; None where the label was not found, or nobody knows."""
        estimate = self.dice.get(value)
        if estimate is None or self.margin is None:
            return None
        return min(1.0, max(0.0, estimate - self.margin))

    @property
    def why_no_bound(self) -> str:
        """A word on why there is no bound; empty where there is one."""
        if self.margin is not None:
            return ""
        if not self.is_checked and self.patients >= FEWEST_PATIENTS:
            return UNCHECKED_WORDS
        return f"a bound takes {FEWEST_PATIENTS} held-out patients; the model file has {self.patients}"

    def only(self, values: Collection[int]) -> ImageQuality:
        """The same where some structures alone are wanted."""
        return replace(self, dice={value: own for value, own in self.dice.items() if value in values})

    def without(self, values: Collection[int]) -> ImageQuality:
        """The same where nothing is left of these structures."""
        return replace(self, dice={value: None if value in values else own for value, own in self.dice.items()})

    def as_dict(self, *, is_foreign: bool) -> dict[str, Any]:
        """Plain values for ``report.json``.

        Args:
            is_foreign: whether the check calls the image foreign: figures were measured on images like those of the
                training and are left out then, and nobody can say that such a result is good.
        """
        nothing = "" if self.mean is not None else NOTHING_WORDS
        why_no_figures = FOREIGN_WORDS if is_foreign else nothing
        return {
            "answer": LOOK_HERE if is_foreign and self.answer == GOOD else self.answer,
            "predicted_dice": None if is_foreign else self.mean,
            "margin": None if why_no_figures else self.margin,
            "patients": self.patients,
            "why_no_bound": why_no_figures or self.why_no_bound,
        }


def image_quality(
    expected_dice: Mapping[int, float | None], traits: Mapping[str, float], known: TaskQuality
) -> ImageQuality:
    """The best estimate that one pass gives.

    Args:
        expected_dice: by label value, from the calibrated probabilities.
        traits: of the image.
        known: what the model file knows of the task.
    """
    correction = known.correction(traits)
    told = {
        value: None if own is None else min(1.0, max(0.0, own + correction)) for value, own in expected_dice.items()
    }
    return ImageQuality(told, known.margin, known.patients)
