"""What a finished model says of itself: measured on held-out cases, with literal limits."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from trainer.data.case_cache import PreparedCase
from trainer.layout.case import Case
from trainer.training import finishing
from trainer.training.finishing import _label_info, has_single_component, measure_held_out, ood_info


def case(labels: np.ndarray, answer: np.ndarray | None = None, group: str = "g") -> PreparedCase:
    """Where the voxels are what the network is to answer."""
    voxels = labels if answer is None else answer
    return PreparedCase(Case("c", Path("i"), Path("l"), group), voxels.astype(np.float16), labels.astype(np.uint8), {})


WHOLE = np.zeros((1, 6, 9))
WHOLE[0, 2:4, 2:5] = 1
SPLIT = WHOLE.copy()
SPLIT[0, 0, 8] = 1


@pytest.mark.parametrize("count, is_single", [(20, True), (19, False)])
def test_a_task_has_one_piece_when_that_is_so_in_95_percent_of_its_cases(count: int, is_single: bool) -> None:
    assert has_single_component([case(SPLIT), *[case(WHOLE)] * (count - 1)]) is is_single


def test_two_labels_that_touch_are_one_piece() -> None:
    both = WHOLE.copy()
    both[0, 4, 2:5] = 2
    assert has_single_component([case(both)])


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> None:
    def logits(network: Any, voxels: np.ndarray, task: Any, **options: Any) -> np.ndarray:
        return np.stack([4.0 * (voxels == value) for value in range(1 + len(task.label_names))]).astype(np.float32)

    monkeypatch.setattr(finishing, "task_logits", logits)


def measured(cases: list[PreparedCase], single: bool) -> Any:
    task: Any = SimpleNamespace(label_names=("part", "rest"))
    return measure_held_out(None, task, cases, torch.device("cpu"), 0, single)  # type: ignore[arg-type]


@pytest.mark.usefixtures("answers")
def test_dice_is_measured_with_the_largest_piece_where_a_task_has_one_piece_and_with_all_where_not() -> None:
    cases = [case(WHOLE, SPLIT, "a"), case(WHOLE, SPLIT, "b")]
    assert measured(cases, single=True).dice == {"part": 1.0}
    assert measured(cases, single=False).dice == pytest.approx({"part": 2 * 6 / (6 + 7)})
    assert measured(cases, single=True).single_component


@pytest.mark.usefixtures("answers")
def test_a_label_that_no_held_out_case_shows_has_no_dice() -> None:
    other = np.where(WHOLE == 1, 2, 0)
    assert set(measured([case(WHOLE, group="a"), case(WHOLE, group="b")], False).dice) == {"part"}
    assert measured([case(WHOLE, group="a"), case(other, group="b")], False).dice == {"part": 1.0, "rest": 1.0}


def test_a_task_without_labels_is_not_measured() -> None:
    task: Any = SimpleNamespace(label_names=())
    found = measure_held_out(None, task, [], torch.device("cpu"), 0)  # type: ignore[arg-type]
    assert (found.temperature, found.dice, found.calibration) == (1.0, {}, {})


def test_false_alarms_are_counted_over_held_out_images_by_task_and_together() -> None:
    spec = SimpleNamespace(variant="composite", layers=("a",), floor=0.0, statistics=("s",), uses_image=True)
    reference: Any = SimpleNamespace(
        spec=spec, threshold=1.5, judge=lambda spectra: SimpleNamespace(is_ood=spectra == "far")
    )
    images: Any = [
        SimpleNamespace(task=task, held_out=held_out, spectra=spectra)
        for task, held_out, spectra in (
            (0, True, "far"), (0, True, "near"), (0, False, "far"), (1, True, "near"), (1, True, "near"),
        )
    ]  # fmt: skip
    info = ood_info(["A", "B"], reference, images)
    assert info.false_alarm_rate == 0.25
    assert info.false_alarm_rate_by_task == {"A": 0.5, "B": 0.0}
    assert (info.threshold, info.layers, info.image_statistics) == (1.5, ("a",), ("s",))


@pytest.mark.parametrize("values, expected", [((5,), 5), ((3, 7), 1)])
def test_a_label_keeps_its_dataset_s_number_and_one_that_unites_several_is_1(
    values: tuple[int, ...], expected: int
) -> None:
    dataset = SimpleNamespace(modality="T1", region="head", info={})
    task: Any = SimpleNamespace(name="D", label_names=("part",), label_values=(values,), dataset=dataset)
    assert _label_info(task, 0).value == expected
