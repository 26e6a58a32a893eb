"""Labels of a result and of a dataset belong together by name, whatever their numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from MultiTaskSegLib.runtime.model.manifest import LabelInfo, TaskInfo
from Testing.runtime.tiny_model import tiny_manifest
from trainer.data.label_pair import label_pairs
from trainer.data.labelled_case import label_indices
from trainer.metrics.case_overlap import overlap_by_label

BALLS = tiny_manifest().tasks[0]
SHARED = replace(BALLS, labels=(LabelInfo(1, "foreground", "foreground", (1, 2, 3), ""),))


def dice_of(predicted: np.ndarray, task: TaskInfo, truth: np.ndarray, labels: dict[int, str]) -> dict[str, float]:
    return {name: overlap.dice for name, overlap in overlap_by_label(predicted, task, truth, labels).items()}


def test_renumbered_and_reordered_labels_are_found_by_name() -> None:
    truth = np.array([0, 7, 3, 3])
    assert dice_of(np.array([0, 1, 2, 2]), BALLS, truth, {7: "left_ball", 3: "right_ball"}) == {
        "left_ball": 1.0,
        "right_ball": 1.0,
    }
    assert label_indices(truth, BALLS, {7: "left_ball", 3: "right_ball"}).tolist() == [0, 1, 2, 2]


def test_a_structure_that_the_task_does_not_have_is_not_found() -> None:
    assert dice_of(np.array([0, 1]), BALLS, np.array([9, 9]), {9: "knee"}) == {"knee": 0.0}


def test_a_shared_head_is_measured_on_all_labels_together() -> None:
    truth = np.array([0, 1, 2, 2])
    assert dice_of(np.array([0, 1, 1, 1]), SHARED, truth, {1: "a", 2: "b"}) == {"foreground": 1.0}
    assert dice_of(np.array([1, 1, 0, 0]), SHARED, truth, {1: "a", 2: "b"}) == {"foreground": 0.4}
    assert label_indices(truth, SHARED, {1: "a", 2: "b"}).tolist() == [0, 1, 1, 1]


def test_a_dataset_whose_own_label_is_called_foreground_is_no_exception() -> None:
    (pair,) = label_pairs(SHARED, {5: "foreground"})
    assert (pair.predicted, pair.truth) == ((1,), (5,))


def test_values_that_the_dataset_does_not_declare_are_background() -> None:
    assert label_indices(np.array([0, 3, 300, -2, 4]), SHARED, {3: "a"}).tolist() == [0, 1, 0, 0, 0]
