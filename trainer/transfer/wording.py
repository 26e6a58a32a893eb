"""Findings as rows of tables and sentences, the same for the report and for the published page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainer.metrics.interval import Interval
from trainer.metrics.multiple_comparison import p_text
from trainer.recommendation.predictor import DESCRIPTIONS
from trainer.report.report import Cell
from trainer.transfer.claim import MARGIN

DEFINITIONS = (
    "Every network has the same architecture and is fine-tuned the same way. The gain is the Dice coefficient after "
    "fine-tuning from a source minus that from random weights with the same seed and the same labelled cases, on "
    "groups (patients) that no training has seen, under whatever name. Means over seeds; in brackets 95 % intervals "
    "(Student's t).",
    "Dice and IoU are over images that have the structure (positives only); the Dice with the empty rule counts an "
    "image without it 1 when nothing is marked and 0 otherwise. Lesions are connected components; one voxel of overlap "
    "finds a lesion; on the free-response curve a tenth of a candidate must be lesion.",
    "The claim is that segmentation in the target's domain is at least as good as every other source. It is refuted "
    "when another source is better (one-sided Student's test over seeds, p at most 0.025 after Holm's correction for "
    f"the number of sources) and not shown to be so by less than {100 * MARGIN:.0f} Dice points. It holds when that is "
    "shown of every other source (the 95 % interval of the difference lies below the margin). Otherwise it is "
    "undecided: that nothing was found to be better does not show that nothing is.",
)
TARGET_HEADERS = ("Source", "Task", "Domain", "Dice", "Gain", "IoU", "Dice, empty rule")
DETECTION_HEADERS = ("Source", "Sensitivity", "Precision", "F1", "False positives per image")
PREDICTION_HEADERS = ("Predictor", "What it is", "Rank correlation with the gain", "Bar met")


def target_rows(target: Mapping[str, Any]) -> list[list[Cell]]:
    """One row per source, random initialisation first."""
    return [
        [
            f"{row['source']}{' (matched)' if row['matched'] else ''}",
            row["task"],
            row["domain"],
            shown(row["dice"]),
            shown(row["gain"]),
            shown(row["iou"]),
            shown(row["dice_empty_rule"]),
        ]
        for row in target["rows"]
    ]


def detection_rows(target: Mapping[str, Any]) -> list[list[Cell]]:
    """One row per source for targets with lesions."""
    rates = ("sensitivity", "precision", "f1", "false_positives_per_image")
    return [
        [row["source"], *(shown(row["detection"][rate]) for rate in rates)]
        for row in target["rows"]
        if "detection" in row
    ]


def prediction_rows(prediction: Mapping[str, Any]) -> list[list[Cell]]:
    """One row per predictor."""
    said = {True: "yes", False: "no", None: "not measured"}
    return [
        [name, DESCRIPTIONS[name], shown(found["overall"]), said[found["meets_bar"]]]
        for name, found in prediction["predictors"].items()
    ]


def claim_sentence(target: Mapping[str, Any]) -> str:
    """What became of the claim on one target."""
    claim = target["claim"]
    what = f"{target['name']}: segmentation in the same domain ({target['domain']})"
    if claim["verdict"] == "untested":
        return f"{what} could not be compared: {claim['why']}."
    ahead = f" Higher on average: {', '.join(claim['higher_mean'])}." if claim["higher_mean"] else ""
    within = [c["source"] for c in claim["compared"] if c["within_margin"]]
    points = f"{100 * claim['margin']:.0f} Dice points"
    if claim["verdict"] == "refuted":
        better = ", ".join(f"{c['source']} ({p_text(c['p_better'])})" for c in claim["compared"] if c["better"])
        return f"{what} is NOT at least as good as every other source: {better} is better.{ahead}"
    if claim["verdict"] == "holds":
        return f"{what} is at least as good as every other source, give or take {points}.{ahead}"
    least = min(c["p_better"] for c in claim["compared"])
    equal = f" Shown not to be better by {points}: {', '.join(within) or 'none'}."
    return f"{what}: undecided. No other source is shown to be better (smallest {p_text(least)}).{equal}{ahead}"


def trouble_sentences(result: Mapping[str, Any]) -> list[str]:
    """What is missing from the matrix."""
    return [f"{name} failed: {why}" for name, why in result["failures"].items()]


def shown(value: Mapping[str, Any]) -> str:
    """A value with its interval, a dash where nothing was measured.

    >>> shown({"value": 0.5, "low": 0.25, "high": 0.75, "count": 3}), shown({"value": None, "low": None, "high": None})
    ('0.500 (0.250 to 0.750)', '–')
    """
    if value["value"] is None or value["value"] != value["value"]:
        return "–"
    return str(Interval(value["value"], value["low"], value["high"], value.get("count", 0)))
