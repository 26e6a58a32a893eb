"""From the runs' figures to a table with intervals over seeds, the choices, and whether the bars are met."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trainer.metrics.interval import mean_interval
from trainer.two_stage.matrix import STUDENT, Cell
from trainer.two_stage.run import JOINT, LONG, PRETRAINED, SCRATCH, TOGETHER

Metrics = Mapping[str, Mapping[str, Any]]

BEST, ENSEMBLE = "best-teacher", "ensemble"
GAIN_BAR = 0.03
RULES = ("dice_positives_only", "dice_empty_rule")


def cell_figures(cell: Cell, metrics: Metrics, pretexts: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Figures on test cases by method, of one cell. ``teacher-X`` is the better of ``joint-X`` and ``pretrained-X``.

    Args:
        cell: number of labels and seed.
        metrics: by run name.
        pretexts: names of the auxiliary tasks.
    """
    student = metrics[cell.name(STUDENT)]
    found = {method: metrics[cell.name(method)]["test"] for method in (SCRATCH, LONG)}
    for pretext in pretexts:
        for mode in (JOINT, PRETRAINED):
            found[f"{mode}-{pretext}"] = metrics[cell.name(mode, pretext)]["test"]
        found[f"teacher-{pretext}"] = metrics[student["choice"][pretext]["run"]]["test"]
    found[TOGETHER] = metrics[cell.name(TOGETHER)]["test"]
    found[BEST] = metrics[student["best_teacher"]["run"]]["test"]
    found[ENSEMBLE] = student["ensemble"]["test"]
    found[STUDENT] = student["test"]
    return found


def summarise(cells: Sequence[Cell], metrics: Metrics, pretexts: Sequence[str], criterion: str) -> dict[str, Any]:
    """Everything that is reported, as plain values.

    Args:
        cells: of the experiment.
        metrics: by run name.
        pretexts: names of the auxiliary tasks.
        criterion: the rule for empty masks by which choices were made, ``positives`` or ``empty-rule``.
    """
    rule = RULES[0] if criterion == "positives" else RULES[1]
    by_count = {
        str(count): _of_count([c for c in cells if c.labelled == count], metrics, pretexts)
        for count in dict.fromkeys(cell.labelled for cell in cells)
    }
    return {
        "criterion": rule,
        "labelled": by_count,
        "choices": [_choices(cell, metrics) for cell in cells],
        "bars": [bar for count, methods in by_count.items() for bar in bars(methods, count, rule)],
    }


def bars(methods: Mapping[str, Any], count: str, rule: str) -> list[dict[str, Any]]:
    """What is asked of the student, each with its mean over seeds, its 95 % interval, and whether the mean meets it.

    Training from scratch for longer is the stricter baseline: it takes as many steps as a pre-trained teacher does.

    Args:
        methods: of one number of labels, from `summarise`.
        count: number of labels.
        rule: which Dice.
    """
    found = []
    for name, other, limit in (
        ("scratch", SCRATCH, GAIN_BAR),
        ("longer training from scratch", LONG, GAIN_BAR),
        ("best single teacher", BEST, 0.0),
    ):
        pairs = zip(methods[STUDENT][rule]["seeds"], methods[other][rule]["seeds"], strict=True)
        lead = mean_interval([a - b for a, b in pairs])
        what = f"{count} labels: student - {name}"
        found.append({"what": what, **lead.as_dict(), "limit": limit, "met": bool(lead.value >= limit)})
    return found


def bar_text(bar: Mapping[str, Any]) -> str:
    """One line about a bar; NaN (null in a file) is said as what it is.

    >>> bar_text({"what": "a - b", "value": 0.04, "low": 0.01, "high": 0.07, "limit": 0.03, "met": True})
    'a - b: +0.040, 95 % interval +0.010 to +0.070 (bar +0.03, met)'
    """
    value = _number(bar["value"])
    text = "cannot be measured" if value != value else f"{value:+.3f}"
    if bar["low"] is not None:
        text += f", 95 % interval {bar['low']:+.3f} to {bar['high']:+.3f}"
    return f"{bar['what']}: {text} (bar {bar['limit']:+.2f}, {'met' if bar['met'] else 'not met'})"


def _of_count(cells: Sequence[Cell], metrics: Metrics, pretexts: Sequence[str]) -> dict[str, Any]:
    by_seed = [cell_figures(cell, metrics, pretexts) for cell in cells]
    return {
        method: {
            **{rule: _over_seeds([_number(seed[method][rule]) for seed in by_seed]) for rule in RULES},
            "gain_over_scratch": {
                rule: _over_seeds([_number(seed[method][rule]) - _number(seed[SCRATCH][rule]) for seed in by_seed])
                for rule in RULES
            },
            "networks": len(pretexts) if method == ENSEMBLE else 1,
        }
        for method in by_seed[0]
    }


def _over_seeds(values: list[float]) -> dict[str, Any]:
    return mean_interval(values).as_dict() | {"seeds": values}


def _choices(cell: Cell, metrics: Metrics) -> dict[str, Any]:
    student = metrics[cell.name(STUDENT)]
    return {
        "labelled": cell.labelled,
        "seed": cell.seed,
        "tasks": {
            pretext: {"mode": chosen["mode"], "validation": chosen["validation"]}
            for pretext, chosen in student["choice"].items()
        },
        "best_teacher": student["best_teacher"]["pretext"],
    }


def _number(value: float | None) -> float:
    """Nothing to measure (null in a file) is NaN again."""
    return float("nan") if value is None else float(value)
