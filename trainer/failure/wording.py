"""Words and tables of the experiment ``failure-detection``, for report and published page alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trainer.report.report import Cell

ROW_NAMES = {
    "entropy": "mean entropy",
    "entropy_foreground": "entropy, foreground",
    "entropy_boundary": "entropy, boundary",
    "entropy_non_boundary": "entropy, outside the boundary",
    "entropy_worst_patch": "entropy, worst patch",
    "confidence_worst_patch": "confidence, worst patch",
    "confidence_foreground": "confidence, foreground",
    "expected_dice": "expected Dice, not corrected",
    "expected_dice_lowest": "expected Dice, lowest of the structures",
    "ood_score": "score of the check",
    "verdict_and_expected_dice": "verdict, then expected Dice",
    "random_forest": "random forest, five features",
    "quality_regression": "quality regression, linear",
    "quality_forest": "quality regression, forest",
    "quality_regression_faults_known": "quality regression, linear, faults known",
    "quality_forest_faults_known": "quality regression, forest, faults known",
    "predicted_dice": "predicted Dice, as a model file learns it",
    "predicted_dice_faults_known": "predicted Dice, as a model file learns it, faults known",
    "predicted_dice_filed": "predicted Dice, of the model file itself",
    "pairwise_dice_dropout": "pairwise Dice, dropout",
    "pairwise_dice_ensemble": "pairwise Dice, ensemble",
    "pairwise_dice_looks": "further looks, as the thorough check takes them",
    "pairwise_dice_snapshots": "pairwise Dice, snapshots",
}
FIGURES = {
    "aurc": ("AURC", 100.0, 1),
    "gain_over_entropy": ("gain over mean entropy, %", 100.0, 0),
    "e_aurc": ("e-AURC", 100.0, 1),
    "n_aurc": ("nAURC", 1.0, 2),
    "augrc": ("AUGRC", 100.0, 1),
    "failure_auroc": ("failure AUROC", 1.0, 3),
    "fpr95": ("FPR at 95 % TPR", 1.0, 2),
    "failures_accepted": ("failures accepted", 1.0, 2),
    "spearman": ("Spearman", 1.0, 3),
    "error": ("error of the Dice", 1.0, 3),
}
"""Header, factor and digits of each figure; areas are given in hundredths, as in the literature."""
WORTH = {
    "flagged": "flagged",
    "loss_flagged": "loss of Dice, flagged",
    "loss_passed": "loss of Dice, let pass",
    "failures_passed": "failures let pass",
}
ROW_HEADERS = ("Confidence", *(header for header, _, _ in FIGURES.values()))
TASK_HEADERS = ("Task", "images", "patients", "failures", "mean Dice", "mean Dice, clean", "seconds per pass")
BOUND_HEADERS = ("Task", "patients", "structures", "mean margin", "structures that reach their bound")
FILED_BOUND = "Whether the bound of the model file itself holds"
WORTH_HEADERS = ("Artefact", *WORTH.values())

DEFINITIONS = (
    "The risk of an image is 1 - its mean Dice over the structures, on the image's own grid, of the segmentation that "
    "users get where the task is named. Images are those of patients whom the model has never seen, clean and under "
    "artefacts in three severities. A confidence puts the images of a task in an order; the table says how good it is.",
    "AURC: mean risk of the images that are kept, over all coverages (x 100, lower is better). e-AURC: by how much it "
    "is above the best order. nAURC: share of the possible gain, 1 for the best order, 0 for none. AUGRC: mean risk "
    "that goes undetected (x 100). A failure is a mean Dice below 0.75; FPR at 95 % TPR: the share of good results "
    "that must be looked at to find 95 % of the failures. Failures accepted: the share of all failures that is kept "
    "when 95 % of the good results are (what FD-Shifts and Zenk et al. call FPR at 95 % TPR). Spearman: rank "
    "correlation of confidence and Dice.",
    "Means over tasks of figures within tasks, for over all tasks together a confidence may look good because it tells "
    "tasks apart; in brackets 95 % intervals from drawing patients, each once for all tasks and artefacts. A figure "
    "that is not defined in a task (nothing could be fitted, or there is no failure) is left out of its mean: where "
    "that is so, the number of tasks is told, and the mean must not be compared with one over other tasks. In its "
    "interval a task of which nobody was drawn counts with its own figure: a task of one patient adds nothing to it.",
    "The bound is meant to be reached by nine structures of ten in clean images of new patients. It is made without "
    "the patient that it is judged on, with the correction of the predicted Dice that is learnt then. Tasks of fewer "
    "than nine patients have none.",
    "What is fitted (random forest, quality regression) is judged on images of other patients and other kinds of "
    "artefacts than it was fitted on; where faults are known, only of other patients. The pairwise Dice of an ensemble "
    "judges the segmentation of its first network; snapshots are an ensemble that one training has left, by a learning "
    "rate that fell in cycles. An empty result has the lowest confidence in every row. The model's "
    "own temperatures and the limit of its check, a few numbers for each task, come from clean images of these "
    "patients where it was trained on the same datasets.",
    "In a task of whose patients nothing in the model file knows any (no weight was learnt with them, no temperature, "
    "limit or correction fitted to them, no figure measured on them) the file is judged as it is: its own predicted "
    "Dice, with what it has learnt of its held-out patients. Its own bound is counted in clean images of all such "
    "patients, those of tasks with others, too.",
)


def ordered(rows: Mapping[str, Any]) -> list[str]:
    """Names of rows, the lowest AURC first; of means over tasks, those that lack tasks come last."""
    return sorted(rows, key=lambda name: (-_tasks(rows[name]["aurc"]), float(rows[name]["aurc"]["value"])))


def row_name(rows: Mapping[str, Any], name: str) -> str:
    """What a row is called, and in how many of the tasks it is defined, where that is not in all."""
    own, every = (max(_tasks(rows[each]["aurc"]) for each in names) for names in ((name,), rows))
    return ROW_NAMES.get(name, name) + (f" (in {own} of {every} tasks)" if own < every else "")


def row_table(rows: Mapping[str, Any]) -> list[list[Cell]]:
    """A row per confidence; intervals with the AURC, the failure AUROC and Spearman's correlation."""
    return [[row_name(rows, name), *(_cell(rows[name], figure) for figure in FIGURES)] for name in ordered(rows)]


def task_table(tasks: Mapping[str, Any]) -> list[list[Cell]]:
    """What was measured, a row per task."""
    return [
        [name, own["images"], own["patients"], own["failures"], f"{own['mean_dice']:.3f}",
         _number(own["mean_dice_clean"], 3), f"{own['seconds']:.1f}"]
        for name, own in tasks.items()
    ]  # fmt: skip


def worth_table(verdict: Mapping[str, Any]) -> list[list[Cell]]:
    """What the verdict flags and lets pass, a row per kind of artefact."""
    return [
        [kind.replace("_", " "), *(_with_interval(found[figure], 1.0, 2) for figure in WORTH)]
        for kind, found in verdict.items()
    ]


def bound_table(bound: Mapping[str, Any]) -> list[list[Cell]]:
    """How often the bound on the Dice holds, a row per task that has one."""
    return [
        [name, own["patients"], own["structures"], _number(own["margin"], 2),
         _with_interval({"value": own["coverage"], "interval": own["interval"]}, 1.0, 2)]
        for name, own in bound.items()
    ]  # fmt: skip


def worth_sentence(verdict: Mapping[str, Any]) -> str:
    """What the verdict is worth, over all kinds."""
    if "all" not in verdict:
        return "There are no artefacts in this measurement."
    flagged, passed = (verdict["all"][f"loss_{side}"]["value"] for side in ("flagged", "passed"))
    return (
        f"An image that the check flags has lost {_number(flagged, 2)} of Dice to its artefact, one that it lets pass "
        f"{_number(passed, 2)}: what is lost without a warning."
    )


def provenance(metrics: Mapping[str, Any]) -> list[list[Cell]]:
    """How the figures were made."""
    # Findings from before there were snapshots do not name them.
    members, snapshots = (
        ", ".join(f"{own['name']} {own['sha256'][:12]}" for own in metrics.get(key, ())) or "none"
        for key in ("ensemble", "snapshots")
    )
    left = ", ".join(f"{count} of {name}" for name, count in metrics["left_out"].items()) or "none"
    return [
        ["model", f"{metrics['model']['name']} {metrics['model']['sha256'][:12]}"],
        ["ensemble with", members],
        ["snapshots of its training", snapshots],
        ["passes with dropout", metrics["dropout_passes"] or "none"],
        ["artefacts", ", ".join(kind.replace("_", " ") for kind in metrics["kinds"]) or "none"],
        ["images left out (not to be prepared, or without a Dice)", left],
        # Findings from before it was asked do not say.
        ["patients whom nothing in the model file knows", metrics.get("new_patients", "not counted")],
        ["command", metrics["command"]],
        ["commit", metrics["commit"] or "unknown"],
        ["processor", metrics["machine"]["processor"]],
    ]


def _cell(row: Mapping[str, Any], figure: str) -> str:
    if figure not in row:
        return "–"
    _, factor, digits = FIGURES[figure]
    found = row[figure]
    has_interval = figure in ("aurc", "failure_auroc", "spearman")
    text = _with_interval(found, factor, digits) if has_interval else _number(found["value"], digits, factor)
    own, every = _tasks(found), _tasks(row["aurc"])
    return f"{text}, in {own} of {every} tasks" if 0 < own < every else text


def _tasks(found: Mapping[str, Any]) -> int:
    """Over how many tasks a figure is the mean; 0 of one that is no mean."""
    return int(found.get("tasks", 0))


def _with_interval(entry: Mapping[str, Any], factor: float, digits: int) -> str:
    between: Sequence[float] | None = entry["interval"]
    value = _number(entry["value"], digits, factor)
    if between is None or value == "–":
        return value
    low, high = (f"{factor * limit:.{digits}f}" for limit in between)
    return f"{value} ({low} to {high})"


def _number(value: float | None, digits: int, factor: float = 1.0) -> str:
    return "–" if value is None or value != value else f"{factor * value:.{digits}f}"
