"""Validation while training, on answers that are known beforehand."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from trainer.data.case_cache import PreparedCase
from trainer.layout.case import Case
from trainer.training import validation
from trainer.training.validation import validate


def case(labels: list[int], answer: list[int]) -> PreparedCase:
    """The voxels are what the network is to answer."""
    voxels, truth = (np.array(values, dtype=np.uint8).reshape(1, 1, -1) for values in (answer, labels))
    return PreparedCase(Case("c", Path("i"), Path("l"), "g"), voxels.astype(np.float16), truth, {})


def task(name: str, labels: int) -> Any:
    names = tuple(f"l{n}" for n in range(labels))
    return SimpleNamespace(name=name, label_names=names, channels=slice(3, 4 + labels), stem=0, are_regions=False)


class Answers:
    """In place of `ShippedPass`: sure of what the voxels say, over as many labels as there are channels."""

    def __init__(self, network: Any, device: Any) -> None:
        pass

    def logits(self, voxels: np.ndarray, channels: slice, stem: int) -> np.ndarray:
        return np.stack([(voxels == value).astype(np.float32) for value in range(channels.stop - channels.start)])


@pytest.fixture(autouse=True)
def answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validation, "ShippedPass", Answers)


def measured(tasks: list[Any], cases: list[list[PreparedCase]], cases_per_task: int = 9) -> dict[str, float]:
    return validate(None, tasks, cases, device=torch.device("cpu"), cases_per_task=cases_per_task)  # type: ignore[arg-type]


def test_the_mean_is_over_labels_and_cases_and_leaves_out_what_neither_side_has() -> None:
    first = case([1, 1, 2, 0], [1, 1, 2, 0])  # 1 and 1
    second = case([1, 1, 0, 0], [1, 0, 0, 0])  # 2/3, label 2 is nowhere
    assert measured([task("A", 2)], [[first, second]]) == pytest.approx({"A": (1 + 1 + 2 / 3) / 3})


def test_each_task_is_measured_on_its_own_cases_with_all_its_labels() -> None:
    right, wrong = case([1, 2], [1, 2]), case([1, 2], [2, 1])
    assert measured([task("A", 2), task("B", 2)], [[right], [wrong]]) == {"A": 1.0, "B": 0.0}


@pytest.mark.parametrize("cases_per_task, expected", [(1, 1.0), (2, 0.5), (3, 1 / 3)])
def test_only_the_first_cases_of_a_task_are_looked_at(cases_per_task: int, expected: float) -> None:
    cases = [case([1], [1]), case([1], [0]), case([1], [0])]
    assert measured([task("A", 1)], [cases], cases_per_task) == pytest.approx({"A": expected})
