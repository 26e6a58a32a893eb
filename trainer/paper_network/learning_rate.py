"""The published rule of the learning rate: smaller after every validation that was no gain."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass
class LearningRate:
    """What the optimiser is to use.

    Attributes:
        rate: now.
        decay: its factor after a validation that was no gain.
        least_gain: a validation is no gain where its Dice is below so many times that of the validation before.
        previous: Dice of the validation before; None: there was none.
    """

    rate: float
    decay: float
    least_gain: float
    previous: float | None = None

    def validated(self, dice: float) -> None:
        """Take the Dice of a validation; one that could not measure any (NaN) counts for nothing.

        >>> rate = LearningRate(1.0, 0.5, 0.995)
        >>> for dice in (0.5, 0.6, 0.598, 0.4):
        ...     rate.validated(dice)
        ...     print(rate.rate)
        1.0
        1.0
        1.0
        0.5
        """
        if math.isnan(dice):
            return
        if self.previous is not None and dice < self.least_gain * self.previous:
            self.rate *= self.decay
        self.previous = dice
