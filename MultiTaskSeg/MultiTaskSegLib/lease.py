"""The right to use the worker for several jobs in a row. No torch here."""

from __future__ import annotations

from collections.abc import Callable


class Lease:
    """Held by a batch from its start to its end: nobody else's job can get in between.

    `job.JobRunner.hold` gives one out. A lease that is forgotten is as good as one that is released.
    """

    def __init__(self, released: Callable[[Lease], object]) -> None:
        self._released: Callable[[Lease], object] | None = released

    def release(self) -> None:
        """Let others use the worker again. Harmless when that has been done."""
        released, self._released = self._released, None
        if released is not None:
            released(self)
