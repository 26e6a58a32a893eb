"""Findings as rows of tables and sentences, the same for the report and for the published page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trainer.experiment.interval import Interval
from trainer.recommendation.predictor import DESCRIPTIONS
from trainer.report.report import Cell

DEFINITIONS = (
    "Every network has the same architecture and is fine-tuned the same way. The gain is the Dice coefficient after "
    "fine-tuning from a source minus that from random weights with the same seed and the same labelled cases, on "
    "groups (patients) that no training has seen, under whatever name. Means over seeds; in brackets 95 % intervals "
    "(Student's t).",
    "Dice and IoU are over images that have the structure (positives only); the Dice with the empty rule counts an "
    "image without it 1 when nothing is marked and 0 otherwise. Lesions are connected components; one voxel of overlap "
    "finds a lesion; on the free-response curve a tenth of a candidate must be lesion.",
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
    if claim["verdict"] == "refuted":
        better = ", ".join(c["source"] for c in claim["compared"] if c["better"])
        return f"{what} is NOT at least as good as every other source: {better} is better beyond the interval.{ahead}"
    if claim["verdict"] == "undecided":
        return f"{what}: undecided, because one seed gives no interval.{ahead}"
    return f"{what} is at least as good as every other source within the interval.{ahead}"


def trouble_sentences(result: Mapping[str, Any]) -> list[str]:
    """What is missing from the matrix."""
    return [f"{name} failed: {why}" for name, why in result["failures"].items()]


def all_hold(targets: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the claim holds on every target."""
    return all(target["claim"]["verdict"] == "holds" for target in targets)


def shown(value: Mapping[str, Any]) -> str:
    """A value with its interval, a dash where nothing was measured.

    >>> shown({"value": 0.5, "low": 0.25, "high": 0.75, "count": 3}), shown({"value": None, "low": None, "high": None})
    ('0.500 (0.250 to 0.750)', '–')
    """
    if value["value"] is None or value["value"] != value["value"]:
        return "–"
    return str(Interval(value["value"], value["low"], value["high"], value.get("count", 0)))
