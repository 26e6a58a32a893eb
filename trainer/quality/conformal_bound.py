"""A lower bound on the Dice that holds: "at least 0.81 in nine of ten such images", whatever is foretold.

Split-conformal prediction (Vovk et al., *Algorithmic Learning in a Random World*, 2005; for Dice coefficients Wundram
et al., arXiv 2407.13307): patients who were not fitted on say by how much the real Dice falls short of the foretold
one; a new patient like them falls short by no more, with the chance that was asked for. Nothing is assumed of the
network or of the foretold Dice, but that the new patient comes from where the others do: of an image that the check
calls foreign the bound says nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import numpy as np
from numpy.typing import NDArray

COVERAGE = 0.9
ROUNDING = 1e-9

Floats = NDArray[np.float64]


def fewest_patients(coverage: float = COVERAGE) -> int:
    """How many patients a bound needs: of fewer, even the worst shortfall is exceeded too often.

    Args:
        coverage: share of images for which the bound is to hold, above 0 and below 1.

    Raises:
        ValueError: the coverage is no such share.

    >>> fewest_patients(0.9), fewest_patients(0.95)
    (9, 19)
    """
    if not 0 < coverage < 1:
        raise ValueError("a coverage is a share above 0 and below 1")
    return ceil(coverage / (1 - coverage) - ROUNDING)


def conformal_margin(
    foretold: Floats, real: Floats, patients: Sequence[str], coverage: float = COVERAGE
) -> float | None:
    """By how much the real Dice may fall short of the foretold one, so it is no worse in ``coverage`` of images.

    Images of one patient are alike, and patients with many images must not count more: each patient has the same
    weight, shared among his images, and the new one has that weight, too, with nothing known of him (hierarchical
    conformal prediction: Lee, Barber & Willett, arXiv 2306.06342). With one image of each patient it is the
    ⌈(n + 1) coverage⌉-th smallest of n shortfalls.

    Args:
        foretold: Dice, or anything on its scale, ``(N,)``; fitted on other patients.
        real: Dice against the truth, ``(N,)``.
        patients: by image.
        coverage: share of images of new patients for which the bound is to hold.

    Returns:
        None for fewer patients than `fewest_patients`.

    Raises:
        ValueError: a value is not finite, there are not as many patients, or the coverage is no share.
    """
    shortfall = np.asarray(foretold, dtype=np.float64) - np.asarray(real, dtype=np.float64)
    if not np.isfinite(shortfall).all() or len(shortfall) != len(patients):
        raise ValueError("a bound is made from numbers, one of each image")
    names, number = np.unique(np.asarray(patients, dtype=object), return_inverse=True)
    if len(names) < fewest_patients(coverage):
        return None
    weights = 1.0 / ((len(names) + 1) * np.bincount(number)[number])
    order = np.argsort(shortfall, kind="stable")
    reached = np.flatnonzero(np.cumsum(weights[order]) >= coverage - ROUNDING)
    return float(shortfall[order[reached[0]]])


def lower_bound(foretold: float, margin: float) -> float:
    """The bound for a new image: what is foretold of it less the margin, within 0 and 1."""
    return min(1.0, max(0.0, foretold - margin))
