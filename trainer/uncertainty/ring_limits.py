"""What stands in the way of a small calibration error in the ring, from a task's measured figures alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from trainer.uncertainty.findings import BEST_FORM, RING_BAR
from trainer.uncertainty.reliability import CONFIDENCE, FOREGROUND, VOXELS

MET = "met"
ONE_PATIENT = "one patient, nothing to fit on"
FLOOR = "right probabilities would miss it, too"
MISSED = "structures missed or too small"
TOO_LARGE = "structures too large"
PATIENTS = "patients differ, the interval holds the bar"
PROBABILITIES = "the probabilities"


@dataclass(frozen=True)
class RingLimits:
    """Figures of the ring around the true surface; NaN where nothing could be measured.

    Attributes:
        error: ring ECE of the best calibration, fitted on other patients.
        known_patients: ring ECE of the shipped one, fitted on these very patients. More patients to fit on could bring
            the error down to about this.
        floor: ring ECE if the probabilities were right.
        gap: mean probability minus share of foreground: below 0 where structures are missed or too small. The ring ECE
            is at least its size.
        half: ring ECE of a model that says 0.5 everywhere, for about half of any ring is foreground.
        around_structures, whole_price: ECE in the ring and of the whole image under the temperature that is fitted
            around the true structures.
        whole: ECE of the whole image under the best calibration, to compare with ``whole_price``.
        obstacle: why the error is above the bar, in words.
    """

    error: float
    known_patients: float
    floor: float
    gap: float
    half: float
    around_structures: float
    whole_price: float
    whole: float
    obstacle: str


def ring_limits(task: Mapping[str, Any]) -> RingLimits:
    """The limits of one task.

    Args:
        task: its entry in ``metrics.json``.
    """
    table = np.array(task["reliability"][BEST_FORM]["ring"], dtype=np.float64).sum(axis=1)
    share, mean = (table[row] / table[VOXELS] if table[VOXELS] else np.nan for row in (FOREGROUND, CONFIDENCE))
    gap = float(mean - share)
    return RingLimits(
        _value(task, BEST_FORM, "ring_ece"),
        _value(task, "shipped", "ring_ece"),
        _value(task, BEST_FORM, "ideal_ring_ece"),
        gap,
        float(abs(0.5 - share)),
        _value(task, "temperature", "ring_ece"),
        _value(task, "temperature", "whole_ece"),
        _value(task, BEST_FORM, "whole_ece"),
        obstacle(task, gap),
    )


def obstacle(task: Mapping[str, Any], gap: float) -> str:
    """Why a task's ring ECE is above the bar; a dash when nobody knows the error.

    Args:
        task: its entry in ``metrics.json``.
        gap: mean probability minus share of foreground in the ring.
    """
    error = _value(task, BEST_FORM, "ring_ece")
    if not error > RING_BAR:
        return MET if error <= RING_BAR else "–"
    interval = task["calibration"][BEST_FORM]["ring_ece"]["interval"]
    floor_above = _value(task, BEST_FORM, "ideal_ring_ece") > RING_BAR
    reasons = {
        ONE_PATIENT: not task["cross_fitted"],
        FLOOR: floor_above,
        MISSED: gap < -RING_BAR,
        TOO_LARGE: gap > RING_BAR,
        PATIENTS: not floor_above and interval is not None and interval[0] <= RING_BAR,
    }
    return "; ".join(reason for reason, holds in reasons.items() if holds) or PROBABILITIES


def _value(task: Mapping[str, Any], form: str, key: str) -> float:
    entry = task["calibration"].get(form, {}).get(key)
    return float("nan") if entry is None or entry["value"] is None else float(entry["value"])
