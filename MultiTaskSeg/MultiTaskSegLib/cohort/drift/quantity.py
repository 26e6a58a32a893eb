"""What may drift: figures of every case of a cohort."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from MultiTaskSegLib.cohort.result.case_record import CaseRecord

SCORE, FLAGGED, WORST = "score / limit", "flagged share", "expected Dice of the worst segment"


@dataclass(frozen=True)
class Quantity:
    """One figure of all cases.

    Attributes:
        name: as it is shown.
        values: in the order of the cases; None where a case has none.
        is_share: whether each value is 0 or 1, so that the mean is what is told of many, not the median.
    """

    name: str
    values: tuple[float | None, ...]
    is_share: bool = False


def quantities(records: Sequence[CaseRecord]) -> list[Quantity]:
    """The score of the check in units of the limit, whether a case is beyond it, expected Dice and millilitres."""
    remoteness = [record.remoteness for record in records]
    found = [
        Quantity(SCORE, tuple(remoteness)),
        Quantity(FLAGGED, tuple(None if one is None else float(one > 1) for one in remoteness), is_share=True),
    ]
    expected = list(dict.fromkeys(name for record in records for name in record.expected_dice))
    if len(expected) > 1:  # of one structure its own is the worst
        found.append(Quantity(WORST, tuple(record.lowest_dice for record in records)))
    for name in expected:
        found.append(Quantity(f"{name} expected Dice", tuple(record.expected_dice.get(name) for record in records)))
    for name in dict.fromkeys(name for record in records for name in record.volumes_ml):
        found.append(Quantity(f"{name} [mL]", tuple(record.volumes_ml.get(name) for record in records)))
    known = [replace(one, values=tuple(map(_finite, one.values))) for one in found]
    return [one for one in known if any(value is not None for value in one.values)]


def _finite(value: float | None) -> float | None:
    """None for what is no number, too: among ranks a single one would be taken for drift in all."""
    return value if value is not None and math.isfinite(value) else None
