"""One measurement of the benchmark as a page of ``docs/results``: every detector, every model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trainer.metrics.multiple_comparison import p_text
from trainer.ood.detector.spectral_detector import SHIPPED
from trainer.ood.findings import FAMILY_ORDER
from trainer.ood.page import detector_rows
from trainer.report.markdown_table import table

SUMMARY = "ood-benchmark.md"


def part_page(path: Path) -> str:
    """The page of one file of `trainer.ood.published.publish`."""
    content = json.loads(path.read_text(encoding="utf-8"))
    source = f"Figures: [{path.name}]({path.name}), from commit `{content['commit'] or 'unknown'}`.\n"
    models = content["models"]
    one_by_one = [_model_section(result) for result in models]
    # Of several models their means tell the story; the leads of each are in the figures.
    summary, detail = ([_overview(models)], []) if len(models) > 1 else ([], _leads(models[0]) if models else [])
    return "\n".join(
        [
            f"# {content['title']}\n",
            f"[Summary and what the words mean]({SUMMARY}). {source}",
            *summary,
            *one_by_one,
            *detail,
        ]
    )


def _overview(models: Sequence[Mapping[str, Any]]) -> str:
    """Mean and range over the models of every detector's AUROC."""
    families = families_of_result(models[0])
    names = [name for name in models[0]["detectors"] if all(name in m["detectors"] for m in models)]
    rows = []
    for name in names:
        values = [[m["detectors"][name][family]["auroc"] for m in models] for family in families]
        cells = [f"{np.mean(v):.3f} ({min(v):.3f} to {max(v):.3f})" for v in values]
        rows.append((float(np.mean(values)), [name, *cells]))
    ordered = [cells for _, cells in sorted(rows, key=lambda row: -row[0])]
    heading = f"## Mean (range) of the AUROC over {len(models)} models\n"
    return heading + "\n" + table(["Detector", *families], ordered) + "\n"


def _model_section(result: Mapping[str, Any]) -> str:
    families = families_of_result(result)
    measured = table(["Detector", *families], detector_rows(result["detectors"], families)) + "\n"
    return "\n".join([f"## {result['model']}\n", shipped_line(result["shipped"]), measured])


def _leads(result: Mapping[str, Any]) -> list[str]:
    """By how much the shipped detector is ahead of each other; nothing for figures that do not say so."""
    families = families_of_result(result)
    others = {n: figures for n, figures in result["detectors"].items() if n != SHIPPED}
    if not all("lead_of_shipped" in figures[f] for figures in others.values() for f in families):
        return []
    ordered = sorted(others.items(), key=lambda item: float(np.mean([item[1][f]["lead_of_shipped"] for f in families])))
    rows = [[name, *(with_interval(figures[f], "lead", "+.3f") for f in families)] for name, figures in ordered]
    has_intervals = any(figures[f]["lead_interval"] is not None for figures in others.values() for f in families)
    words = " (95 % interval, paired, over patients)" if has_intervals else ""
    heading = f"By how much `{SHIPPED}` is ahead: difference of the mean AUROC{words}.\n"
    return [heading, table(["Detector", *families], rows) + "\n"]


def with_interval(figures: Mapping[str, Any], name: str, digits: str) -> str:
    """``auroc`` or ``lead`` of a detector, with its 95 % interval where that was measured."""
    words = format(figures["lead_of_shipped" if name == "lead" else name], digits)
    between = figures[f"{name}_interval"]
    return words if between is None else f"{words} ({between[0]:{digits}} to {between[1]:{digits}})"


def families_of_result(result: Mapping[str, Any]) -> list[str]:
    """The families that were measured, in the order of the pages."""
    measured = next(iter(result["detectors"].values()))
    return [family for family in FAMILY_ORDER if family in measured]


def shipped_line(shipped: Mapping[str, Any], *, with_p_values: bool = True) -> str:
    """How the check as it ships does, in a sentence."""
    between = shipped.get("sensitivity_interval", {})
    flagged = ", ".join(f"{f} {percent(share, between.get(f))}" for f, share in shipped["sensitivity"].items())
    accepted = percent(shipped["specificity"], shipped.get("specificity_interval"))
    return (
        f"The check as it ships (`{shipped['variant']}`, layers {', '.join(shipped['layers'])}), limit from other "
        f"patients: {accepted} of {shipped['known_images']} known images accepted; "
        f"flagged: {flagged}. Task recognised in {100 * shipped['recognised']:.1f} %."
        f"{_false_alarm_words(shipped.get('false_alarms'))}{_p_value_words(shipped) if with_p_values else ''}\n"
    )


def _false_alarm_words(found: Mapping[str, Any] | None) -> str:
    """How often known images are flagged whose patients were left out; nothing where that was not measured."""
    if found is None:
        return ""
    by_task = ", ".join(
        f"{name.split('_', 1)[-1]} {percent(own['rate'], own['interval'])}" for name, own in found["by_task"].items()
    )
    return (
        f" False alarms on {found['images']} known images of {found['patients']} patients, each left out of all that "
        f"the check fits: {percent(found['rate'], found['interval'])}; by task {by_task}."
    )


def _p_value_words(shipped: Mapping[str, Any]) -> str:
    """Whether the p-value is uniform within tasks; nothing where that was not tested."""
    by_task = shipped.get("p_value_within_tasks", {})
    tested = {name: found for name, found in by_task.items() if found["p"] is not None}
    if not tested:
        return ""
    words = [
        f"{name.split('_', 1)[-1]} {found['mean_p_value']:.2f} ({p_text(found['p'])})" for name, found in tested.items()
    ]
    among = "by laws of the other patients" if "limits" in shipped else "among those of the other tasks"
    return f" Mean p-value of a task's images {among}: {', '.join(words)}."


def percent(share: float, interval: Sequence[float] | None) -> str:
    """A share, with its interval where it was measured."""
    if interval is None:
        return f"{100 * share:.1f} %"
    low, high = interval
    return f"{100 * share:.1f} % ({100 * low:.0f} to {100 * high:.0f})"
