"""What a multi-task experiment found, in words and rows of tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trainer.metrics.multiple_comparison import p_text
from trainer.multi_task.figures import labels_text, with_datasets
from trainer.transfer.claim import number

Cell = str | float | int | None
WORDS = {
    "dice": "Dice",
    "foreground_dice": "Dice of all labels as one",
    "hausdorff95": "HD95",
    "assd": "ASSD",
    "surface_dice": "surface Dice",
    "ring_ece": "ring ECE",
    "predicted_ring_ece": "predicted-ring ECE",
    "ring_mce": "ring MCE",
    "ece": "ECE of the whole image",
    "auroc": "AUROC of the check",
    "lesion_sensitivity": "lesions found",
    "lesion_f1": "lesion F1",
}
SUMMARY = ("dice", "foreground_dice", "surface_dice", "ring_ece", "ring_mce", "auroc")
DEFINITIONS = (
    "Every arm spends the same number of optimiser steps on each dataset. All figures are of patients whom no training "
    "has seen, the same for every arm, segmented by the shipped pipeline on the images' own grids with the task told; "
    "means over cases and seeds, with intervals of 95 % over patients (draws) and seeds (Student's t; of one seed they "
    "are of patients alone). A mean over fewer than all datasets says over how many.",
    "Dice, HD95 (95th percentile of the distances between surfaces), ASSD (their mean) and surface Dice (within the "
    "smallest edge of a voxel) are means over the labels of a dataset; distances are of labels that truth and result "
    "have, and those of two arms are compared where both have them; a network with the paper's shared head tells "
    "foreground alone, and is compared by the Dice of all labels as one.",
    "A label that is in neither truth nor result has no Dice, and an image in which none is in either is left out of "
    "an arm's mean; where a file counts them, it is said how many. Marked where the truth has none, a label has a Dice "
    "of 0. So what one arm rightly leaves empty and another marks counts in the mean of the other alone, and p, which "
    "is of images in which both have a Dice, leaves it out.",
    "Ring: within 2 voxels of the true surface, on the network's grid. AUROC: test images against images of kinds that "
    "no arm knows, by the distance that the check measures.",
    "p: Wilcoxon's signed-rank test over patients, corrected for the number of datasets (Holm). It is of the networks "
    "that were trained: that networks of other seeds would differ likewise is told by the intervals alone.",
)

PEER_DEFINITION = (
    "nnU-Net is the exception: it is planned, preprocessed, trained and asked by its own code, and its training gets "
    "the CPU seconds that another arm's training has cost on the same dataset, with the same labels and seed. Its "
    "probabilities are its softmax as it is, and it checks no images: where an arm has no figure there is a dash."
)

FOLDS_DEFINITION = (
    "Where there are folds, every arm was trained once for each of them, and every patient is tested by the network "
    "that has not seen them; networks of different folds share patients, so that intervals are a little too narrow. "
    "CPU minutes are those of all folds. Where a run of one fold has failed, its seed has no figures."
)


def definitions(*results: Mapping[str, Any]) -> tuple[str, ...]:
    """What a reader of these results must know."""
    # Files from before there was an arm of nnU-Net, or folds, have none.
    peers = (PEER_DEFINITION,) if any(result.get("peers") for result in results) else ()
    folds = (FOLDS_DEFINITION,) if any(folds_of(result) for result in results) else ()
    return (*DEFINITIONS, *peers, *folds)


def folds_of(result: Mapping[str, Any]) -> int:
    """Of the cross-validation; 0: the same patients were tested on in all runs."""
    return int(result.get("folds", 0))


def folds_sentences(result: Mapping[str, Any]) -> list[str]:
    """A line on cross-validation, and on whom it has left out; no line where there was none."""
    folds = folds_of(result)
    if not folds:
        return []
    spared = " Patients whom a training with these settings holds out were left out of everything."
    more = spared if result["spare_held_out"] else ""
    return [f"Cross-validation of {folds} folds.{more}"]


def verdict_sentence(result: Mapping[str, Any], regime: Mapping[str, Any]) -> str:
    """The claim for one number of labels."""
    ours, reference = result["ours"], result["reference"]
    parts = []
    for bar in regime["bars"]:
        how = "met" if bar["met"] else "not met"
        missing = bar["datasets"] - bar["compared"]
        left = f"; {missing} not compared" if missing else ""
        parts.append(
            f"{WORDS[bar['figure']]} not worse on {bar['not_worse']} of {bar['datasets']} datasets (bar "
            f"{100 * bar['share']:.0f} %, {how}{left})"
        )
    found = next((one for one in regime["against_reference"] if one["arm"] == ours), None)
    lead = "" if found is None else f"; mean Dice {lead_text(found['figures']['dice'])}"
    people = labels_text(regime["labelled_groups"])
    return f"{people} patients with labels: {ours} against {reference}: {', '.join(parts)}{lead}."


def shortage_sentences(result: Mapping[str, Any], regime: Mapping[str, Any]) -> list[str]:
    """A line where datasets have fewer patients to learn from than the number of labels says; no line elsewhere."""
    count = regime["labelled_groups"]
    # Files from before there were folds have no "free_groups".
    free = {
        name: own.get("free_groups", own["groups"] - own["tested_groups"]) for name, own in result["datasets"].items()
    }
    fewer = ", ".join(f"{name} ({has})" for name, has in free.items() if has < count)
    whom = "there to learn from in every fold" if folds_of(result) else "not tested on"
    return [f"Fewer than {count} patients are {whom}, and all of these have labels: {fewer}."] if fewer else []


def empty_sentences(regime: Mapping[str, Any]) -> list[str]:
    """A line for each dataset with images of which an arm has no Dice, since neither truth nor result has a label."""
    found: dict[str, list[str]] = {}
    for row in regime["rows"]:
        # Files from before they were counted do not say it.
        empty = sum(row.get("empty_cases", {}).values())
        if empty:
            every = row["cases"] * len(row["seeds"])
            found.setdefault(row["dataset"], []).append(f"{row['arm']} {empty} of {every}")
    return [
        f"{name}, images of all seeds with no label in truth and result, left out of the Dice: {', '.join(arms)}."
        for name, arms in found.items()
    ]


def lead_text(found: Mapping[str, Any]) -> str:
    """A mean difference with its interval."""
    mean, limits = number(found["mean"]), found["interval"]
    if np.isnan(mean):
        return "not measured"
    return f"{mean:+.3f}" + (f" ({limits[0]:+.3f} to {limits[1]:+.3f})" if limits else "")


def trouble_sentences(result: Mapping[str, Any]) -> list[str]:
    """One line for each run that failed."""
    return [f"Run {name} failed: {why}" for name, why in result["failures"].items()]


def case_caption(result: Mapping[str, Any], entry: Mapping[str, Any]) -> str:
    """What a picture of cases shows, see `trainer.multi_task.case_picture.draw_cases`."""
    # Not the keys of the Dice: a file has them in the order of the alphabet.
    ours, reference = result["ours"], result["reference"]
    places = ", ".join(row["place"] for row in entry["cases"])
    # From 0 on, as in the names of runs.
    fold = f", fold {entry['fold']}" if folds_of(result) else ""
    return (
        f"{entry['dataset']}, {labels_text(entry['labelled_groups'])} patients with labels, seed {entry['seed']}"
        f"{fold}: {places} case of {ours} with the Dice of {reference} and {ours}; the slice with most of the truth"
    )


def summary_rows(result: Mapping[str, Any], regime: Mapping[str, Any]) -> tuple[list[str], list[list[Cell]]]:
    """Headers and one row per arm: means over datasets of the figures, leads over the reference, CPU minutes."""
    headers = ["Arm", *(WORDS[key] for key in SUMMARY), "Dice ahead of reference", "Not worse on", "CPU min"]
    rows: list[list[Cell]] = []
    for arm in result["arms"]:
        own = [row for row in regime["rows"] if row["arm"] == arm]
        means = [_mean_text([number(row[key]["value"]) for row in own], len(result["datasets"])) for key in SUMMARY]
        found = next((one for one in regime["against_reference"] if one["arm"] == arm), None)
        dice = None if found is None else found["figures"]["dice"]
        seconds = result["compute"][str(regime["labelled_groups"])].get(arm)
        rows.append(
            [
                arm,
                *means,
                "" if dice is None else lead_text(dice),
                "" if dice is None else f"{dice['not_worse']} of {dice['compared']}",
                _minutes(result, arm, number(seconds)),
            ]
        )
    return headers, rows


def _minutes(result: Mapping[str, Any], arm: str, seconds: float) -> Cell:
    """CPU minutes on all datasets; of an arm on fewer it is said on how many."""
    if np.isnan(seconds):
        return None
    minutes, own = round(seconds / 60, 1), result.get("limited", {}).get(arm, result["datasets"])
    return (
        minutes
        if len(own) == len(result["datasets"])
        else with_datasets(str(minutes), len(own), len(result["datasets"]))
    )


def peer_rows(result: Mapping[str, Any], regime: Mapping[str, Any]) -> tuple[list[str], list[list[Cell]]]:
    """Headers and one row per training of nnU-Net: what it was given, and what it did with it."""
    # Which fold a training is of is told where there are folds; files from before have none.
    folds = ["fold"] if folds_of(result) else []
    headers = [
        "Dataset",
        "Arm",
        "Seed",
        *(word.capitalize() for word in folds),
        "CPU s given",
        "CPU s spent",
        "Steps",
        "Patch",
        "Batch",
        "CPU s of preparation",
    ]
    rows: list[list[Cell]] = [
        [
            one["dataset"], one["arm"], one["seed"], *(one[key] for key in folds), f"{one['budget_cpu_s']:.0f}",
            f"{one['cpu_s']:.0f}", one["steps"], " x ".join(str(n) for n in one["patch"]), one["batch"],
            f"{one['preparation_cpu_s']:.0f}",
        ]
        for one in result.get("peers", [])
        if one["labelled_groups"] == regime["labelled_groups"]
    ]  # fmt: skip
    return headers, rows


def dataset_rows(result: Mapping[str, Any], regime: Mapping[str, Any], key: str) -> tuple[list[str], list[list[Cell]]]:
    """Headers and one row per dataset: a figure of every arm."""
    rows: list[list[Cell]] = []
    for name in result["datasets"]:
        by_arm = {row["arm"]: row for row in regime["rows"] if row["dataset"] == name}
        values = [value_text(by_arm[arm][key], by_arm[arm]["unit"], key) if arm in by_arm else None
                  for arm in result["arms"]]  # fmt: skip
        if any(values):
            rows.append([name, *values])
    return ["Dataset", *result["arms"]], rows


def comparison_rows(compared: Mapping[str, Any], key: str) -> list[list[Cell]]:
    """One row per dataset: difference, interval, p."""
    rows: list[list[Cell]] = []
    for name, found in compared["figures"][key]["by_dataset"].items():
        if not np.isnan(number(found["value"])):
            corrected = found.get("p_corrected")
            rows.append([name, lead_text(found | {"mean": found["value"]}), None if corrected is None else
                         p_text(corrected)])  # fmt: skip
    return rows


def value_text(found: Mapping[str, Any], unit: str, key: str) -> str | None:
    """A figure with its interval and unit; None where it was not measured."""
    value, limits = number(found["value"]), found["interval"]
    if np.isnan(value):
        return None
    words = f"{value:.3f}" + (f" ({limits[0]:.2f} to {limits[1]:.2f})" if limits else "")
    return f"{words} {unit}" if key in ("hausdorff95", "assd") else words


def _mean_text(values: Sequence[float], datasets: int) -> str | None:
    """Mean over datasets; of fewer than all it says so, for it cannot be compared with others."""
    defined = [value for value in values if not np.isnan(value)]
    if not defined:
        return None
    return with_datasets(f"{np.mean(defined):.3f}", len(defined), datasets)
