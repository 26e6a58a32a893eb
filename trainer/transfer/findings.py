"""What the runs of a transfer experiment say: gains, the claim of the paper, and how well the gain was foreseen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import rankdata

from trainer.metrics.interval import mean_interval
from trainer.metrics.rank_correlation import rank_correlation
from trainer.recommendation.predictor import PREDICTORS
from trainer.transfer.claim import claim, is_learnt, number
from trainer.transfer.design import finetune_name, predict_name
from trainer.transfer.settings import SCRATCH, SourceSettings, TargetSettings, TransferPlan, is_matched, is_same_data

SCHEMA = "multitaskseg-transfer/1"
RATES = ("sensitivity", "precision", "f1", "false_positives_per_image")
BAR = 0.5

Metrics = Mapping[str, Mapping[str, Any]]


def findings(plan: TransferPlan, metrics: Metrics, failures: Mapping[str, str]) -> dict[str, Any]:
    """Everything that is reported, as plain values.

    Args:
        plan: the experiment.
        metrics: by name of the runs that succeeded.
        failures: by name of those that did not.
    """
    targets = [_target(plan, target, metrics) for target in plan.settings.targets]
    return {
        "schema": SCHEMA,
        "title": plan.settings.title,
        "config": plan.as_dict(),
        "seeds": list(plan.settings.seeds),
        "targets": targets,
        "prediction": prediction(plan, targets, metrics),
        "failures": dict(failures),
    }


def _target(plan: TransferPlan, target: TargetSettings, metrics: Metrics) -> dict[str, Any]:
    control = _by_seed(plan, target, None, metrics)
    rows = [_row(SCRATCH, None, target, control, control)]
    for source in plan.settings.sources:
        found = _by_seed(plan, target, source, metrics)
        if found:
            rows.append(_row(source.name, source, target, found, control))
    not_measured = [s.name for s in plan.settings.sources if not is_same_data(s, target) and not _has(rows, s.name)]
    return {
        "name": target.name,
        "domain": target.domain,
        "lesions": target.lesions,
        "rows": rows,
        "not_measured": not_measured,
        "claim": claim(rows),
    }


def _by_seed(
    plan: TransferPlan, target: TargetSettings, source: SourceSettings | None, metrics: Metrics
) -> dict[int, Mapping[str, Any]]:
    names = {seed: finetune_name(target, source, seed) for seed in plan.settings.seeds}
    return {seed: metrics[name] for seed, name in names.items() if name in metrics}


def _has(rows: Sequence[Mapping[str, Any]], name: str) -> bool:
    return any(row["source"] == name for row in rows)


def _row(
    name: str,
    source: SourceSettings | None,
    target: TargetSettings,
    found: Mapping[int, Mapping[str, Any]],
    control: Mapping[int, Mapping[str, Any]],
) -> dict[str, Any]:
    """One source on one target: means over seeds, and the gain over random weights of the same seed."""
    dice = {seed: number(m["dice"]) for seed, m in found.items()}
    gains = {seed: dice[seed] - number(control[seed]["dice"]) for seed in dice if seed in control}
    row: dict[str, Any] = {
        "source": name,
        "task": source.task if source else "",
        "domain": source.domain if source else "",
        "matched": source is not None and is_matched(source, target),
        "dice_by_seed": {str(seed): value for seed, value in dice.items()},
        "gain_by_seed": {str(seed): value for seed, value in gains.items()},
        "gain": mean_interval(list(gains.values())).as_dict(),
    }
    for figure in ("dice", "iou", "dice_empty_rule"):
        row[figure] = mean_interval([number(m[figure]) for m in found.values()]).as_dict()
    if target.lesions and found:
        row["detection"] = {
            rate: mean_interval([number(m["detection"][rate]) for m in found.values()]).as_dict() for rate in RATES
        }
        row["free_response"] = _mean_curve([m["free_response"] for m in found.values()])
    return row


def _mean_curve(curves: Sequence[Sequence[Mapping[str, Any]]]) -> list[dict[str, float]]:
    """Mean over seeds at each threshold."""
    keys = ("threshold", "sensitivity", "false_positives_per_image")
    return [
        {key: float(np.mean([number(point[key]) for point in points])) for key in keys}
        for points in zip(*curves, strict=True)
    ]


def prediction(plan: TransferPlan, targets: Sequence[Mapping[str, Any]], metrics: Metrics) -> dict[str, Any]:
    """How well each predictor foresaw the measured gains."""
    pairs = _pairs(plan, targets, metrics)
    return {"bar": BAR, "predictors": {name: foreseen(pairs, name) for name in PREDICTORS}, "pairs": pairs}


def foreseen(pairs: Sequence[Mapping[str, Any]], predictor: str) -> dict[str, Any]:
    """Spearman's correlation of a predictor with the measured gain, by target and over all targets.

    Over all targets ranks within each target are compared, because gains of different targets have different scales.

    Args:
        pairs: of target and source, with ``gain`` and ``predictors``.
        predictor: its name.
    """
    own = [pair for pair in pairs if pair["predictors"].get(predictor) is not None]
    by_target = {name: [p for p in own if p["target"] == name] for name in dict.fromkeys(p["target"] for p in own)}
    x = [value for group in by_target.values() for value in _ranks([p["predictors"][predictor] for p in group])]
    y = [value for group in by_target.values() for value in _ranks([p["gain"] for p in group])]
    clusters = [pair["source"] for group in by_target.values() for pair in group]
    overall = rank_correlation(x, y, clusters)
    return {
        "overall": overall.as_dict(),
        "meets_bar": None if np.isnan(overall.value) else overall.value >= BAR,
        "by_target": {name: _correlation(group, predictor) for name, group in by_target.items()},
    }


def _pairs(plan: TransferPlan, targets: Sequence[Mapping[str, Any]], metrics: Metrics) -> list[dict[str, Any]]:
    """Mean predictors and mean gain of every source and learnt target for which both are there."""
    pairs = []
    for settings, target in zip(plan.settings.targets, targets, strict=True):
        for source in plan.settings.sources if is_learnt(target["rows"]) else ():
            row = next((row for row in target["rows"] if row["source"] == source.name), None)
            names = [predict_name(settings, source, seed) for seed in plan.settings.seeds]
            said = [metrics[name] for name in names if name in metrics]
            if row is None or not said or np.isnan(number(row["gain"]["value"])):
                continue
            means = {p: _mean([one[p] for one in said]) for p in PREDICTORS}
            pairs.append(
                {"target": target["name"], "source": source.name, "gain": row["gain"]["value"], "predictors": means}
            )
    return pairs


def _correlation(pairs: Sequence[Mapping[str, Any]], predictor: str) -> dict[str, Any]:
    x, y = [pair["predictors"][predictor] for pair in pairs], [pair["gain"] for pair in pairs]
    return rank_correlation(x, y, [pair["source"] for pair in pairs]).as_dict()


def _ranks(values: Sequence[float]) -> list[float]:
    """Ranks scaled to 0 (lowest) to 1 (highest), 0.5 for a single value."""
    if len(values) < 2:
        return [0.5] * len(values)
    return [float(rank - 1) / (len(values) - 1) for rank in rankdata(values)]


def _mean(values: Sequence[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return float(np.mean(defined)) if defined else None
