"""Which cases of a dataset are shown: the best, the median and the worst of our arm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trainer.multi_task.cell import PER_CASE
from trainer.multi_task.design import Design
from trainer.multi_task.settings import MultiTaskSettings

BEST, MEDIAN, WORST = "best", "median", "worst"


@dataclass(frozen=True)
class Compared:
    """The runs whose results are shown side by side on a dataset.

    Attributes:
        runs: names by arm, the reference first.
        labelled_groups, seed, fold: of both.
    """

    runs: Mapping[str, str]
    labelled_groups: int
    seed: int
    fold: int


def compared_runs(
    design: Design, settings: MultiTaskSettings, name: str, metrics: Mapping[str, Any]
) -> Compared | None:
    """The runs of the reference and of ours with most labels that have both succeeded; None where there are none.

    Args:
        design, settings: of the experiment.
        name: of the dataset.
        metrics: by name of the runs that succeeded.
    """
    arms = {arm.name: arm for arm in settings.arms}
    # 0 means all, which is more than any number.
    for count in sorted(settings.labelled_groups, key=lambda n: n or np.inf, reverse=True):
        for seed in settings.seeds:
            wanted = (settings.reference, settings.ours)
            by_fold = zip(*(design.runs_of(arms[arm], name, count, seed) for arm in wanted), strict=True)
            for fold, runs in enumerate(by_fold):
                if all(run in metrics for run in runs):
                    return Compared(dict(zip(wanted, runs, strict=True)), count, seed, fold)
    return None


def dice_by_case(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, dict[str, float | None]]:
    """Dice of every case by arm, of one kind for all: the mean over the labels, or the Dice of all labels as one where
    one of the networks tells no others; None of a case without any label in truth and result.

    Args:
        found: cases of one dataset by arm, see `measure_cases`.
    """
    by_label, as_one = (
        {arm: {str(case["case"]): _defined(case, kind) for case in cases} for arm, cases in found.items()}
        for kind in ("dice", "foreground_dice")
    )
    lacks = any(
        value is not None and by_label[arm][name] is None for arm, own in as_one.items() for name, value in own.items()
    )
    kept = as_one if lacks else by_label
    return {name: {arm: own[name] for arm, own in kept.items()} for name in next(iter(kept.values()))}


def shown_cases(dice: Mapping[str, float | None]) -> dict[str, str]:
    """Names of the cases to show by place.

    A case that has no Dice is not shown; of two cases there is no median, of one only the best.

    Args:
        dice: of one arm by name of the case.

    >>> shown_cases({"a": 0.2, "b": 0.9, "c": None, "d": 0.5})
    {'best': 'b', 'median': 'd', 'worst': 'a'}
    """
    rated = sorted((-value, name) for name, value in dice.items() if value is not None)
    places = {BEST: 0, MEDIAN: len(rated) // 2, WORST: len(rated) - 1}
    if len(rated) < 3:
        places = {place: index for place, index in places.items() if place != MEDIAN and (place == BEST or index > 0)}
    return {place: rated[index][1] for place, index in places.items()} if rated else {}


def _defined(case: Mapping[str, Any], kind: str) -> float | None:
    value = PER_CASE[kind](case, ())
    assert isinstance(value, float)
    return None if np.isnan(value) else value
