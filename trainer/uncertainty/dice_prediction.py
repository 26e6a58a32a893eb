"""How well the expected Dice of a segment, which needs no truth, foretells the real one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression

from trainer.metrics.weighted_figure import weighted_spearman

Floats = NDArray[np.float64]
RECALIBRATIONS = ("linear", "isotonic")


@dataclass(frozen=True)
class Segments:
    """Segments that were predicted, one entry each.

    Attributes:
        task: name by segment.
        group: patient by segment.
        case: number of the case by segment.
        predicted: expected Dice.
        real: Dice against the truth; 0 where the structure is absent.
        confidence: mean probability of the label within the segment, the simplest competitor.
    """

    task: tuple[str, ...]
    group: tuple[str, ...]
    case: NDArray[np.int64]
    predicted: Floats
    real: Floats
    confidence: Floats

    def of_task(self, name: str) -> Segments:
        """Only those of one task."""
        chosen = np.array([task == name for task in self.task], dtype=bool)
        return Segments(
            tuple(t for t in self.task if t == name),
            tuple(g for g, keep in zip(self.group, chosen, strict=True) if keep),
            self.case[chosen],
            self.predicted[chosen],
            self.real[chosen],
            self.confidence[chosen],
        )


def spearman(foretold: Floats, real: Floats) -> float:
    """Rank correlation; NaN for fewer than three segments, or when one side is constant."""
    return float(weighted_spearman(foretold, real, np.ones((1, len(real))))[0])


def spearman_rounds(segments: Segments, foretold: Floats, weights: Floats) -> Floats:
    """Rank correlation in each bootstrap round, ``(rounds,)``.

    Args:
        segments: of cases numbered as the columns of ``weights``.
        foretold: by segment.
        weights: ``(rounds, cases)``, how often each case counts.
    """
    return weighted_spearman(foretold, segments.real, weights[:, segments.case])


def recalibrated(segments: Segments, kind: str, folds: int = 10) -> Floats:
    """Expected Dice mapped to the real one by a rising function that was fitted on other patients.

    Args:
        segments: of any number of tasks, which share one function.
        kind: ``linear`` (a straight line, clipped to 0 to 1) or ``isotonic``.
        folds: patients are dealt into at most this many folds.

    Returns:
        by segment; the expected Dice itself where there is no other patient.
    """
    names = sorted(set(segments.group))
    number = np.array([names.index(group) for group in segments.group])
    fold = number % min(folds, max(1, len(names)))
    result: Floats = segments.predicted.copy()
    for held_out in np.unique(fold):
        rest, own = fold != held_out, fold == held_out
        if np.count_nonzero(rest) >= 3 and np.ptp(segments.predicted[rest]) > 0:
            result[own] = _mapped(kind, segments.predicted[rest], segments.real[rest], segments.predicted[own])
    return result


def _mapped(kind: str, known: Floats, real: Floats, wanted: Floats) -> Floats:
    if kind == "isotonic":
        model = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(known, real)
        return np.asarray(model.predict(wanted), dtype=np.float64)
    slope, offset = np.polyfit(known, real, 1).tolist()
    line: Floats = np.clip(slope * wanted + offset, 0.0, 1.0)
    return line


def collect_segments(tasks: Sequence[tuple[str, Sequence[str], Floats]]) -> Segments:
    """Segments of all tasks, cases numbered through in the order given.

    Args:
        tasks: name, group by case, and segment tables ``(cases, labels, 5)`` (see `case_statistics.SEGMENT`) by task.
    """
    names: list[str] = []
    groups: list[str] = []
    cases: list[int] = []
    rows: list[Floats] = []
    first = 0
    for name, owners, table in tasks:
        for number, (owner, labels) in enumerate(zip(owners, table, strict=True), start=first):
            # An empty segment has no expected Dice: there is nothing whose quality could be foretold.
            found = labels[~np.isnan(labels[:, 0])]
            rows.extend(found)
            names.extend([name] * len(found))
            groups.extend([owner] * len(found))
            cases.extend([number] * len(found))
        first += len(owners)
    predicted, real, confidence = (np.array([row[index] for row in rows], dtype=np.float64) for index in range(3))
    return Segments(tuple(names), tuple(groups), np.array(cases, dtype=np.int64), predicted, real, confidence)
