"""All tests of a cohort: each quantity over date, scanner and site, with p-values adjusted for the number of tests."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from MultiTaskSegLib.cohort.drift.quantity import Quantity, quantities
from MultiTaskSegLib.cohort.drift.rank_test import LEAST_SIDE, RankTest, change_point, group_difference, holm
from MultiTaskSegLib.cohort.result.case_record import CaseRecord

DATE, SCANNER, SITE = "date", "scanner", "site"
WAYS = (DATE, SCANNER, SITE)
LEAST_CASES = 20
LEAST_DAYS = 6  # of fewer there are not enough orders for a p-value below .05 after an adjustment
ROUNDS, SEED = 1999, 0


@dataclass(frozen=True)
class Shift:
    """One test.

    Attributes:
        quantity: what was looked at.
        by: one of `WAYS`.
        cases: how many have the quantity and say their date, scanner or site.
        reason: why nothing was tested; empty where it was.
        p_value: of this test alone; None where nothing was tested.
        adjusted: for the number of all tests (Holm).
        where: first day after the change, or the group that stands out most.
        here: median from that day on, or of the group; of a share the mean.
        elsewhere: that of all other cases.
    """

    quantity: str
    by: str
    cases: int
    reason: str = ""
    p_value: float | None = None
    adjusted: float | None = None
    where: str = ""
    here: float | None = None
    elsewhere: float | None = None

    def is_drift(self, alpha: float) -> bool:
        """Whether chance gives as much less often than ``alpha``, all tests taken together."""
        return self.adjusted is not None and self.adjusted <= alpha


def key_of(record: CaseRecord, by: str) -> str:
    """The date, the scanner with its serial number, or the site of a case; empty where its headers say nothing."""
    return f"{record.scanner} {record.device}".strip() if by == SCANNER else str(getattr(record, by))


def shifts(records: Sequence[CaseRecord], ways: Sequence[str] = WAYS, alpha: float = 0.05) -> list[Shift]:
    """Every test of finished cases; the same every time, as the random orders are drawn from one seed.

    Args:
        records: of the cases.
        ways: those of `WAYS` that are wanted.
        alpha: so many random orders are drawn that a drift in one of all quantities can pass it.
    """
    wanted = quantities(records)
    tests = max(1, len(wanted) * len(ways))
    rounds = max(ROUNDS, math.ceil(2 * tests / alpha) - 1)
    found: list[Shift] = []
    for by in ways:
        keys = [key_of(record, by) for record in records]
        for quantity in wanted:
            generator = np.random.default_rng([SEED, len(found)])
            found.append(_tested(quantity, by, keys, lambda test, *given, g=generator: test(*given, rounds, g)))
    tested = [shift for shift in found if shift.p_value is not None]
    adjusted = iter(holm([shift.p_value or 0.0 for shift in tested]))
    return [shift if shift.p_value is None else replace(shift, adjusted=next(adjusted)) for shift in found]


def _tested(quantity: Quantity, by: str, keys: Sequence[str], run: Callable[..., RankTest]) -> Shift:
    known = [(key, value) for key, value in zip(keys, quantity.values, strict=True) if key and value is not None]
    shift = Shift(quantity.name, by, len(known))
    if not known:
        return replace(shift, reason=f"no case says its {by}")
    if len(known) >= LEAST_CASES and len({value for _, value in known}) == 1:
        return replace(shift, reason="the same in every case")
    known.sort(key=lambda pair: pair[0])  # by key; the order within one says nothing, and is never looked at
    return (_over_dates if by == DATE else _over_groups)(shift, quantity, known, run)


def _over_dates(
    shift: Shift, quantity: Quantity, known: Sequence[tuple[str, float]], run: Callable[..., RankTest]
) -> Shift:
    days = sorted({day for day, _ in known})
    counts = Counter(day for day, _ in known)
    sizes = np.asarray([counts[day] for day in days])
    before = np.cumsum(sizes)[:-1]
    has_border = bool(np.any((before >= LEAST_SIDE) & (len(known) - before >= LEAST_SIDE)))
    if len(known) < LEAST_CASES or len(days) < LEAST_DAYS or not has_border:
        enough = f"{LEAST_CASES} cases are needed, on {LEAST_DAYS} days"
        return replace(shift, reason=f"too few dated cases: {enough}")
    values = np.asarray([value for _, value in known])
    test = run(change_point, values, sizes)
    after = np.arange(len(values)) >= before[test.place]
    return _told(shift, quantity, test, days[test.place + 1], values, after)


def _over_groups(
    shift: Shift, quantity: Quantity, known: Sequence[tuple[str, float]], run: Callable[..., RankTest]
) -> Shift:
    sizes = Counter(key for key, _ in known)
    groups = {key: count for key, count in sizes.items() if count >= LEAST_SIDE}
    kept = [(key, value) for key, value in known if key in groups]
    if len(groups) < 2 or len(kept) < LEAST_CASES:
        enough = f"{LEAST_CASES} cases are needed, of two {shift.by}s with {LEAST_SIDE} or more"
        return replace(shift, reason=f"too few cases to compare: {enough}")
    values = np.asarray([value for _, value in kept])
    if np.ptp(values) == 0:
        return replace(shift, reason="the same in every case")
    test = run(group_difference, values, np.asarray(list(groups.values())))
    group = list(groups)[test.place]
    inside = np.asarray([key == group for key, _ in kept])
    return _told(replace(shift, cases=len(kept)), quantity, test, group, values, inside)


def _told(
    shift: Shift, quantity: Quantity, test: RankTest, where: str, values: np.ndarray, inside: np.ndarray
) -> Shift:
    middle = np.mean if quantity.is_share else np.median
    here, elsewhere = float(middle(values[inside])), float(middle(values[~inside]))
    return replace(shift, p_value=test.p_value, where=where, here=here, elsewhere=elsewhere)
