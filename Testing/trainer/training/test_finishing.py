"""What a finished model says of itself, with literal limits."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from trainer.metrics.interval import share_interval
from trainer.reference.law_fitting import fit_limits
from trainer.reference.left_out_score import LeftOutScores
from trainer.training.finishing import ood_info
from trainer.training.planned_manifest import _label_info


def test_false_alarms_are_those_of_left_out_patients_by_task_and_together_with_intervals() -> None:
    spec = SimpleNamespace(variant="composite", layers=("a",), floor=0.0, statistics=("s",), uses_image=True)
    # 20 patients of each task within 0.1 of 0, and one far from all.
    logs = np.concatenate([np.linspace(-0.1, 0.1, 20), [5.0], np.linspace(-0.1, 0.1, 20)])
    tasks = np.array([0] * 21 + [1] * 20)
    scores = LeftOutScores(logs, tasks, tuple(f"p{n}" for n in range(41)), np.zeros(41, dtype=bool))
    reference: Any = SimpleNamespace(spec=spec, threshold=1.5, limits=fit_limits(scores, 2), task_names=("A", "B"))
    info = ood_info(reference, scores)
    assert info.false_alarm_rate == pytest.approx(1 / 41)
    assert info.false_alarm_rate_by_task == pytest.approx({"A": 1 / 21, "B": 0.0})
    assert info.false_alarm_interval == share_interval([n == 20 for n in range(41)], scores.groups)
    assert info.false_alarm_intervals[1] == share_interval([False] * 20, scores.groups[21:])
    assert info.limits == reference.limits
    assert (info.threshold, info.layers, info.image_statistics) == (1.5, ("a",), ("s",))


@pytest.mark.parametrize("values, expected", [((5,), 5), ((3, 7), 1)])
def test_a_label_keeps_its_dataset_s_number_and_one_that_unites_several_is_1(
    values: tuple[int, ...], expected: int
) -> None:
    dataset = SimpleNamespace(modality="T1", region="head", info={})
    task: Any = SimpleNamespace(
        name="D", label_names=("part",), label_values=(values,), dataset=dataset, are_regions=False
    )
    assert _label_info(task, 0).value == expected
