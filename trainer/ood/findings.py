"""From scores of images to the benchmark's figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.metrics.interval import PatientDraws, drawn_interval
from trainer.ood.catalogue import ARTEFACT, FOREIGN_FAMILIES, KNOWN, Entry
from trainer.ood.detector.sample import Sample
from trainer.ood.detector.spectral_detector import SHIPPED
from trainer.ood.fault.artefact import GEOMETRY_FAULTS
from trainer.ood.separation import (
    BOOTSTRAP_ROUNDS,
    Patients,
    auroc,
    false_positive_rate,
    mean_auroc,
    mean_auroc_interval,
    mean_auroc_rounds,
)

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
    """By detector and family: mean AUROC over the sources with its interval, FPR95, every source's AUROC, and by how
    much `SHIPPED` is ahead, paired. Patients are drawn once: for all families, sources and detectors.

    Args:
        rows: images with their scores.
        seed: of the draws.
    """
    known = [row for row in rows if row.family == KNOWN]
    families = {name: chosen for name, chosen in families_of(rows).items() if chosen}
    draws = PatientDraws([row.group for row in rows], np.random.default_rng(seed), BOOTSTRAP_ROUNDS)
    by_family = {family: _family_figures(known, chosen, draws) for family, chosen in families.items()}
    return {name: {family: by_family[family][name] for family in families} for name in known[0].scores}


def _family_figures(
    known: Sequence[ImageScores], foreign: Sequence[ImageScores], draws: PatientDraws
) -> dict[str, dict[str, Any]]:
    """Figures by detector on one family of foreign images."""
    result: dict[str, dict[str, Any]] = {}
    rounds: dict[str, NDArray[np.float64]] = {}
    for name in known[0].scores:
        sides = _grouped(known, name), _by_source(foreign, name)
        rounds[name] = mean_auroc_rounds(*sides, draws)
        figures = _figures(name, known, foreign)
        between = mean_auroc_interval(rounds[name], figures["auroc"], *sides)
        result[name] = figures | {"auroc_interval": _listed(between)}
    patients = min(len({row.group for row in side}) for side in (known, foreign))
    for name, figures in result.items() if SHIPPED in result else ():
        between = drawn_interval(rounds[SHIPPED] - rounds[name], patients)
        lead = result[SHIPPED]["auroc"] - figures["auroc"]
        figures |= {"lead_of_shipped": lead, "lead_interval": _listed(between)}
    return result


def _listed(interval: tuple[float, float] | None) -> list[float] | None:
    return None if interval is None else list(interval)


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


def _figures(detector: str, known: Sequence[ImageScores], foreign: Sequence[ImageScores]) -> dict[str, Any]:
    sources = dict(zip(_sources(foreign), _by_source(foreign, detector), strict=True))
    pooled = [row.scores[detector] for row in known]
    return {
        "auroc": mean_auroc(_grouped(known, detector), list(sources.values())),
        "fpr95": float(np.mean([false_positive_rate(pooled, _flat(groups)) for groups in sources.values()])),
        "auroc_by_source": {s: auroc(pooled, _flat(groups)) for s, groups in sources.items()},
        "images": len(foreign),
    }


def _by_source(foreign: Sequence[ImageScores], detector: str) -> list[dict[str, list[float]]]:
    return [_grouped([row for row in foreign if row.source == source], detector) for source in _sources(foreign)]


def _sources(rows: Sequence[ImageScores]) -> list[str]:
    return list(dict.fromkeys(row.source for row in rows))


def _grouped(rows: Sequence[ImageScores], detector: str) -> dict[str, list[float]]:
    groups: dict[str, list[float]] = {}
    for row in rows:
        groups.setdefault(row.group, []).append(row.scores[detector])
    return groups


def _flat(groups: Patients) -> list[float]:
    return [score for scores in groups.values() for score in scores]
