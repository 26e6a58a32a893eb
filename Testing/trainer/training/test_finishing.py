"""What a finished model says of itself, with literal limits."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from trainer.training.finishing import ood_info
from trainer.training.planned_manifest import _label_info


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
    task: Any = SimpleNamespace(
        name="D", label_names=("part",), label_values=(values,), dataset=dataset, are_regions=False
    )
    assert _label_info(task, 0).value == expected
