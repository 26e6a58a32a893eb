"""The way of an image through its candidates, with distances that were chosen beforehand."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.runtime.image.preparation import Prepared
from MultiTaskSegLib.runtime.image.profile import Profile
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.model.model_file import Model
from MultiTaskSegLib.runtime.network.backend import TorchBackend
from MultiTaskSegLib.runtime.ood.cell_reference import CellMemory
from MultiTaskSegLib.runtime.prediction import answer as answer_stage
from MultiTaskSegLib.runtime.prediction import recognition
from MultiTaskSegLib.runtime.prediction.candidate import Candidate
from MultiTaskSegLib.runtime.prediction.network_pass import Encoded, NetworkPass
from MultiTaskSegLib.runtime.prediction.recognition import recognise
from MultiTaskSegLib.runtime.prediction.stage_progress import StageProgress
from MultiTaskSegLib.runtime.predictor import Predictor
from Testing.runtime.prediction.placed_model import candidates, noise, placed_model, profile
from Testing.runtime.random_network import UNEVEN, random_network

FINE, MIDDLE, COARSE = profile(2.0), profile(2.2), profile(2.3)


def silent() -> StageProgress:
    return StageProgress(lambda share, step: None)


@pytest.fixture(scope="module")
def model() -> Model:
    """Three profiles; two tasks share the first."""
    places = {"near": (MIDDLE, 2.0), "far": (FINE, 5.0), "other": (FINE, 4.0), "third": (COARSE, 3.0)}
    return placed_model(noise(), places)


def noted(monkeypatch: pytest.MonkeyPatch, place: Any, name: str, step: str, steps: list[str]) -> None:
    """Note when a function is entered."""
    plain: Callable[..., Any] = getattr(place, name)

    def entered(*arguments: Any, **named: Any) -> Any:
        steps.append(step)
        return plain(*arguments, **named)

    monkeypatch.setattr(place, name, entered)


@pytest.mark.parametrize(("task", "looks"), [("auto", 3), ("third", 1)])
def test_each_candidate_is_prepared_encoded_and_judged_once_and_one_is_decoded_and_labelled(
    model: Model, task: str, looks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    noted(monkeypatch, recognition, "prepare", "prepare", steps)
    noted(monkeypatch, NetworkPass, "encode", "encode", steps)
    noted(monkeypatch, Candidate, "judge", "judge", steps)
    noted(monkeypatch, NetworkPass, "decode", "decode", steps)
    noted(monkeypatch, answer_stage, "finished", "label", steps)
    Predictor(model, "cpu", "torch").segment(noise(), task)
    assert steps == ["prepare", "encode", "judge"] * looks + ["decode", "label"]


def test_the_verdict_has_the_distance_to_every_task_as_its_own_candidate_sees_it(model: Model) -> None:
    sight = recognise(candidates(model), noise(), silent())
    assert sight.verdict.distances == pytest.approx({"near": 2.0, "far": 5.0, "other": 4.0, "third": 3.0})
    assert (sight.nearest_task.name, sight.verdict.score) == ("near", pytest.approx(2.0))
    assert sight.candidate.profile == MIDDLE


@pytest.mark.parametrize("distances", list(permutations([2.0, 3.0, 4.0])), ids=str)
def test_of_several_candidates_only_the_maps_of_the_nearest_so_far_stay_alive(
    distances: tuple[float, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    volume, alive, told = noise(), [], []
    places = {f"task{d}": (where, d) for where, d in zip((FINE, MIDDLE, COARSE), distances, strict=True)}
    plain, looks = NetworkPass.encode, candidates(placed_model(volume, places))

    def encode(*arguments: Any, **named: Any) -> Encoded:
        told.append([d for d, maps in alive if maps() is not None])
        encoded = plain(*arguments, **named)
        assert encoded.kept
        alive.append((distances[len(alive)], weakref.ref(encoded.kept[0])))
        return encoded

    monkeypatch.setattr(NetworkPass, "encode", encode)
    sight = recognise(looks, volume, silent(), keep=True)
    assert told == [[], [distances[0]], [min(distances[:2])]]
    assert [d for d, maps in alive if maps() is not None] == [2.0]
    assert sight.verdict.score == pytest.approx(2.0)


# exp(0.2) is 1.2214.
@pytest.mark.parametrize(("factor", "is_rival"), [(1.219, True), (1.224, False)])
def test_a_task_of_another_candidate_is_a_rival_up_to_a_fifth_in_logarithms(factor: float, is_rival: bool) -> None:
    volume = noise()
    model = placed_model(volume, {"near": (FINE, 2.0), "other": (MIDDLE, 2.0 * factor)})
    for order in (1, -1):
        verdict = recognise(candidates(model)[::order], volume, silent()).verdict
        assert (verdict.nearest_task, verdict.rivals) == ("near", ("other",) if is_rival else ())


def test_rivals_of_the_same_candidate_and_of_others_are_named_together() -> None:
    volume = noise()
    places = {"near": (FINE, 2.0), "beside": (FINE, 2.1), "other": (MIDDLE, 2.2), "far": (COARSE, 3.0)}
    assert recognise(candidates(placed_model(volume, places)), volume, silent()).verdict.rivals == ("beside", "other")


class Counting(TorchBackend):
    """Counts the slices that each stage computes."""

    def __init__(self, model: Model) -> None:
        super().__init__(model.network, torch.device("cpu"))
        self.slices: dict[str, int] = {}

    def second(self, stage: str, window: Tensor, added: Tensor, pad_z: bool) -> Tensor:
        """Count and compute."""
        result = super().second(stage, window, added, pad_z)
        self.slices[stage] = self.slices.get(stage, 0) + result.shape[2]
        return result


# Ten slices of 2 mm after padding; of 2.3 mm they are eight.
@pytest.mark.parametrize(("task", "slices"), [("far", 10), ("third", 8)])
def test_a_named_task_is_labelled_in_the_pass_that_judges_the_image(model: Model, task: str, slices: int) -> None:
    predictor, backend = Predictor(model, "cpu", "torch"), Counting(model)
    predictor._backend = backend
    predictor.segment(noise(), task)
    assert backend.slices == {"encoder0": slices, "encoder1": slices // 2, "decoder0": slices}


def test_a_recognised_task_is_labelled_from_the_maps_that_its_recognition_left() -> None:
    alone = placed_model(noise(), {"near": (FINE, 2.0), "far": (FINE, 5.0)})
    predictor, backend = Predictor(alone, "cpu", "torch"), Counting(alone)
    predictor._backend = backend
    assert predictor.segment(noise()).task.name == "near"
    assert backend.slices == {"encoder0": 10, "encoder1": 5, "decoder0": 10}


@pytest.mark.parametrize(("distances", "rarity"), [((2.0, 3.0), 0.0), ((3.0, 2.0), 4.0)])
def test_foreign_places_are_those_that_the_cells_of_the_recognised_task_have_never_seen(
    distances: tuple[float, float], rarity: float
) -> None:
    """For the first task no score is rare, for the second every one."""
    places = {name: (where, d) for name, where, d in zip("ab", (FINE, MIDDLE), distances, strict=True)}
    shapes = ((12,), (12, 1), (4, 1), (4,))
    mean, projection, cells, units = (np.ones(shape, np.float16) for shape in shapes)
    known = [
        CellMemory(mean, projection, cells, units, np.linspace(start, start + 1, 41, dtype=np.float32))  # type: ignore[arg-type]
        for start in (1e6, -1e6)
    ]
    model = replace(placed_model(noise(), places), memories=tuple(known))
    np.testing.assert_allclose(Predictor(model, "cpu", "torch").locate(noise())[1], rarity, atol=1e-6)


def test_a_named_task_has_the_labels_and_the_score_that_recognition_gives_it(model: Model) -> None:
    predictor = Predictor(model, "cpu", "torch")
    auto, named = predictor.segment(noise()), predictor.segment(noise(), "near")
    assert auto.task.name == "near"
    np.testing.assert_array_equal(named.labels, auto.labels)
    np.testing.assert_allclose(named.confidence, auto.confidence, atol=2e-3)
    assert named.verdict.score == pytest.approx(auto.verdict.score)
    # As a named task the image is looked at in one way only, and the others are not its rivals.
    assert (named.verdict.rivals, named.verdict.distances["near"]) == ((), pytest.approx(2.0))


@pytest.fixture(scope="module")
def two_models() -> tuple[Model, Model]:
    """Networks of different shape, profiles and tasks."""
    volume = noise()
    first = placed_model(volume, {"near": (FINE, 4.0), "far": (MIDDLE, 5.0)}, name="first", threshold=2.0)
    second = placed_model(
        volume, {"own": (MIDDLE, 3.0), "next": (FINE, 3.5)}, name="second", network=random_network(UNEVEN)
    )
    return first, second


@pytest.mark.parametrize("order", [1, -1])
def test_candidates_of_two_models_are_compared_and_the_nearest_model_answers(
    two_models: tuple[Model, Model], order: int
) -> None:
    volume = noise()
    both = [one for model in two_models for one in candidates(model)][::order]
    sight = recognise(both, volume, silent(), keep=True)
    assert sight.candidate.model is two_models[1]
    assert sight.verdict.distances == pytest.approx({"near": 4.0, "far": 5.0, "own": 3.0, "next": 3.5})
    assert (sight.verdict.threshold, sight.verdict.is_ood, sight.verdict.rivals) == (10.0, False, ("next",))
    found = answer_stage.answer(
        sight, volume, sight.nearest_task, silent(), silent(), started_s=0.0, is_recognised=True
    )
    alone = Predictor(two_models[1], "cpu", "torch").segment(volume)
    assert (found.model_name, found.model_sha256, found.task.name) == ("second", "second", "own")
    np.testing.assert_array_equal(found.labels, alone.labels)
    np.testing.assert_array_equal(found.uncertainty, alone.uncertainty)


@pytest.mark.parametrize("order", [1, -1])
def test_of_models_that_know_the_same_task_the_nearest_tells_the_distance_and_none_is_a_rival_of_itself(
    order: int,
) -> None:
    volume = noise()
    models = [placed_model(volume, {"same": (FINE, d), name: (FINE, 9.0)}) for d, name in ((2.0, "a"), (2.1, "b"))]
    both = [one for model in models for one in candidates(model)][::order]
    sight = recognise(both, volume, silent())
    assert sight.candidate.model is models[0]
    assert sight.verdict.distances == pytest.approx({"same": 2.0, "a": 9.0, "b": 9.0})
    assert sight.verdict.rivals == ()


def test_the_candidates_share_the_time_and_each_begins_where_the_one_before_it_ended(model: Model) -> None:
    told: list[tuple[float, str]] = []
    recognise(candidates(model), noise(), StageProgress(lambda share, step: told.append((share, step))))
    shares = [share for share, _ in told]
    assert shares == sorted(shares)
    assert [share for share, step in told if step == "preparing"] == pytest.approx([0.0, 1 / 3, 2 / 3])
    assert shares[-1] == 1.0


def test_what_memory_cost_a_candidate_that_was_not_the_nearest_is_told_with_the_result(
    two_models: tuple[Model, Model],
) -> None:
    volume, (near, far) = noise(), two_models
    looked_at = [*candidates(near), *candidates(far)]
    for candidate in looked_at:
        candidate.network_pass.shortages.append(f"note of {candidate.model.manifest.name}")
    sight = recognise(looked_at, volume, silent(), keep=True)
    found = answer_stage.answer(
        sight, volume, sight.nearest_task, silent(), silent(), started_s=0.0, is_recognised=True
    )
    for model in (near, far):
        assert f"note of {model.manifest.name}" in found.warnings


def test_a_known_task_is_asked_only_of_candidates_that_have_it(two_models: tuple[Model, Model]) -> None:
    volume, (near, far) = noise(), two_models
    task = far.manifest.tasks[0]
    assert task not in near.manifest.tasks
    sight = recognise([*candidates(near), *candidates(far)], volume, silent(), known=task)
    assert sight.candidate.model is far
    assert sight.encoded.labels is not None


@pytest.mark.parametrize("named", [True, False])
def test_labels_are_begun_when_a_twentieth_of_the_whole_is_left(model: Model, named: bool) -> None:
    told: list[tuple[float, str]] = []
    task = model.manifest.tasks[0].name if named else "auto"
    Predictor(model, "cpu", "torch").segment(noise(), task, lambda share, step: told.append((share, step)))
    assert [share for share, step in told if step == "labels"] == [pytest.approx(0.95)]
    assert max(share for share, step in told if step == "network") == pytest.approx(0.95)


def test_a_candidate_on_whose_scale_the_image_is_constant_leaves_the_answer_to_the_others(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    blind, plain = [MIDDLE], recognition.prepare

    def prepare(volume: Volume, seen_as: Profile) -> Prepared:
        if seen_as in blind:
            raise InputError("the image is constant")
        return plain(volume, seen_as)

    monkeypatch.setattr(recognition, "prepare", prepare)
    assert recognise(candidates(model), noise(), silent()).verdict.nearest_task != "near"
    blind += [FINE, COARSE]
    with pytest.raises(InputError, match="constant"):
        recognise(candidates(model), noise(), silent())
