"""The claim of the paper on one target: is segmentation in its domain at least as good as every other source?

Two questions with two kinds of error. *Refuted* says that a source is better; of several sources one seems so by chance
more often than any single one would, so their p-values are corrected (Holm). *Holds* says that no source is better by a
margin, which has to be shown of each of them (an intersection-union test: Berger, Technometrics 24(4), 1982); that none
was found to be better would show nothing. What is neither is *undecided*.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trainer.metrics.interval import TAIL, mean_interval
from trainer.metrics.multiple_comparison import holm, p_above
from trainer.transfer.settings import SCRATCH

MARGIN = 0.03
"""Dice by which a source may be better and still count as equal: the gain that is asked of a method elsewhere."""
# Mean Dice that some network must reach before networks can be compared: below it all are alike for want of training.
LEARNT = 0.05

Rows = Sequence[Mapping[str, Any]]


def claim(rows: Rows) -> dict[str, Any]:
    """Compare the best source of the target's domain with every other source, seed by seed.

    Args:
        rows: of one target, one per source, with ``source``, ``matched``, ``dice`` and ``dice_by_seed``.

    Returns:
        ``verdict`` (``holds``, ``refuted``, ``undecided``, or ``untested``: also where no network learnt the target),
        ``best``, ``margin``, ``higher_mean`` and, by source, what it is ``compared`` with: ``difference`` with its 95 %
        interval, ``p_better`` (one-sided, corrected), ``better`` and ``within_margin``.
    """
    matched = [row for row in rows if row["matched"]]
    others = [row for row in rows if not row["matched"] and row["source"] != SCRATCH]
    if not is_learnt(rows):
        return _untested("no network learnt the target")
    if not matched or not others:
        return _untested(f"no {'other source' if matched else 'segmentation in the target’s domain'} was measured")
    best = max(matched, key=lambda row: number(row["dice"]["value"]))
    differences = [_differences(best, other) for other in others]
    corrected = holm([p_above(values, 0.0) for values in differences])
    # The best of several matched sources was chosen by these very figures.
    level = TAIL / len(matched)
    compared = []
    for other, values, p in zip(others, differences, corrected, strict=True):
        within = p_above([-value for value in values], -MARGIN) <= level
        found = mean_interval(values)
        better = p <= TAIL and not within
        compared.append(
            {"source": other["source"], "difference": found.as_dict(), "p_better": p, "better": better,
             "within_margin": within}
        )  # fmt: skip
    ahead = [c["source"] for c in compared if number(c["difference"]["value"]) > 0]
    return {"verdict": _verdict(compared), "best": best["source"], "why": "", "margin": MARGIN, "compared": compared,
            "higher_mean": ahead}  # fmt: skip


def is_learnt(rows: Rows) -> bool:
    """Whether any network of a target, random initialisation included, is worth comparing."""
    return any(number(row["dice"]["value"]) >= LEARNT for row in rows)


def number(value: float | None) -> float:
    """JSON has no NaN: what could not be measured is null there."""
    return float("nan") if value is None else float(value)


def _verdict(compared: Sequence[Mapping[str, Any]]) -> str:
    if any(c["better"] for c in compared):
        return "refuted"
    return "holds" if all(c["within_margin"] for c in compared) else "undecided"


def _untested(why: str) -> dict[str, Any]:
    return {"verdict": "untested", "best": None, "why": why, "margin": MARGIN, "compared": []}


def _differences(best: Mapping[str, Any], other: Mapping[str, Any]) -> list[float]:
    """By how much the other source is ahead, with every seed that both have."""
    mine, its = best["dice_by_seed"], other["dice_by_seed"]
    pairs = [number(its[seed]) - number(mine[seed]) for seed in sorted(mine.keys() & its.keys())]
    return [value for value in pairs if not np.isnan(value)]
