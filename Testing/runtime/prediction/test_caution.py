"""What is said about a result: gravest first, and never silent about a task that the model is weak at."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from MultiTaskSegLib.runtime.image.input_frame import input_frame
from MultiTaskSegLib.runtime.image.volume import Measured, Volume
from MultiTaskSegLib.runtime.model.manifest import TaskInfo
from MultiTaskSegLib.runtime.model.model_file import read_manifest, reference_tensors, save_model
from MultiTaskSegLib.runtime.model.released import released_model
from MultiTaskSegLib.runtime.ood.verdict import Verdict
from MultiTaskSegLib.runtime.prediction.caution import WEAK_DICE, cautions, coarseness, weakness
from MultiTaskSegLib.runtime.predictor import Predictor
from Testing.runtime.tiny_model import tiny_images, tiny_manifest, tiny_network, tiny_reference


def task_with(**dice: float) -> TaskInfo:
    return replace(tiny_manifest().tasks[0], held_out_dice=dice)


def noise() -> Volume:
    voxels = np.random.default_rng(3).normal(100, 20, (9, 12, 10)).astype(np.float32)
    return Volume(voxels, np.diag([2.0, 2.0, 2.0, 1.0]), "noise")


def test_a_label_with_a_low_held_out_dice_is_named_with_its_figure() -> None:
    (sentence,) = weakness(task_with(ms_lesion=0.394, ventricle=0.9))
    assert "ms lesion (0.39)" in sentence
    assert "ventricle" not in sentence


@pytest.mark.parametrize("dice", [WEAK_DICE, 0.95])
def test_nothing_is_said_of_labels_that_are_mostly_right(dice: float) -> None:
    assert weakness(task_with(liver=dice)) == []


def test_nothing_is_said_where_nothing_was_measured() -> None:
    assert weakness(task_with()) == []


def test_of_many_weak_labels_the_weakest_are_named_and_the_others_counted() -> None:
    (sentence,) = weakness(task_with(**{f"part_{i}": 0.5 - 0.1 * i for i in range(5)}))
    assert "part 4 (0.10), part 3 (0.20), part 2 (0.30) and 2 more" in sentence


def test_a_result_says_it_even_when_nothing_was_found(tmp_path: Path) -> None:
    manifest, network, images = tiny_manifest(), tiny_network(), tiny_images()
    with torch.no_grad():
        network.head.bias[[0, 3]] += 1000
    tasks = tuple(replace(task, held_out_dice={"lesion": 0.0}) for task in manifest.tasks)
    tensors = reference_tensors(images, tiny_reference())
    save_model(tmp_path / "m.mts.safetensors", replace(manifest, tasks=tasks), network, tensors)
    result = Predictor.load(tmp_path / "m.mts.safetensors", "cpu").segment(noise())
    assert result.warnings[0] == result.verdict.sentence()
    assert sum("was found" in warning for warning in result.warnings) == 1
    assert sum("lesion (0.00)" in warning for warning in result.warnings) == 1
    assert list(result.warnings) == result.report()["warnings"]


def test_no_structure_of_the_released_2_d_model_has_to_be_warned_of() -> None:
    assert [weakness(task) for task in read_manifest(released_model(True))[0].tasks] == [[], [], [], [], []]


def said(task: TaskInfo, *, is_recognised: bool, is_ood: bool = False) -> str:
    verdict = Verdict(is_ood, 1.0, 1.5, 0.5, "near", {}, rivals=("other", "third"))
    frame = input_frame(noise(), task.profile)
    return " | ".join(cautions(frame, task, verdict, is_recognised=is_recognised, is_something_found=True))


def test_a_recognised_task_with_rivals_is_not_certain() -> None:
    text = said(replace(task_with(), name="near"), is_recognised=True)
    assert "near was used, but the image is about as near to other, third" in text
    assert "not certain" not in said(replace(task_with(), name="near"), is_recognised=False)


def test_of_a_foreign_image_it_does_not_matter_which_task_is_nearest() -> None:
    assert "not certain" not in said(replace(task_with(), name="near"), is_recognised=True, is_ood=True)


def test_a_told_task_is_doubted_only_when_it_is_no_rival() -> None:
    assert "looks more like" not in said(replace(task_with(), name="third"), is_recognised=False)
    assert "looks more like near" in said(replace(task_with(), name="fourth"), is_recognised=False)


@pytest.mark.parametrize("has_physical_size", [True, False])
def test_voxels_are_called_coarse_only_where_they_have_a_physical_size(has_physical_size: bool) -> None:
    task = tiny_manifest().tasks[0]
    measured: Measured = "voxel" if has_physical_size else "nothing"
    coarse = Volume(noise().voxels, np.diag([9.0, 9.0, 9.0, 1.0]), "coarse", measured=measured)
    assert bool(coarseness(input_frame(coarse, task.profile))) is has_physical_size


def test_of_coarse_voxels_it_is_told_how_the_network_saw_them_and_only_that_decides() -> None:
    task = tiny_manifest().tasks[0]
    frame = input_frame(Volume(noise().voxels, np.diag([2.0, 3.0, 9.0, 1.0])), task.profile)
    assert frame.reached_spacing_zyx_mm == (4.5, 2.0, 2.0)
    (sentence,) = coarseness(frame)
    assert sentence.endswith("the model saw them at 2 × 2 × 4.5 mm")
    assert coarseness(replace(frame, reached_spacing_zyx_mm=(2.0, 2.0, 2.0))) == []
