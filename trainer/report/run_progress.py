"""Progress of a training and of what follows it as one piece of work, which is over when the model is written."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TextIO

from trainer.report.progress import Progress

# Until a tenth of what follows is done, the speed that was expected counts more than the one that is seen.
TRUST_IN_EXPECTATION = 0.1


def nothing(training_s: float) -> float:
    """Nothing follows."""
    return 0.0


class RunProgress:
    """Says how far a run is and when it is over, from the first step on.

    Args:
        stream: where reports go; standard error by default.
        clock: seconds from an arbitrary origin, never running backwards.
        after: seconds that what follows takes, by the seconds of the whole training.
    """

    def __init__(
        self,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
        after: Callable[[float], float] = nothing,
    ) -> None:
        self._progress = Progress(1.0, "training", stream, clock)
        self._clock, self._after = clock, after
        self._begun_s, self._begun_share = clock(), 0.0
        self._trained_s, self._trained_at_s, self._shown = 0.0, clock(), 0.0
        self._expected_s = self._done_s = 0.0

    def start_from(self, share: float) -> None:
        """Training begins now; a share of it was done earlier."""
        self._begun_s, self._begun_share = self._clock(), share

    def trained(self, share: float, elapsed_s: float, note: str = "") -> None:
        """A share of the training is done.

        Args:
            share: 0 to 1.
            elapsed_s: seconds of training, earlier parts included.
            note: what to add.
        """
        self._trained_s, self._trained_at_s = elapsed_s, self._clock()
        done = share - self._begun_share
        if done > 0:
            left_s = (self._trained_at_s - self._begun_s) * max(0.0, 1.0 - share) / done
            self._say(left_s + self._after(elapsed_s + left_s), note)

    def follow(self, note: str, expected_s: float | None = None) -> None:
        """Training is over; what follows begins.

        Args:
            note: what is done now.
            expected_s: how long it takes, if that is known better by now.
        """
        self._expected_s = self._after(self._trained_s) if expected_s is None else expected_s
        self._trained_s += self._clock() - self._trained_at_s
        self._trained_at_s, self._done_s = self._clock(), 0.0
        if self._expected_s:
            self._say(self._expected_s, note)

    def did(self, expected_s: float, note: str) -> None:
        """A part of what follows is done, which was expected to take so long."""
        self._done_s = min(self._expected_s, self._done_s + expected_s)
        prior_s = TRUST_IN_EXPECTATION * self._expected_s
        slowness = (self._clock() - self._trained_at_s + prior_s) / (self._done_s + prior_s) if prior_s else 1.0
        # Only the end of everything is 100 %.
        self._say((self._expected_s - self._done_s) * slowness, note, most=0.99)

    def finish(self) -> None:
        """Everything is over."""
        self._progress.update(1.0)

    def _say(self, left_s: float, note: str, most: float = 1.0) -> None:
        spent_s = self._trained_s + self._clock() - self._trained_at_s
        share = spent_s / (spent_s + left_s) if spent_s + left_s > 0 else 1.0
        # What is shown never goes back, although an estimate may.
        self._shown = max(self._shown, min(share, most))
        self._progress.update(self._shown, note, left_s)
