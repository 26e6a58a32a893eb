"""What a run is for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Purpose:
    """A segmentation, a check, or a check with a map.

    Attributes:
        task: a task's name or ``auto``; None for a check, which makes no labels.
        with_map: whether a check also shows where the image is foreign.
    """

    task: str | None = None
    with_map: bool = False


CHECK, LOCATE = Purpose(), Purpose(with_map=True)
