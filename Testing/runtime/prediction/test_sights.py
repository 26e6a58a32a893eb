"""What is computed of an image, counted by a back end, and that nothing which is remembered changes an answer."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.model.model_file import Model
from MultiTaskSegLib.runtime.network.backend import TorchBackend
from MultiTaskSegLib.runtime.ood.cell_reference import CellMemory
from MultiTaskSegLib.runtime.prediction import pass_parts, sights
from MultiTaskSegLib.runtime.prediction.segmentation import Segmentation
from MultiTaskSegLib.runtime.prediction.sights import Sights, image_digest
from MultiTaskSegLib.runtime.predictor import Predictor
from Testing.runtime.prediction.placed_model import noise, placed_model, profile
from Testing.runtime.tiny_model import tiny_memories

ONE = {"near": (profile(2.0), 2.0)}
TWO = {"near": (profile(2.0), 2.0), "beside": (profile(2.0), 5.0)}
APART = {"near": (profile(2.0), 2.0), "other": (profile(2.2), 4.0)}
NOTHING_FITS = 0


def lookalikes() -> dict[str, Volume]:
    """Images that something or other has in common with the first one, and is not the same in all."""
    first = noise()
    flipped = first.ijk_to_lps @ np.diag([-1.0, 1.0, 1.0, 1.0])
    flipped[:3, 3] += first.ijk_to_lps[:3, 0] * (first.shape[2] - 1)
    spot = first.voxels.copy()
    spot[4, 5, 6] += np.float32(300)
    block = np.ascontiguousarray(first.voxels[:6, :8, :8])
    numbers: Any = first.voxels.view(np.int32)
    return {
        "first": first,
        "content under the same name": replace(first, voxels=spot),
        "turned on the disk": replace(first, voxels=first.voxels[:, :, ::-1], ijk_to_lps=flipped),
        "mirrored": replace(first, voxels=first.voxels[:, :, ::-1]),
        "voxels of 1.8 mm": replace(first, ijk_to_lps=np.diag([1.8, 1.8, 1.8, 1.0])),
        "elsewhere": replace(first, ijk_to_lps=first.ijk_to_lps + np.eye(4, k=3)),
        "size not known": replace(first, measured="nothing"),
        "other axes": replace(first, voxels=first.voxels.reshape(10, 12, 9)),
        "block": replace(first, voxels=block),
        "block of the first": replace(first, voxels=block, whole=first),
        "block of another": replace(first, voxels=block, whole=replace(first, voxels=spot)),
        "bits taken for whole numbers": replace(first, voxels=numbers),
    }


class Counting(TorchBackend):
    """Counts for each stage how often each voxel of its map is computed."""

    def __init__(self, model: Model) -> None:
        super().__init__(model.network, torch.device("cpu"))
        self.computed: Counter[str] = Counter()

    def second(self, stage: str, window: Tensor, added: Tensor, pad_z: bool) -> Tensor:
        """Count what comes out."""
        result = super().second(stage, window, added, pad_z)
        self.computed[stage] += result.shape[2:].numel()
        return result


class Counted:
    """A predictor whose passes can be asked for."""

    def __init__(self, places: dict[str, Any], *, keeps: bool = False, remembers: bool = True) -> None:
        self.model = placed_model(noise(), places)
        self.sights = Sights() if remembers else None
        self.counting = Counting(self.model)
        self.predictor = self.new_predictor(keeps=keeps)

    def new_predictor(self, *, keeps: bool = False) -> Predictor:
        """Another one with the same memory, as after loading the model again."""
        predictor = Predictor(self.model, "cpu", "torch", self.sights)
        predictor._backend, predictor.keeps_maps = self.counting, keeps
        return predictor

    def passes(self) -> dict[str, float]:
        """Over the whole image since the last time, by stage; of grids of this image's own size."""
        z, y, x = 10, 12, 10  # of `noise`, padded to the stride
        sizes = {"encoder0": z * y * x, "encoder1": z * y * x // 8, "decoder0": z * y * x}
        found = {stage: self.counting.computed[stage] / size for stage, size in sizes.items()}
        self.counting.computed.clear()
        return found


def same(found: Segmentation, expected: Segmentation) -> None:
    """Equal to the bit, but for the clock."""
    np.testing.assert_array_equal(found.labels, expected.labels)
    np.testing.assert_array_equal(found.uncertainty, expected.uncertainty)
    np.testing.assert_array_equal(found.confidence, expected.confidence)
    assert {**found.report(), "timings": 0} == {**expected.report(), "timings": 0}


@pytest.fixture(params=[ONE, TWO, APART], ids=["one task", "two tasks alike", "two profiles"])
def places(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Tasks by profile and distance."""
    chosen: dict[str, Any] = request.param
    return chosen


def test_a_told_task_takes_one_pass() -> None:
    counted = Counted(TWO)
    counted.predictor.segment(noise(), "near")
    assert counted.passes() == {"encoder0": 1, "encoder1": 1, "decoder0": 1}


@pytest.mark.parametrize("kept_bytes", [NOTHING_FITS, 10**9])
def test_where_there_is_but_one_task_it_need_not_be_recognised_and_one_pass_gives_all(
    kept_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pass_parts, "KEPT_BYTES", kept_bytes)
    counted = Counted(ONE, remembers=False)
    found = counted.predictor.segment(noise())
    assert counted.passes() == {"encoder0": 1, "encoder1": 1, "decoder0": 1}
    assert found.task.name == "near"


def test_where_the_task_is_recognised_only_maps_that_do_not_fit_are_computed_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counted = Counted(TWO)
    counted.predictor.segment(noise())
    assert counted.passes() == {"encoder0": 1, "encoder1": 1, "decoder0": 1}
    again = Counted(TWO)
    monkeypatch.setattr(pass_parts, "KEPT_BYTES", 5_000)
    again.predictor.segment(noise())
    assert again.passes() == {"encoder0": 2, "encoder1": 1, "decoder0": 1}


@pytest.mark.parametrize("task", ["auto", "near"])
def test_a_check_and_then_a_segmentation_of_an_image_take_one_pass_together(task: str) -> None:
    counted = Counted(TWO, keeps=True)
    counted.predictor.check(noise())
    assert counted.passes() == {"encoder0": 1, "encoder1": 1, "decoder0": 0}
    counted.predictor.segment(noise(), task)
    assert counted.passes() == {"encoder0": 0, "encoder1": 0, "decoder0": 1}


def test_where_no_maps_are_held_a_segmentation_after_a_check_takes_one_pass_and_not_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pass_parts, "KEPT_BYTES", NOTHING_FITS)
    counted = Counted(TWO, keeps=True)
    counted.predictor.check(noise())
    counted.passes()
    counted.predictor.segment(noise())
    assert counted.passes() == {"encoder0": 1, "encoder1": 1, "decoder0": 1}


@pytest.mark.parametrize("first", ["check", "segment", "locate"])
def test_a_check_of_an_image_that_was_seen_takes_no_pass_nor_does_its_map(first: str) -> None:
    counted = Counted(TWO)
    cells: tuple[CellMemory, ...] = tiny_memories()
    counted.model = counted.predictor.model = replace(counted.model, memories=cells)
    getattr(counted.predictor, first)(noise())
    counted.passes()
    counted.predictor.check(noise())
    counted.predictor.locate(noise())
    assert sum(counted.passes().values()) == 0


def test_the_same_image_once_more_takes_one_pass_for_its_labels() -> None:
    counted = Counted(TWO)
    counted.predictor.segment(noise())
    counted.passes()
    counted.predictor.segment(noise(), "beside")
    assert counted.passes() == {"encoder0": 1, "encoder1": 1, "decoder0": 1}


def test_a_model_that_is_loaded_again_remembers_the_image() -> None:
    counted = Counted(TWO, keeps=True)
    counted.predictor.check(noise())
    counted.passes()
    counted.new_predictor().segment(noise())
    assert counted.passes() == {"encoder0": 0, "encoder1": 0, "decoder0": 1}


@pytest.mark.parametrize("task", ["auto", "near"])
@pytest.mark.parametrize("kept_bytes", [NOTHING_FITS, 5_000, 10**9])
@pytest.mark.parametrize("keeps", [False, True])
def test_labels_scores_and_report_are_those_of_a_run_that_remembers_nothing(
    places: dict[str, Any], task: str, kept_bytes: int, keeps: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pass_parts, "KEPT_BYTES", kept_bytes)
    plain = Counted(places, remembers=False).predictor
    expected, verdict = plain.segment(noise(), task), plain.check(noise())
    predictor = Counted(places, keeps=keeps).predictor
    assert predictor.check(noise()) == verdict
    same(predictor.segment(noise(), task), expected)
    same(predictor.segment(noise(), task), expected)
    again = predictor.check(noise())
    assert (again, again.warnings, again.network_grid) == (verdict, verdict.warnings, verdict.network_grid)


def test_a_check_after_labels_says_what_it_says_before_them(places: dict[str, Any]) -> None:
    expected = Counted(places, remembers=False).predictor.check(noise())
    counted = Counted(places)
    counted.predictor.segment(noise(), "near")
    assert counted.predictor.check(noise()) == expected


@pytest.mark.parametrize(
    "other",
    [
        replace(noise(), voxels=noise().voxels + np.float32(1)),
        replace(noise(), ijk_to_lps=np.diag([2.0, 2.0, 2.1, 1.0])),
        replace(noise(), measured="pixel"),
        replace(noise(), further=(noise().voxels,)),
        replace(noise(), whole=noise((10, 12, 10))),
        lookalikes()["bits taken for whole numbers"],
    ],
    ids=["voxels", "place", "size", "channels", "whole", "kind of number"],
)
def test_another_image_is_told_apart_and_the_maps_of_the_first_are_let_go(other: Volume) -> None:
    assert image_digest(other) != image_digest(noise())
    assert image_digest(replace(noise(), name="called otherwise")) == image_digest(noise())
    counted = Counted(TWO, keeps=True)
    counted.predictor.check(noise())
    assert counted.sights is not None
    assert counted.sights._maps is not None
    counted.sights.turn_to(noise())
    assert counted.sights._maps is not None
    counted.sights.turn_to(other)
    assert counted.sights._maps is None


def test_nothing_is_held_after_a_segmentation_nor_when_a_while_has_passed() -> None:
    counted = Counted(TWO, keeps=True)
    counted.predictor.segment(noise())
    assert counted.sights is not None
    assert counted.sights._maps is None
    counted.predictor.check(replace(noise(), voxels=noise().voxels * 2))
    counted.sights.drop_maps()
    assert counted.sights._maps is None


def test_maps_of_a_nearer_model_do_not_outlive_the_labels_of_another_one() -> None:
    memory = Sights()
    near, far = (
        Predictor(placed_model(noise(), {"near": (profile(2.0), away)}, name=str(away)), "cpu", "torch", memory)
        for away in (1.0, 3.0)
    )
    for predictor in (near, far):
        predictor.keeps_maps = True
        predictor.check(noise())
    assert memory.has_maps
    far.segment(noise())
    assert not memory.has_maps


def test_looks_are_forgotten_the_oldest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sights, "LOOKS", 2)
    counted = Counted(ONE)
    images = [replace(noise(), voxels=noise().voxels * scale) for scale in (1, 2, 3)]
    for image in images:
        counted.predictor.check(image)
    counted.passes()
    counted.predictor.check(images[2])
    counted.predictor.check(images[1])
    assert counted.passes()["encoder0"] == 0
    counted.predictor.check(images[0])
    assert counted.passes()["encoder0"] == 1


def test_what_was_computed_in_smaller_parts_is_told_and_not_remembered() -> None:
    counted = Counted(ONE)
    plain = counted.predictor._network_pass
    passes: list[Any] = []

    def short() -> Any:
        """Memory was short the first time."""
        passes.append(plain())
        if len(passes) == 1:
            passes[0].shortages.append("short")
        return passes[-1]

    counted.predictor._network_pass = short  # type: ignore[method-assign]
    assert "short" in counted.predictor.check(noise()).warnings
    assert "short" not in counted.predictor.check(noise()).warnings
    assert counted.passes()["encoder0"] == 2


@pytest.mark.parametrize("memory_step", [3, 5])
@pytest.mark.parametrize("task", ["auto", "near"])
def test_in_strips_of_rows_nothing_is_remembered_whose_last_bits_another_run_would_have_otherwise(
    memory_step: int, task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pass_parts, "slab_voxels_for", lambda device: 2_000)
    large = noise((8, 48, 12))
    for first, second in (("check", "segment"), ("segment", "check")):
        answers = []
        for remembers in (False, True):
            predictor = Counted(TWO, keeps=remembers, remembers=remembers).predictor
            predictor.memory_step = memory_step
            acts: dict[str, Any] = {
                "check": lambda own=predictor: own.check(large),
                "segment": lambda own=predictor: own.segment(large, task),
            }
            if remembers:
                acts[first]()
            found = acts[second]()
            answers.append(found.verdict if isinstance(found, Segmentation) else found)
        assert answers[0] == answers[1]


def test_in_smaller_parts_no_maps_are_held() -> None:
    counted = Counted(TWO, keeps=True)
    counted.predictor.check(noise())
    assert counted.sights is not None
    assert counted.sights.has_maps
    counted.predictor.memory_step = 1
    counted.predictor.check(noise())
    assert not counted.sights.has_maps


@pytest.mark.parametrize("seed", range(2))
def test_whatever_was_looked_at_before_an_answer_is_that_of_a_process_that_knows_nothing(seed: int) -> None:
    images, models = lookalikes(), [placed_model(noise(), where, name=str(n)) for n, where in enumerate((TWO, APART))]
    rng, memory = np.random.default_rng(seed), Sights()
    acts: dict[str, Any] = {
        "check": lambda own, image: own.check(image),
        "auto": lambda own, image: own.segment(image),
        "told": lambda own, image: own.segment(image, "near"),
    }
    for _ in range(40):
        name, act, model = rng.choice(list(images)), rng.choice(list(acts)), models[rng.integers(2)]
        warm, cold = Predictor(model, "cpu", "torch", memory), Predictor(model, "cpu", "torch")
        warm.keeps_maps = bool(rng.integers(2))
        found, expected = acts[act](warm, images[name]), acts[act](cold, images[name])
        if act == "check":
            assert (found, found.warnings) == (expected, expected.warnings), name
        else:
            same(found, expected)


def test_parts_of_another_size_and_other_back_ends_are_looked_at_anew() -> None:
    counted = Counted(TWO, keeps=True)
    counted.predictor.check(noise())
    counted.predictor.memory_step = 1
    counted.passes()
    counted.predictor.check(noise())
    assert counted.passes()["encoder0"] == 1
    counted.counting.name = "another"
    counted.predictor.check(noise())
    assert counted.passes()["encoder0"] == 1
