"""How far the segmentations of several looks at one image agree with the one that is shown."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from MultiTaskSegLib.runtime.quality.usability import DO_NOT_USE, GOOD, LOOK_HERE, Usability

ENOUGH, TOO_LITTLE = 0.9, 0.75
"""From here on results are mostly right, and below mostly wrong: agreement is higher than the real Dice, because looks
agree on some of what is wrong. Chosen on held-out images of the released models, clean and spoilt, of which 6 to 10 %
with more than the first were failures (a Dice below 0.75), and no good one had less than the second."""


def further_looks(is_planar: bool) -> int:
    """How many a thorough check of a 2-D or 3-D image takes; fewer of pictures on a scale of their own."""
    return 4 if is_planar else 2


@dataclass(frozen=True)
class ImageAgreement:
    """What the thorough check of an image has found.

    Attributes:
        dice: by label value, mean Dice coefficient between the result and those of the other looks; None of structures
            that none of them found.
        looks: how many others there were.
        seconds: that they took.
    """

    dice: Mapping[int, float | None]
    looks: int
    seconds: float = 0.0

    @property
    def mean(self) -> float | None:
        """Over the structures that any look found; None where there is none."""
        found = [value for value in self.dice.values() if value is not None]
        return sum(found) / len(found) if found else None

    @property
    def answer(self) -> Usability:
        """Whether the result can be good."""
        if self.mean is None or self.mean < TOO_LITTLE:
            return DO_NOT_USE
        # What the result lacks and others show has an agreement of 0, which a mean over many structures hides.
        is_all_found = all(self.dice.values())
        return GOOD if self.mean >= ENOUGH and is_all_found else LOOK_HERE

    def only(self, values: Collection[int]) -> ImageAgreement:
        """The same where some structures alone are wanted."""
        return replace(self, dice={value: own for value, own in self.dice.items() if value in values})

    def as_dict(self, *, is_foreign: bool) -> dict[str, Any]:
        """Plain values for ``report.json``.

        Args:
            is_foreign: whether the check calls the image foreign. Looks may agree on what is wrong, so that nobody can
                say then that a result is good.
        """
        return {
            "answer": LOOK_HERE if is_foreign and self.answer == GOOD else self.answer,
            "agreement": self.mean,
            "looks": self.looks,
            "seconds": round(self.seconds, 4),
        }
