"""From scores of images to the benchmark's figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trainer.ood.artefact import GEOMETRY_FAULTS
from trainer.ood.catalogue import ARTEFACT, FOREIGN_FAMILIES, KNOWN, Entry
from trainer.ood.sample import Sample
from trainer.ood.separation import Groups, auroc, false_positive_rate, mean_auroc, mean_auroc_interval

HARMFUL_DROP = 0.1
SAME_GRID, HARMFUL = "artefact, same grid", "artefact, Dice fell by 0.1"
FAMILY_ORDER = (*FOREIGN_FAMILIES, SAME_GRID, HARMFUL)


@dataclass(frozen=True)
class ImageScores:
    """One image with what every detector says of it.

    Attributes:
        family, source, name, group, task: see `Entry`.
        detail: kind and severity of the artefact, or the grid that was taken; empty otherwise.
        dice: on the network's grid, None without truth.
        scores: by detector.
    """

    family: str
    source: str
    name: str
    group: str
    task: str
    detail: str
    dice: float | None
    scores: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, entry: Entry, sample: Sample) -> ImageScores:
        """The image without scores yet."""
        detail = str(entry.artefact) if entry.artefact else entry.like.image.name if entry.like else ""
        return cls(entry.family, entry.source, entry.name, entry.group, entry.task, detail, sample.dice)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**vars(self), "scores": dict(self.scores)}


def summarise(rows: Sequence[ImageScores], seed: int) -> dict[str, Any]:
    """By detector and family: mean AUROC over the sources with its interval, FPR95, and every source's AUROC."""
    known = [row for row in rows if row.family == KNOWN]
    families = {name: chosen for name, chosen in families_of(rows).items() if chosen}
    names = list(known[0].scores)
    return {
        name: {family: _figures(name, known, chosen, seed) for family, chosen in families.items()} for name in names
    }


def families_of(rows: Sequence[ImageScores]) -> dict[str, list[ImageScores]]:
    """Foreign images by family. Artefacts come three times: all; those that keep the grid, which the image's
    dimensions cannot give away; those that lower the Dice by `HARMFUL_DROP` or more."""
    families = {family: [row for row in rows if row.family == family] for family in FOREIGN_FAMILIES}
    clean = {(row.task, row.name): row.dice for row in rows if row.family == KNOWN}
    spoilt = families[ARTEFACT]
    families[SAME_GRID] = [row for row in spoilt if row.source not in GEOMETRY_FAULTS]
    families[HARMFUL] = [row for row in spoilt if _drop(row, clean) >= HARMFUL_DROP]
    return families


def _drop(row: ImageScores, clean: Mapping[tuple[str, str], float | None]) -> float:
    before = clean.get((row.task, row.name))
    return before - row.dice if before is not None and row.dice is not None else float("nan")


def _figures(detector: str, known: Sequence[ImageScores], foreign: Sequence[ImageScores], seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    inside = _grouped(known, detector)
    sources = {s: _grouped([r for r in foreign if r.source == s], detector) for s in _sources(foreign)}
    pooled = [row.scores[detector] for row in known]
    by_source = {s: auroc(pooled, _flat(groups)) for s, groups in sources.items()}
    low, high = mean_auroc_interval(inside, list(sources.values()), rng)
    return {
        "auroc": mean_auroc(inside, list(sources.values())),
        "auroc_interval": [low, high],
        "fpr95": float(np.mean([false_positive_rate(pooled, _flat(groups)) for groups in sources.values()])),
        "auroc_by_source": by_source,
        "images": len(foreign),
    }


def _sources(rows: Sequence[ImageScores]) -> list[str]:
    return list(dict.fromkeys(row.source for row in rows))


def _grouped(rows: Sequence[ImageScores], detector: str) -> dict[str, list[float]]:
    groups: dict[str, list[float]] = {}
    for row in rows:
        groups.setdefault(f"{row.task}/{row.group}", []).append(row.scores[detector])
    return groups


def _flat(groups: Groups) -> list[float]:
    return [score for scores in groups.values() for score in scores]
