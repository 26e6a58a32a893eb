"""Where memory runs out: which parts are tried, that nothing half used is used again, and that progress never falls."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from MultiTaskSegLib.runtime.errors import ResourceError
from MultiTaskSegLib.runtime.network.architecture import Architecture
from MultiTaskSegLib.runtime.network.backend import TorchBackend
from MultiTaskSegLib.runtime.network.network_stream import NetworkStream
from MultiTaskSegLib.runtime.network.parts import Parts
from MultiTaskSegLib.runtime.prediction import network_pass, pass_parts
from MultiTaskSegLib.runtime.prediction.network_pass import NetworkPass, Wanted
from MultiTaskSegLib.runtime.prediction.stage_progress import rising
from MultiTaskSegLib.runtime.predictor import Predictor
from Testing.runtime.prediction.placed_model import SPEC, noise, placed_model, profile
from Testing.runtime.tiny_model import ARCHITECTURE, tiny_manifest, tiny_network

VOXELS = np.random.default_rng(1).random((16, 12, 10), dtype=np.float32)
WANTED = Wanted(tiny_manifest().tasks[0], (16, 12, 10))
RELEASED = Architecture(
    (16, 32, 64, 128, 128), ((1, 2, 2), (2, 2, 2), (2, 2, 2), (1, 2, 2)), ((3, 3, 3),) * 4 + ((1, 3, 3),), 48
)


class Failing(TorchBackend):
    """Runs out of memory once: when a stage is computed for the n-th time."""

    def __init__(self, stage: str, number: int) -> None:
        super().__init__(tiny_network(), torch.device("cpu"))
        self.stage, self.left = stage, number

    def first(self, stage: str, window: Tensor, pad_z: bool) -> Tensor:
        """Compute or fail."""
        self.left -= stage == self.stage
        if stage == self.stage and self.left == 0:
            raise MemoryError
        return super().first(stage, window, pad_z)


def new_pass(backend: TorchBackend | None = None, memory_step: int = 0) -> NetworkPass:
    backend = backend or TorchBackend(tiny_network(), torch.device("cpu"))
    return NetworkPass(backend, ARCHITECTURE, SPEC, memory_step)


@pytest.fixture
def thin_slabs(monkeypatch: pytest.MonkeyPatch) -> None:
    """So little at a time that even tiny images pass in many slabs."""
    monkeypatch.setattr(pass_parts, "slab_voxels_for", lambda device: 500)


def ignore(share: float) -> None:
    """Nobody wants to know."""


@pytest.mark.usefixtures("thin_slabs")
@pytest.mark.parametrize("number", [1, 2, 4])
def test_maps_that_a_failed_decoder_has_partly_used_up_are_computed_again(number: int) -> None:
    run = new_pass()
    expected = run.decode(VOXELS, WANTED, run.encode(VOXELS, ignore, keep=True), ignore)
    backend = Failing("decoder0", number)
    run = new_pass(backend)
    encoded = run.encode(VOXELS, ignore, keep=True)
    assert set(encoded.kept) == {0, 1}
    found = run.decode(VOXELS, WANTED, encoded, ignore)
    assert backend.left < 0, "the decoder went on after its failure"
    assert run.notes == [network_pass.IN_PARTS]
    np.testing.assert_array_equal(found.index, expected.index)
    np.testing.assert_allclose(found.confidence, expected.confidence, atol=1e-5)


def test_maps_that_were_kept_spare_the_decoder_the_encoder_and_are_used_up() -> None:
    backend = Failing("", 0)
    run = new_pass(backend)
    encoded = run.encode(VOXELS, ignore, keep=True)
    backend.stage, backend.left = "encoder1", 1  # its only computation would fail
    run.decode(VOXELS, WANTED, encoded, ignore)
    assert encoded.kept == {}
    assert run.notes == []


@pytest.mark.parametrize(
    ("keep", "wanted", "levels"), [(True, None, {0, 1}), (False, None, set()), (True, WANTED, set())]
)
def test_maps_are_kept_only_where_the_decoder_follows(keep: bool, wanted: Wanted | None, levels: set[int]) -> None:
    encoded = new_pass().encode(VOXELS, ignore, keep=keep, wanted=wanted)
    assert set(encoded.kept) == levels
    assert (encoded.labels is None) == (wanted is None)


def test_up_to_200_megabytes_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def encode(stream: NetworkStream, stages: int, observe: Any, keep_bytes: int = 0) -> dict[int, Any]:
        asked.append(keep_bytes)
        return {}

    monkeypatch.setattr(NetworkStream, "encode", encode)
    for keep in (True, False):
        new_pass().encode(VOXELS, ignore, keep=keep)
    assert asked == [200_000_000, 0]


# The coarse level has 8 x 6 x 5 voxels of 6 channels of 4 bytes, the fine one 16 x 12 x 10 of 4 channels of 2 bytes.
@pytest.mark.parametrize(
    ("room", "levels"), [(5_759, []), (5_760, [1]), (5_760 + 15_359, [1]), (5_760 + 15_360, [1, 0])]
)
def test_the_coarsest_maps_are_kept_as_far_as_there_is_room(room: int, levels: list[int]) -> None:
    with torch.inference_mode():
        stream = NetworkStream(TorchBackend(tiny_network(), torch.device("cpu")), ARCHITECTURE, VOXELS)
        assert list(stream.encode(2, lambda name, slab: None, room)) == levels


# Long enough for thinner slabs, and with rows enough for strips with their halo.
LONG = (40, 4, 4)
TALL = (6, 90, 8)


def tried(
    shape: tuple[int, int, int], memory_step: int, monkeypatch: pytest.MonkeyPatch
) -> tuple[list[Parts], list[str]]:
    """Parts that a machine without memory tries, and what it notes."""
    parts: list[Parts] = []

    def strips(*arguments: Any) -> Any:
        raise MemoryError

    plain = NetworkPass._computed

    def computed(self: NetworkPass, taken: Parts, run: Any) -> Any:
        """Take note."""
        parts.append(taken)
        return plain(self, taken, run)

    monkeypatch.setattr(network_pass, "strips", strips)
    monkeypatch.setattr(NetworkPass, "_computed", computed)
    run = new_pass(memory_step=memory_step)
    with pytest.raises(ResourceError, match="even for the smallest parts"):
        run.encode(np.zeros(shape, np.float32), ignore)
    return parts, run.notes


@pytest.mark.parametrize("memory_step", [0, 1, 2, 99])
@pytest.mark.parametrize(("shape", "at_least"), [(LONG, 3), (TALL, 3)])
def test_smaller_parts_are_tried_one_after_the_other_from_the_step_of_the_plan_on_each_once(
    shape: tuple[int, int, int], at_least: int, memory_step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pass_parts, "slab_voxels_for", lambda device: 500)
    ladder = pass_parts.checking_ladder(ARCHITECTURE, shape, SPEC.layers, torch.device("cpu"), keep=False)
    assert len(ladder) >= at_least
    assert (ladder[-1].rows is not None) == (shape == TALL)
    parts, notes = tried(shape, memory_step, monkeypatch)
    assert parts == list(ladder[min(memory_step, len(ladder) - 1) :])
    assert notes == ([network_pass.IN_PARTS] if len(parts) > 1 else [])


@pytest.mark.parametrize("shape", [(160, 192, 192), (300, 512, 512), (64, 64, 64), (1, 256, 256)])
def test_no_two_attempts_at_a_real_image_are_the_same(shape: tuple[int, int, int]) -> None:
    device = torch.device("cpu")
    for keep in (False, True):
        check = pass_parts.checking_ladder(RELEASED, shape, ("encoder0", "encoder3"), device, keep=keep)
        labels = pass_parts.labelling_ladder(RELEASED, shape, shape, device, keep=keep)
        for ladder in (check, labels):
            assert len(set(ladder)) == len(ladder) <= 12


@pytest.mark.parametrize("wanted", [None, Wanted(tiny_manifest().tasks[0], TALL)])
def test_strips_tell_their_progress(wanted: Wanted | None) -> None:
    told: list[float] = []
    voxels = np.random.default_rng(1).random(TALL, dtype=np.float32)
    new_pass(memory_step=99).encode(voxels, told.append, wanted=wanted)
    assert len(set(told)) > 4
    assert told == sorted(told)
    assert told[-1] == 1.0


@pytest.mark.usefixtures("thin_slabs")
@pytest.mark.parametrize("wanted", [None, WANTED])
def test_slabs_tell_each_share_of_their_progress_once(wanted: Wanted | None) -> None:
    told: list[float] = []
    new_pass().encode(VOXELS, told.append, wanted=wanted)
    assert len(told) > 2
    assert told == sorted(set(told))
    assert told[-1] == 1.0


def test_what_is_told_never_falls() -> None:
    told: list[tuple[float, str]] = []
    tell = rising(lambda share, step: told.append((share, step)))
    for share, step in ((0.0, "a"), (0.5, "b"), (0.25, "c"), (0.5, "d"), (0.75, "e")):
        tell(share, step)
    assert told == [(0.0, "a"), (0.5, "b"), (0.5, "c"), (0.5, "d"), (0.75, "e")]


@pytest.mark.parametrize("way", ["auto", "near", "check"])
@pytest.mark.usefixtures("thin_slabs")
@pytest.mark.parametrize("memory_step", [0, 1])
def test_progress_never_falls_and_ends_at_1_even_where_a_stage_begins_again(way: str, memory_step: int) -> None:
    volume = noise((40, 60, 4))
    model = placed_model(volume, {"near": (profile(2.0), 2.0), "far": (profile(2.2), 3.0)})
    told: list[float] = []

    def report(share: float, step: str) -> None:
        told.append(share)

    predictor, backend = Predictor(model, "cpu", "torch"), Failing("encoder0", 3)
    predictor._backend, predictor.memory_step = backend, memory_step
    predictor.check(volume, report) if way == "check" else predictor.segment(volume, way, report)
    assert backend.left < 0
    assert told == sorted(told)
    assert (told[0], told[-1]) == (0.0, 1.0)
    assert len(set(told)) > 4
