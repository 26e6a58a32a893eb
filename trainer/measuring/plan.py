"""How many cases are measured after a training, so that measuring stays a small part of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np

from trainer.data.case_cache import PreparedCase
from trainer.data.spread import spread_over_groups
from trainer.measuring.pace import Pace
from trainer.measuring.sides import Sides
from trainer.reference.cell_fitting import HELD_OUT_IMAGES

# Temperatures are judged in ten folds of patients, and so many images of a task calibrate the map of foreign places.
LEAST_HELD_OUT = HELD_OUT_IMAGES
# The limit of the check comes from the held-out images of all tasks together: from fewer it is widened much.
LEAST_HELD_OUT_TOGETHER = 20
# A task's typical distance is measured in so many parts, each without some of the patients.
LEAST_KNOWN = 20
LEAST_KNOWN_TOGETHER = 40
ROUNDING = 1e-6


@dataclass(frozen=True)
class Chosen:
    """Cases of one task that are measured, and how many there are."""

    known: list[PreparedCase]
    held_out: list[PreparedCase]
    of_known: int
    of_held_out: int

    def as_dict(self) -> dict[str, list[int]]:
        """Numbers measured and present, for JSON."""
        return {"known": [len(self.known), self.of_known], "held_out": [len(self.held_out), self.of_held_out]}


class MeasuringPlan:
    """What measuring takes, and which cases fit into its share of the training's time.

    Args:
        tasks: cases by task.
        pace: measured.
        share: of the training's time that measuring may take; 0: every case is measured, however long it takes. Below
            the least numbers of this module no time makes it go.
        validation_cases: held-out cases of each task in the validation that ends a training.

    Attributes:
        case_seconds: of a known and of a held-out case of each task, on average.
        validation_s: of the validation that ends a training.
        map_s: of calibrating the maps of foreign places.
    """

    def __init__(self, tasks: Sequence[Sides], pace: Pace, share: float, validation_cases: int = 0) -> None:
        self._tasks, self._share = tasks, share
        least_known = max(LEAST_KNOWN, ceil(LEAST_KNOWN_TOGETHER / len(tasks)))
        least_held_out = max(LEAST_HELD_OUT, ceil(LEAST_HELD_OUT_TOGETHER / len(tasks)))
        self._least = [(min(least_known, len(t.known)), min(least_held_out, len(t.held_out))) for t in tasks]
        self.case_seconds = [_case_seconds(task, pace) for task in tasks]
        self.validation_s = sum(
            own[1] * min(validation_cases, len(t.held_out))
            for t, own in zip(tasks, self.case_seconds, strict=True)
            if t.has_labels
        )
        self.map_s = sum(pace.map_s * t.voxels[1] * min(HELD_OUT_IMAGES, len(t.held_out)) for t in tasks)
        every = [(len(t.known), len(t.held_out)) for t in tasks]
        self._least_s = _total(self._least, self.case_seconds)
        self._rest_s = _total(every, self.case_seconds) - self._least_s

    @property
    def is_fixed(self) -> bool:
        """Whether all cases are measured, however fast the machine is and however long the training was."""
        return not self._share or self._rest_s <= 0

    def seconds(self, training_s: float) -> float:
        """What everything after a training of this length takes."""
        return self.validation_s + self._least_s + self._extra(training_s) * self._rest_s + self.map_s

    def exceeds_share(self, training_s: float) -> bool:
        """Whether even the least numbers of cases take more than their share of a training of this length."""
        return bool(self._share) and self.seconds(training_s) > (1 + ROUNDING) * self._share * training_s

    def chosen(self, training_s: float) -> list[Chosen]:
        """By task; evenly spread over the patients."""
        extra = self._extra(training_s)
        result = []
        for task, least in zip(self._tasks, self._least, strict=True):
            known, held_out = (
                spread_over_groups(cases, [c.case.group for c in cases], n + int(extra * (len(cases) - n)))
                for cases, n in zip((task.known, task.held_out), least, strict=True)
            )
            result.append(Chosen(known, held_out, len(task.known), len(task.held_out)))
        return result

    def _extra(self, training_s: float) -> float:
        """Share of the cases beyond the least numbers that fits."""
        if self.is_fixed:
            return 1.0
        left_s = self._share * training_s - self.validation_s - self._least_s - self.map_s
        return float(np.clip(left_s / self._rest_s, 0.0, 1.0))


def _case_seconds(task: Sides, pace: Pace) -> tuple[float, float]:
    """Of a known and of a held-out case, on average."""
    known, held_out = task.voxels
    measured_s = pace.held_out_s * held_out + pace.fit_case_s if task.has_labels else pace.known_s * held_out
    return pace.known_s * known, measured_s


def _total(counts: Sequence[tuple[int, int]], seconds: Sequence[tuple[float, float]]) -> float:
    """Of known and held-out cases of all tasks."""
    pairs = zip(counts, seconds, strict=True)
    return sum(known * known_s + held_out * held_out_s for (known, held_out), (known_s, held_out_s) in pairs)
