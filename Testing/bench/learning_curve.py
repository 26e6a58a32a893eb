"""Validation Dice against CPU seconds, and when a curve reaches what another one ends with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

SHARE_OF_FINAL = 0.95


@dataclass(frozen=True)
class CurvePoint:
    """One measured checkpoint of a training run.

    Attributes:
        step: optimiser steps done.
        cpu_s: CPU seconds of training until then; validation and preparation do not count.
        dice: mean Dice on whole held-out images.
    """

    step: int
    cpu_s: float
    dice: float


@dataclass(frozen=True)
class LearningCurve:
    """The points of one run, by CPU seconds."""

    points: tuple[CurvePoint, ...]

    @property
    def total_cpu_s(self) -> float:
        """CPU seconds of the whole run."""
        return self.points[-1].cpu_s

    @property
    def final_dice(self) -> float:
        """Dice at the end of the run: not the best one on the way, which nobody could have picked honestly."""
        return self.points[-1].dice

    def cpu_s_to(self, dice: float) -> float | None:
        """CPU seconds at the first measured point with at least this Dice; None where there is none.

        Nothing is interpolated: the true moment lies between this point and the one before it.
        """
        return next((point.cpu_s for point in self.points if point.dice >= dice), None)

    def cpu_s_before(self, dice: float) -> float:
        """CPU seconds at the last measured point before `cpu_s_to`; 0 where the first point has this Dice."""
        below = [0.0]
        for point in self.points:
            if point.dice >= dice:
                break
            below.append(point.cpu_s)
        return below[-1]

    def as_list(self) -> list[dict[str, Any]]:
        """Plain values for JSON."""
        return [asdict(point) for point in self.points]


def curve_of(points: Sequence[dict[str, Any]]) -> LearningCurve:
    """A curve from plain values, in any order.

    Raises:
        ValueError: there is no point.
    """
    if not points:
        raise ValueError("a learning curve needs at least one point")
    made = (CurvePoint(int(p["step"]), float(p["cpu_s"]), float(p["dice"])) for p in points)
    return LearningCurve(tuple(sorted(made, key=lambda point: point.cpu_s)))


def compare(ours: LearningCurve, theirs: LearningCurve, share: float = SHARE_OF_FINAL) -> dict[str, float | None]:
    """Both readings of how much sooner ``ours`` reaches a share of the Dice that ``theirs`` ends with.

    Returns:
        ``threshold``: Dice to reach. ``ours_cpu_s``, ``theirs_cpu_s``: CPU seconds until the first measured point at or
        above it. ``ratio_of_total``: ours over the whole of their run. ``ratio_of_time``: ours over their own time.
        ``ratio_of_time_at_most``: ours over the last point at which they were still below, the reading that favours
        them most. None where a curve never gets there or a denominator is 0.
    """
    threshold = share * theirs.final_dice
    reached, their_own = ours.cpu_s_to(threshold), theirs.cpu_s_to(threshold)
    return {
        "threshold": threshold,
        "ours_cpu_s": reached,
        "theirs_cpu_s": their_own,
        "ratio_of_total": _ratio(reached, theirs.total_cpu_s),
        "ratio_of_time": _ratio(reached, their_own),
        "ratio_of_time_at_most": _ratio(reached, theirs.cpu_s_before(threshold)),
    }


def _ratio(numerator: float | None, denominator: float | None) -> float | None:
    return numerator / denominator if numerator is not None and denominator else None
