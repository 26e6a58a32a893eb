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
        labelled_groups, seed: of both.
    """

    runs: Mapping[str, str]
    labelled_groups: int
    seed: int


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
            runs = {arm: design.run_of(arms[arm], name, count, seed) for arm in wanted}
            if all(run in metrics for run in runs.values()):
                return Compared(runs, count, seed)
    return None


def case_dice(case: Mapping[str, Any]) -> float:
    """Mean Dice over the labels of a case, of all labels as one where the network tells no others; NaN without any."""
    by_label = PER_CASE["dice"](case, ())
    assert isinstance(by_label, float)
    foreground = PER_CASE["foreground_dice"](case, ())
    assert isinstance(foreground, float)
    return foreground if np.isnan(by_label) else by_label


def shown_cases(cases: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Names of the cases to show by place.

    A case without a label in truth and result has no Dice and is not shown; of two cases there is no median, of one
    only the best.

    Args:
        cases: of one arm on one dataset, see `measure_cases`.

    >>> def case(name, dice):
    ...     return {"case": name, "labels": 1, "structures": {"a": {"dice": dice}, "all labels as one": {"dice": dice}}}
    >>> shown_cases([case("a", 0.2), case("b", 0.9), case("c", None), case("d", 0.5)])
    {'best': 'b', 'median': 'd', 'worst': 'a'}
    """
    rated = sorted((-case_dice(case), str(case["case"])) for case in cases if not np.isnan(case_dice(case)))
    places = {BEST: 0, MEDIAN: len(rated) // 2, WORST: len(rated) - 1}
    if len(rated) < 3:
        places = {place: index for place, index in places.items() if place != MEDIAN and (place == BEST or index > 0)}
    return {place: rated[index][1] for place, index in places.items()} if rated else {}
