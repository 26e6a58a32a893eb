"""The cycles of a training's learning rate, in each of which it falls by half a cosine to nothing.

Huang et al., "Snapshot ensembles: train 1, get M for free" (ICLR 2017). There is no warm-up but the first: the jump of
the learning rate is what takes the weights away from where they have settled, and the optimiser's moments, which a
warm-up is to wait for, are there already.
"""

from __future__ import annotations

from typing import Any

from MultiTaskSegLib.runtime.errors import UsageError
from trainer.config import TrainingConfig

FEWEST = 2
# By which a share of the run may fall short of the end of a cycle that it stands for: a step too early in the old
# cycle would have no learning rate.
ROUNDING = 1e-9


def cycle_count(config: TrainingConfig) -> int:
    """How many cycles a training has; one where no snapshots are wanted."""
    return max(1, config.snapshots)


def place(progress: float, cycles: int) -> tuple[int, float]:
    """Where a run is when a share ``progress`` of it is over: number of the cycle, from 0, and the share of that.

    >>> place(0.75, 2)
    (1, 0.5)
    """
    position = min(max(progress, 0.0), 1.0) * cycles
    number = min(int(position + ROUNDING), cycles - 1)
    return number, max(0.0, position - number)


def require_cycles(config: TrainingConfig, steps: int | None, obstacle: str = "") -> None:
    """Refuse a number of snapshots that a training cannot leave.

    Args:
        config: with ``snapshots``.
        steps: of the budget; None: it is one of minutes.
        obstacle: why this training cannot be divided into cycles, in words; empty: it can.

    Raises:
        UsageError: the number is negative, there are more cycles than steps, or there is an obstacle.
    """
    wanted = config.snapshots
    if wanted < 0:
        raise UsageError(f"snapshots is {wanted}", remedy="Use 2 or more, or leave it out")
    if wanted < FEWEST:
        return
    if obstacle:
        raise UsageError(f"snapshots is {wanted}, and {obstacle}", remedy="Leave snapshots out of the configuration")
    if steps is not None and wanted > steps:
        raise UsageError(
            f"snapshots is {wanted}, more than the {steps} steps of the training", remedy="Use fewer, or more steps"
        )


def cycles_identity(config: TrainingConfig, steps: int | None, minutes: float | None) -> dict[str, Any]:
    """What belongs to the identity of a run because of its cycles, as plain values; nothing of a run without snapshots.

    Where a cycle ends follows from the whole of the budget. Other runs may go on with more steps than they began with.
    """
    if config.snapshots < FEWEST:
        return {}
    return {"cycles": {"number": config.snapshots, "steps": steps, "minutes": minutes}}
