"""The benchmark in short: how the shipped check does beside others, and what it misses."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainer.ood.detector.spectral_detector import SHIPPED
from trainer.ood.page import detector_rows
from trainer.ood.published_part import families_of_result, percent, shipped_line, with_interval
from trainer.report.markdown_table import table

# The measurement that looks at every detector; others ask one question each.
WHOLE = "All detectors"
STATISTICS = "control: image statistics"
SHOWN = (
    SHIPPED,
    STATISTICS,
    f"untrained network: {SHIPPED}",
    "FRODO per task",
    "Mahalanobis, pooled features",
    "paper, deepest",
    "paper, last decoder stage",
    "MSP, foreground",
)
MISSED = (
    "Share of the images of each kind that the check flags as out of distribution, every severity together; what is "
    "missing to 100 % passes as in distribution. Known images are spoilt in the way named, or are of a source that was "
    "left out."
)


def summary(paths: Sequence[Path], words: str) -> list[str]:
    """Sections for the models of the newest files of each title that measure every detector: first what matters, then
    what the words mean, then the figures.

    Args:
        paths: files of `trainer.ood.published.publish`, the oldest first.
        words: what the words mean.
    """
    contents = {}
    for path in paths:
        content = json.loads(path.read_text(encoding="utf-8"))
        contents[content["title"]] = content
    whole = [content for title, content in contents.items() if title.startswith(WHOLE)] or list(contents.values())
    models = [model for content in whole for model in content["models"]]
    missed = _missed([model for model in models if model["shipped"].get("sensitivity_by_source")])
    return [*_in_short(models), *missed, words, *map(_detectors, models)]


def _in_short(models: Sequence[Mapping[str, Any]]) -> list[str]:
    """How the check does, and what the network adds: a few lines for each model."""
    found = []
    for model in models:
        lead = _beside_statistics(model["detectors"], families_of_result(model))
        found.append(f"**{model['model']}.** {shipped_line(model['shipped'], with_p_values=False)}")
        found += lead
    return ["## In short\n", *found] if found else []


def _detectors(model: Mapping[str, Any]) -> str:
    """The best known detectors of each kind, by their mean AUROC."""
    families = families_of_result(model)
    detectors = model["detectors"]
    names = [row[0] for row in detector_rows(detectors, families) if row[0] in SHOWN] or list(detectors)
    rows = [[name, *(with_interval(detectors[name][f], "auroc", ".3f") for f in families)] for name in names]
    heading = f"## {model['model']}, beside other detectors\n"
    means = table(["Detector, mean AUROC", *families], rows) + "\n"
    return "\n".join([heading, means])


def _beside_statistics(detectors: Mapping[str, Any], families: Sequence[str]) -> list[str]:
    """By how much the network is worth more than plain statistics of the image; nothing where that was not measured."""
    control = detectors.get(STATISTICS, {})
    if not all("lead_of_shipped" in control.get(family, {}) for family in families):
        return []
    leads = ", ".join(f"{family} {with_interval(control[family], 'lead', '+.3f')}" for family in families)
    return [f"`{SHIPPED}` is ahead of `{STATISTICS}`, which looks at no network, by {leads} of the AUROC.\n"]


def _missed(models: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the check misses: a row for every kind, what is found least on top."""
    if not models:
        return []
    shares = [model["shipped"]["sensitivity_by_source"] for model in models]
    betweens = [model["shipped"].get("sensitivity_interval_by_source", {}) for model in models]
    kinds = sorted({kind for share in shares for kind in share}, key=lambda k: (min(s.get(k, 1.0) for s in shares), k))
    rows = [
        [kind, *(percent(s[kind], b.get(kind)) if kind in s else None for s, b in zip(shares, betweens, strict=True))]
        for kind in kinds
    ]
    headers = ["Kind", *(model["model"] for model in models)]
    return ["\n".join(["## What the check misses\n", MISSED + "\n", table(headers, rows) + "\n"])]
