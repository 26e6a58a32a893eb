"""Whatever the result of a run depends on is part of its identity, and a difference is said in words that help."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from MultiTaskSegLib.runtime.image.profile import Intensity, Profile
from MultiTaskSegLib.runtime.network.architecture import Architecture
from trainer.config import TrainingConfig
from trainer.data.case_cache import PreparedCase
from trainer.data.dataset import Dataset
from trainer.data.planning import Plan, TaskPlan
from trainer.layout.case import Case
from trainer.training.recipe import Recipe
from trainer.training.run_identity import difference, run_identity


@dataclass(frozen=True)
class Companion:
    """A loss beside segmentation, as far as a checkpoint is concerned."""

    images: str
    name: str = "rotation"

    @property
    def identity(self) -> dict[str, str]:
        return {"images": self.images}


RECIPE = Recipe(
    weights={"w": torch.ones(2)},
    companions=(Companion("1"),),
    identity={"finetuning": {"sha256": "1"}},  # type: ignore[arg-type]
)
PROFILE = Profile("p", "spacing", Intensity("percentile", 1.0, 99.0), spacing_zyx_mm=(1.0, 1.0, 1.0))
CONFIG = TrainingConfig(seed=3)
EMPTY = np.zeros((1, 1, 1))


def task(name: str, start: int, labels: tuple[str, ...]) -> TaskPlan:
    values = tuple((n,) for n in range(1, 1 + len(labels)))
    return TaskPlan(Dataset(Path(name), name, "T1", "", {}, ()), PROFILE, start, labels, values, (4, 8, 8), ())


def prepared(name: str, mark: str = "m") -> PreparedCase:
    return PreparedCase(Case(name, Path(name), None, name), EMPTY, EMPTY, {}, mark)


TASKS = (task("A", 0, ("liver", "spleen")), task("B", 3, ("heart",)))
ARCHITECTURE = Architecture((4, 8), ((1, 2, 2),), ((1, 3, 3),) * 2, 5)
TRAINING = ([prepared("a1"), prepared("a2")], [prepared("b1")])
CASES = {"training": TRAINING, "held-out": ([prepared("a3")], [prepared("b2")]), "unlabelled": ()}


def identity(**changes: Any) -> dict[str, Any]:
    """Of a run on two datasets, with one thing changed."""
    plan = Plan(changes.pop("tasks", TASKS), changes.pop("architecture", ARCHITECTURE))
    cases = CASES | changes.pop("cases", {})
    return run_identity(plan, cases, changes.pop("config", CONFIG), changes.pop("recipe", RECIPE))


def second(**changes: Any) -> tuple[TaskPlan, TaskPlan]:
    return TASKS[0], replace(TASKS[1], **changes)


CHANGED: dict[str, Callable[[], dict[str, Any]]] = {
    "the order of datasets": lambda: identity(tasks=(task("B", 0, ("heart",)), task("A", 2, ("liver", "spleen")))),
    "another dataset": lambda: identity(tasks=second(dataset=replace(TASKS[1].dataset, name="C"))),
    "the name of a label": lambda: identity(tasks=second(label_names=("lung",))),
    "the value of a label": lambda: identity(tasks=second(label_values=((7,),))),
    "the grid": lambda: identity(tasks=second(profile=replace(PROFILE, spacing_zyx_mm=(2.0, 1.0, 1.0)))),
    "the clip": lambda: identity(tasks=second(profile=replace(PROFILE, intensity=Intensity("range", 0.0, 9.0)))),
    "the patch": lambda: identity(tasks=second(patch_zyx=(4, 8, 16))),
    "what is absent": lambda: identity(tasks=second(absent=(0,))),
    "the network": lambda: identity(architecture=replace(ARCHITECTURE, channels=(4, 6))),
    "a setting": lambda: identity(config=replace(CONFIG, learning_rate=1.0)),
    "a file": lambda: identity(cases={"training": ([prepared("a1"), prepared("a2", "n")], TRAINING[1])}),
    "a held-out file": lambda: identity(cases={"held-out": ([prepared("a3")], [prepared("b2", "n")])}),
    "one case less": lambda: identity(cases={"training": (TRAINING[0][:1], TRAINING[1])}),
    "the order of cases": lambda: identity(cases={"training": (TRAINING[0][::-1], TRAINING[1])}),
    "an image without label": lambda: identity(cases={"unlabelled": ([prepared("a4")], [])}),
    "the recipe": lambda: identity(recipe=replace(RECIPE, identity={"finetuning": {"sha256": "2"}})),
    "what a companion is taught with": lambda: identity(recipe=replace(RECIPE, companions=(Companion("2"),))),
    "the first weights": lambda: identity(recipe=replace(RECIPE, weights={"w": torch.zeros(2)})),
}  # fmt: skip


@pytest.mark.parametrize("what", CHANGED)
def test_whatever_a_run_depends_on_is_part_of_its_identity(what: str) -> None:
    found = difference(identity(), CHANGED[what]())
    assert found is not None
    assert all(found)


@pytest.mark.parametrize("change", [{"threads": 3}, {"workers": 0}, {"validations": 1}, {"validation_cases": 1}])
def test_how_often_and_how_fast_is_not(change: dict[str, int]) -> None:
    assert difference(identity(), identity(config=replace(CONFIG, **change))) is None


SAID = {
    "the order of datasets": ("begun with the datasets A, B, not B, A", "in the order A B"),
    "another dataset": ("begun with the datasets A, B, not A, C", "Give them A B"),
    "the value of a label": ("labels of B were heart = 1 and are heart = 7", "dataset.json"),
    "the name of a label": ("labels of B were heart = 1 and are lung = 1", "dataset.json"),
    "a setting": ("learning_rate was 0.002 and is 1.0", "same --config"),
    "a file": ("cases of A hold something else than before (1, first a2)", "Restore the files"),
    "one case less": ("training cases of A were added or are missing (1, first a2)", "Restore the files"),
    "the patch": ("differs in its tasks", "same command"),
    "the recipe": ("differs in its recipe", "same command"),
}


@pytest.mark.parametrize("what", SAID)
def test_the_difference_is_named_with_what_to_do(what: str) -> None:
    found = difference(identity(), CHANGED[what]())
    assert found is not None
    assert SAID[what][0] in found[0]
    assert SAID[what][1] in found[1]


def test_of_many_differences_three_are_told_and_the_rest_counted() -> None:
    config = TrainingConfig(seed=4, split_seed=5, learning_rate=1.0, weight_decay=1.0, warmup_steps=1)
    found = difference(identity(), identity(config=config))
    assert found is not None
    assert found[0].endswith("; and 2 more")


def test_renumbered_labels_are_told_by_name() -> None:
    swapped = (replace(TASKS[0], label_values=((2,), (1,))), TASKS[1])
    found = difference(identity(), identity(tasks=swapped))
    assert found is not None
    assert found[0] == "the labels of A were liver = 1, spleen = 2 and are liver = 2, spleen = 1"
