"""What batches of views depend on is told to checkpoints: images, classes, patches, and how many there are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from MultiTaskSegLib.runtime.image.profile import Intensity, Profile
from Testing.runtime.tiny_model import tiny_network
from trainer.config import TrainingConfig
from trainer.data.case_cache import PreparedCase
from trainer.data.dataset import Dataset
from trainer.data.planning import TaskPlan
from trainer.identity.fingerprint import fingerprint
from trainer.layout.case import Case
from trainer.pretraining.pretext.catalogue import PRETEXTS
from trainer.pretraining.pretext_companion import ImagePool, ViewBatches, pretext_companions
from trainer.two_stage.distillation import Distillation

PROFILE = Profile("p", "spacing", Intensity("percentile", 1.0, 99.0), spacing_zyx_mm=(1.0, 1.0, 1.0))
TASK = TaskPlan(Dataset(Path("A"), "A", "T1", "", {}, ()), PROFILE, 0, (), (), (1, 8, 8), ())
NETWORK = tiny_network(1)
EMPTY = np.zeros((1, 1, 1))


def prepared(name: str, mark: str = "m") -> PreparedCase:
    return PreparedCase(Case(name, Path(name), None, name), EMPTY, EMPTY, {}, mark)


POOL = ImagePool((TASK,), ([prepared("a"), prepared("b"), prepared("c")],), ({"a": 0, "b": 1},))


def batches(pool: ImagePool = POOL, pretext: str = "denoising", images: int = 2) -> ViewBatches:
    return ViewBatches(pool, PRETEXTS[pretext], TrainingConfig(), NETWORK.architecture, images)


CHANGED: dict[str, Callable[[], ViewBatches]] = {
    "an image": lambda: batches(replace(POOL, cases=([prepared("a"), prepared("b", "n"), prepared("c")],))),
    "one less": lambda: batches(replace(POOL, cases=(POOL.cases[0][:2],))),
    "the order": lambda: batches(replace(POOL, cases=(POOL.cases[0][::-1],))),
    "a class": lambda: batches(replace(POOL, categories=({"a": 1, "b": 0},))),
    "the patch": lambda: batches(replace(POOL, tasks=(replace(TASK, patch_zyx=(1, 8, 16)),))),
    "the task": lambda: batches(pretext="inpainting"),
    "how many": lambda: batches(images=3),
}


@pytest.mark.parametrize("what", CHANGED)
def test_other_batches_have_another_identity(what: str) -> None:
    assert fingerprint(batches().identity) == fingerprint(batches().identity)
    assert fingerprint(CHANGED[what]().identity) != fingerprint(batches().identity)


def test_weights_of_datasets_hold_for_views_too_also_where_one_has_no_images() -> None:
    none, other = (replace(TASK, dataset=replace(TASK.dataset, name=name)) for name in ("None", "B"))
    pool = ImagePool((TASK, none, other), ([prepared("a"), prepared("b"), prepared("c")], [], [prepared("d")]))
    weighted = TrainingConfig(sampling_exponent=1.0, sampling_weights={"A": 0.5, "None": 7.0, "B": 1.5})
    found = ViewBatches(pool, PRETEXTS["denoising"], weighted, NETWORK.architecture, 2).probabilities
    np.testing.assert_allclose(found, [1 / 12, 1 / 12, 1 / 12, 3 / 4])


def test_a_pretext_companion_is_known_by_its_batches() -> None:
    (companion,) = pretext_companions(
        [PRETEXTS["denoising"]], POOL, TrainingConfig(), NETWORK.architecture, 2, lambda progress: 1.0
    )
    assert companion.identity == batches().identity


@pytest.mark.parametrize(
    "changes", [{"teachers": [tiny_network(2)]}, {"factor": 2.0}, {"temperature": 3.0}, {"weighting": "per-voxel"}]
)
def test_a_distillation_is_known_by_its_teachers_too(changes: dict[str, Any]) -> None:
    term = Distillation([NETWORK], batches(), 1.0, 2.0)
    assert fingerprint(replace(term, **changes).identity) != fingerprint(term.identity)
    other = replace(term, batches=CHANGED["an image"]())
    assert fingerprint(other.identity) != fingerprint(term.identity)
