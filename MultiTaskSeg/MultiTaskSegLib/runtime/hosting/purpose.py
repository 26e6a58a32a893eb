"""What a run is for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Purpose:
    """A segmentation, a check, or a check with a map.

    Attributes:
        task: a task's name or ``auto``; None for a check, which makes no labels.
        with_map: whether a check also shows where the image is foreign.
        keeps: whether labels of the same image are likely to be wanted after a check.
        is_thorough: whether further looks at changed copies of the image follow, while the result waits.
    """

    task: str | None = None
    with_map: bool = False
    keeps: bool = False
    is_thorough: bool = False

    @property
    def is_check(self) -> bool:
        """Whether a verdict is all that is wanted."""
        return self.task is None and not self.with_map


CHECK, LOCATE = Purpose(), Purpose(with_map=True)
