"""The figures of the experiment ``calibration`` as rows of tables, the same for its report and the published page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trainer.report.report import Cell
from trainer.uncertainty.figures import readable, short_name, value_text
from trainer.uncertainty.ring_limits import ring_limits

FORM_ORDER = (
    "uncalibrated", "shipped", "temperature", "whole_image_temperature", "surface_temperature", "surface_bias",
)  # fmt: skip
ESTIMATOR_ORDER = ("single_pass", "mirror_tta", "mc_dropout", "ensemble")

DEFINITIONS = (
    "All cases are of patients that the model was not trained on, and every calibration was fitted on other "
    "patients than those it is judged on. 'Shipped' is the calibration in the model file: it was fitted on these "
    "very cases and is shown for comparison only. Intervals are 95 % bootstrap intervals over patients. "
    "Everything is measured on the network's own grid.",
    "ECE is the expected calibration error of the foreground probability (10 bins). The ring is the set of voxels "
    "within 2 voxels of the true surface. Because the truth decides which voxels are looked at, even "
    "probabilities that are exactly right have an error in the ring, the larger the less certain the place of the "
    "surface is. The floor says how large: it is the ring ECE when the truth is drawn from the calibrated "
    "probabilities themselves. A temperature that is fitted around the true structures can go below the floor, at "
    "the price of wrong probabilities elsewhere, which the error over the whole image shows. The ring around the "
    "predicted surface is known without the truth and has no floor.",
    "Forms: 'temperature' is one temperature, fitted around the true structures; 'whole image temperature' is "
    "fitted on all voxels; 'surface temperature' has one temperature within 2 voxels of the predicted surface and "
    "one elsewhere, both fitted on all voxels; 'surface bias' adds a bias of the background to each. With a "
    "single patient there is nothing to fit on, and the cross-fitted forms leave the probabilities as they are.",
    "What stands in the way of the bar in the ring is read from these figures. 'Known patients' is the shipped "
    "calibration: where it is hardly better, more patients to fit on would not help. The gap is the mean probability "
    "minus the share of foreground in the ring; it is below 0 where structures are missed or too small, and the ring "
    "ECE is at least its size. About half of a ring is foreground, so a model that says one half everywhere, and "
    "so knows nothing, has the small ring ECE in the column 'one half': a low ring ECE is worth something only "
    "together with a low error over the whole image. What the one costs in the other is shown for the temperature that "
    "is fitted around the true structures.",
    "Error AUROC is the chance that a wrong voxel is more uncertain than a right one; the body of interest is the "
    "true and the predicted structures with 2 voxels around their surfaces. AURC is the mean share of wrong "
    "voxels among those kept when the least certain are left to a person. The predicted Dice of a segment is its "
    "expected Dice under the calibrated probabilities; its error is the mean distance from the real one. Its rank "
    "correlation with the real one is given over the segments of all tasks, where differences between tasks help "
    "it, and as the mean of the tasks' own. Where an estimator does not apply to a task (mirroring where labels "
    "have a side), the single pass stands in. An ensemble is as good as its members, whose training is recorded "
    "in their model files. Seconds are of the machine of this run, under whatever else it did.",
)

CALIBRATION_HEADERS = (
    "Task", "Calibration", "Temperature (near the surface)", "Ring ECE", "Floor", "Ring ECE, mean of cases",
    "Ring MCE", "Ring ACE", "ECE at the predicted surface", "Whole ECE", "Whole Brier", "Dice error",
)  # fmt: skip
CALIBRATION_KEYS = (
    "ideal_ring_ece", "ring_ece_mean_of_cases", "ring_mce", "ring_ace", "predicted_ring_ece", "whole_ece",
    "whole_brier", "expected_dice_error",
)  # fmt: skip
FORM_HEADERS = ("Calibration", "Ring ECE", *CALIBRATION_HEADERS[4:], "Dice Spearman", "Within tasks")
ESTIMATOR_HEADERS = (
    "Estimator", "Error AUROC, body", "Error AUROC, whole", "AURC, body", "Ring ECE", "Dice Spearman", "Dice error",
    "Seconds",
)  # fmt: skip
OVERALL_HEADERS = (*ESTIMATOR_HEADERS[:6], "Dice Spearman within tasks", *ESTIMATOR_HEADERS[6:])
ESTIMATOR_KEYS = (
    "near_auroc", "whole_auroc", "near_aurc", "ring_ece", "expected_dice_spearman", "expected_dice_error", "seconds",
)  # fmt: skip
DICE_HEADERS = ("Foretold by", "Spearman", "Mean error")
DICE_FORMS = {
    "expected_dice": "expected Dice, as shipped",
    "expected_dice_linear": "the same, mapped by a line fitted on other patients",
    "expected_dice_isotonic": "the same, mapped by an isotonic function fitted on other patients",
    "mean_confidence": "mean confidence of the segment",
}
BAR_HEADERS = ("What", "Measured", "Bar", "Met")
LIMIT_HEADERS = (
    "Task", "Ring ECE", "Known patients", "Floor", "Gap", "One half", "Whole ECE", "Fitted around structures: ring ECE",
    "Whole ECE then", "What stands in the way of the bar",
)  # fmt: skip
TASK_HEADERS = ("Task", "Estimator", "Passes", *ESTIMATOR_HEADERS[1:])

Rows = list[list[Cell]]


def bar_rows(metrics: Mapping[str, Any]) -> Rows:
    """One row per bar."""
    return [
        [bar["what"], figure(bar), f"{'≥' if bar['at_least'] else '≤'} {bar['limit']:g}", "yes" if bar["met"] else "no"]
        for bar in metrics["bars"]
    ]


def limit_rows(tasks: Mapping[str, Any]) -> Rows:
    """One row per task: what the ring ECE is made of, and what stands in the way of its bar."""
    rows: Rows = []
    for name, task in tasks.items():
        limits = ring_limits(task)
        before = (limits.error, limits.known_patients, limits.floor)
        after = (limits.half, limits.whole, limits.around_structures, limits.whole_price)
        gap = "–" if limits.gap != limits.gap else f"{limits.gap:+.3f}"
        cells = [*(value_text({"value": v}) for v in before), gap, *(value_text({"value": v}) for v in after)]
        rows.append([short_name(name), *cells, limits.obstacle])
    return rows


def calibration_rows(tasks: Mapping[str, Any]) -> Rows:
    """One row per task and calibration."""
    rows: Rows = []
    for name, task in tasks.items():
        for form in ordered(task["calibration"], FORM_ORDER):
            figures = task["calibration"][form]
            cells = [value_text(figures.get(key)) for key in CALIBRATION_KEYS]
            fitted = temperatures(task["scalings"][form])
            rows.append([short_name(name), readable(form), fitted, figure(figures["ring_ece"]), *cells])
    return rows


def form_rows(forms: Mapping[str, Any]) -> Rows:
    """One row per calibration: means over tasks."""
    keys = (*CALIBRATION_KEYS, "expected_dice_spearman", "expected_dice_spearman_within_tasks")
    return [
        [readable(form), figure(forms[form]["ring_ece"]), *(value_text(forms[form].get(key)) for key in keys)]
        for form in ordered(forms, FORM_ORDER)
    ]


def estimator_rows(estimators: Mapping[str, Any]) -> Rows:
    """One row per estimator: means over tasks, and Dice over the segments of all tasks and within tasks."""
    keys = (*ESTIMATOR_KEYS[:5], "expected_dice_spearman_within_tasks", *ESTIMATOR_KEYS[5:])
    return [
        [readable(name), *(figure(estimators[name]["figures"][key]) for key in keys)]
        for name in ordered(estimators, ESTIMATOR_ORDER)
    ]


def task_rows(tasks: Mapping[str, Any]) -> Rows:
    """One row per task and estimator."""
    rows: Rows = []
    for name, task in tasks.items():
        for estimator in ordered(task["estimators"], ESTIMATOR_ORDER):
            entry = task["estimators"][estimator]
            cells = [value_text(entry[key]) for key in ESTIMATOR_KEYS]
            rows.append([short_name(name), readable(estimator), entry["passes"], *cells])
    return rows


def dice_rows(estimators: Mapping[str, Any]) -> Rows:
    """What foretells the real Dice of the shipped estimator's segments."""
    figures = estimators[ESTIMATOR_ORDER[0]]["figures"]
    return [
        [words, figure(figures[f"{form}_spearman"]), figure(figures[f"{form}_error"])]
        for form, words in DICE_FORMS.items()
    ]


def provenance_rows(metrics: Mapping[str, Any]) -> Rows:
    """Command, versions and digests."""
    rows: Rows = [
        ["Command", metrics["command"]],
        ["Commit", metrics["commit"]],
        ["Date", metrics["created"]],
        ["Model", f"{metrics['model']['name']} {metrics['model']['sha256']}"],
    ]
    rows += [["Ensemble member", f"{member['name']} {member['sha256']}"] for member in metrics["ensemble"]]
    return [*rows, ["Versions", ", ".join(f"{name} {version}" for name, version in metrics["versions"].items())]]


def choice_sentence(metrics: Mapping[str, Any]) -> str:
    """Which estimator has the best figure per unit of time."""
    best = metrics["choice"]["best"]
    rates = metrics["choice"]["auroc_beyond_chance_per_second"]
    others = "; ".join(
        f"{readable(name)} {rates[name]:.3f}" for name in ordered(rates, ESTIMATOR_ORDER) if name != best
    )
    return (
        f"Best figure per unit of time: {readable(best)} with an error AUROC beyond chance of {rates[best]:.3f} per "
        f"second and case; {others}."
    )


def figure(entry: Mapping[str, Any]) -> str:
    """A figure with its interval; a dash where nothing could be measured.

    >>> figure({"value": 0.25, "interval": [0.1, 0.5]})
    '0.250 (0.100–0.500)'
    """
    if entry["interval"] is None:
        return value_text(entry)
    low, high = entry["interval"]
    return f"{value_text(entry)} ({low:.3f}–{high:.3f})"


def temperatures(scalings: Sequence[Mapping[str, Any]]) -> str:
    """The temperatures of the folds, smallest to largest, and in brackets those near the predicted surface.

    >>> temperatures([{"temperature": t, "surface_temperature": 2.0} for t in (1.5, 1.6)])
    '1.50 to 1.60 (2.00)'
    """
    everywhere = _range([scaling["temperature"] for scaling in scalings])
    near = [s["surface_temperature"] for s in scalings if s["surface_temperature"] is not None]
    return f"{everywhere} ({_range(near)})" if near else everywhere


def ordered(names: Mapping[str, Any], order: Sequence[str]) -> list[str]:
    """Names in the given order; JSON files are sorted by name."""
    return [name for name in order if name in names]


def _range(values: Sequence[float]) -> str:
    low, high = f"{min(values):.2f}", f"{max(values):.2f}"
    return low if low == high else f"{low} to {high}"
