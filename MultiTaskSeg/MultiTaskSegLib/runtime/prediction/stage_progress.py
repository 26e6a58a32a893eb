"""Progress of a stage as a part of the whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class StageProgress:
    """Tells whoever waits how far a stage is, in shares of the whole.

    Attributes:
        report: called with the share of the whole that is done and the step's name.
        start, end: the stage's part of the whole.
    """

    report: Progress
    start: float = 0.0
    end: float = 1.0

    def part(self, start: float, end: float) -> StageProgress:
        """A part of this stage, given in shares of it.

        >>> StageProgress(print, 0.5, 1.0).part(0.5, 1.0).tell(0.5, "labels")
        0.875 labels
        """
        return StageProgress(self.report, self._whole(start), self._whole(end))

    def tell(self, share: float, step: str) -> None:
        """A share of the stage is done."""
        self.report(self._whole(share), step)

    def network(self, shortages: Sequence[str]) -> Callable[[float], None]:
        """For the network to call; once there are ``shortages``, the step's name says that memory was short."""

        def tell(share: float) -> None:
            """A share of the network's pass is done."""
            self.tell(share, "network, with less memory" if shortages else "network")

        return tell

    def _whole(self, share: float) -> float:
        return self.start + (self.end - self.start) * share


def rising(report: Progress) -> Progress:
    """Never tells less than before: where memory runs out a stage begins again, but nobody should see time run back."""
    most = 0.0

    def tell(share: float, step: str) -> None:
        """The share, or the largest one so far."""
        nonlocal most
        most = max(most, share)
        report(most, step)

    return tell
