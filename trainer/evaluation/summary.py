"""Evaluated cases in a few figures per dataset, with intervals from draws of patients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from trainer.evaluation.case_result import Agreement, CaseResult
from trainer.metrics.interval import PatientDraws, drawn_interval, share_interval
from trainer.metrics.overlap import mean_defined

DRAWS = 2000
FIGURES: dict[str, Callable[[Agreement], float]] = {
    "dice": lambda label: label.dice,
    "hausdorff95": lambda label: label.hausdorff95,
    "surface_dice": lambda label: label.surface_dice,
}


def summarise(results: Sequence[CaseResult]) -> dict[str, Any]:
    """By dataset: cases, means over cases with intervals, means by label, shares, seconds."""
    return {
        name: _of_dataset(name, [r for r in results if r.dataset == name])
        for name in dict.fromkeys(r.dataset for r in results)
    }


def _of_dataset(name: str, own: Sequence[CaseResult]) -> dict[str, Any]:
    by_label = {
        label: {figure: mean_defined([pick(r.labels[label]) for r in own]) for figure, pick in FIGURES.items()}
        for label in own[0].labels
    }
    dice, hausdorff95, surface_dice = (_mean(own, pick) for pick in FIGURES.values())
    return {
        "cases": len(own),
        "mean_foreground_dice": dice["mean"],
        "interval": dice["interval"],
        "patients": len({r.group for r in own}),
        "dice": {label: figures["dice"] for label, figures in by_label.items()},
        "hausdorff95": hausdorff95,
        "surface_dice": surface_dice,
        "by_label": by_label,
        "unit": own[0].unit if len({r.unit for r in own}) == 1 else "mixed",
        "tolerance": [min(r.tolerance for r in own), max(r.tolerance for r in own)],
        "one_is_empty": sum(_is_one_empty(label) for r in own for label in r.labels.values()),
        "expected_dice_error": mean_defined(
            [abs(label.dice - label.expected_dice) for r in own for label in r.labels.values()]
        ),
        "recognised": float(np.mean([r.task == name for r in own])),
        "flagged_ood": float(np.mean([r.is_ood for r in own])),
        "flagged_interval": list(share_interval([r.is_ood for r in own], [r.group for r in own])),
        "seconds_per_case": float(np.mean([r.seconds for r in own])),
    }


def _is_one_empty(label: Agreement) -> bool:
    """Whether the truth or the result, but not both, lacks the label."""
    return bool(np.isnan(label.hausdorff95) and not np.isnan(label.dice))


def _mean(results: Sequence[CaseResult], pick: Callable[[Agreement], float]) -> dict[str, Any]:
    """Mean over cases of the mean over their labels, and its 95 % interval; None where patients are too few."""
    means = [(r.group, mean_defined([pick(label) for label in r.labels.values()])) for r in results]
    scored = [(group, value) for group, value in means if not np.isnan(value)]
    if not scored:
        return {"mean": float("nan"), "interval": None}
    groups, values = zip(*scored, strict=True)
    weights = PatientDraws(groups, np.random.default_rng(0), DRAWS).weights(groups)
    # Every round draws as many patients as there are, so that no round is empty.
    limits = drawn_interval(weights @ np.asarray(values) / weights.sum(axis=1), len(set(groups)))
    return {"mean": float(np.mean(values)), "interval": None if limits is None else list(limits)}
