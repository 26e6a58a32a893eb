"""Is a mean above a limit? p-values, and what is left of them when the question is asked many times."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import t as student_t

from trainer.metrics.interval import SMALLEST_SPREAD


def holm(p_values: Sequence[float]) -> list[float]:
    """Corrected p-values: the chance that any true null hypothesis falls below a limit is at most that limit.

    Step-down procedure of Holm (Scandinavian Journal of Statistics 6, 1979); valid however the tests depend on each
    other.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    stepped = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    corrected = dict(zip(order.tolist(), np.minimum(stepped, 1.0).tolist(), strict=True))
    return [corrected[place] for place in range(len(values))]


def p_above(values: Sequence[float], limit: float = 0.0) -> float:
    """One-sided p-value of Student's test that the mean lies above a limit; 1 for fewer than two values.

    >>> round(p_above([1.0, 2.0, 3.0]), 4)
    0.0371
    """
    if len(values) < 2:
        return 1.0
    lead, spread = float(np.mean(values)) - limit, float(np.std(values, ddof=1))
    if spread < SMALLEST_SPREAD:
        return 0.0 if lead > 0 else 1.0
    return float(student_t.sf(lead / spread * len(values) ** 0.5, len(values) - 1))


def p_different(values: Sequence[float]) -> float:
    """Two-sided p-value that the mean is not 0."""
    return min(1.0, 2 * min(p_above(values), p_above([-value for value in values])))


def p_text(p: float) -> str:
    """For people.

    >>> p_text(0.0421), p_text(0.0002)
    ('p = 0.042', 'p < 0.001')
    """
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
