"""Where memory runs out: which parts are tried, that nothing half used is used again, and that progress never falls."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from MultiTaskSegLib.runtime.errors import ResourceError
from MultiTaskSegLib.runtime.network.backend import TorchBackend
from MultiTaskSegLib.runtime.network.network_stream import NetworkStream
from MultiTaskSegLib.runtime.prediction import network_pass
from MultiTaskSegLib.runtime.prediction.network_pass import IN_TILES, NetworkPass, Wanted
from MultiTaskSegLib.runtime.prediction.stage_progress import rising
from MultiTaskSegLib.runtime.predictor import Predictor
from Testing.runtime.prediction.placed_model import SPEC, noise, placed_model, profile
from Testing.runtime.tiny_model import ARCHITECTURE, tiny_manifest, tiny_network

VOXELS = np.random.default_rng(1).random((16, 12, 10), dtype=np.float32)
WANTED = Wanted(tiny_manifest().tasks[0], (16, 12, 10))


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


def new_pass(backend: TorchBackend | None = None, max_slab_voxels: int | None = None) -> NetworkPass:
    backend = backend or TorchBackend(tiny_network(), torch.device("cpu"))
    return NetworkPass([backend], ARCHITECTURE, SPEC, max_slab_voxels)


def ignore(share: float) -> None:
    """Nobody wants to know."""


@pytest.mark.parametrize("number", [1, 2, 4])
def test_maps_that_a_failed_decoder_has_partly_used_up_are_computed_again(number: int) -> None:
    run = new_pass(max_slab_voxels=500)
    expected = run.decode(VOXELS, WANTED, run.encode(VOXELS, ignore, keep=True), ignore)
    backend = Failing("decoder0", number)
    run = new_pass(backend, max_slab_voxels=500)
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


def tried(monkeypatch: pytest.MonkeyPatch, max_slab_voxels: int | None) -> tuple[list[int], list[int], list[str]]:
    """Slab sizes and tile sizes that a machine without memory tries, and what it notes."""
    slabs: list[int] = []
    tiles: list[int] = []

    def stream(*arguments: Any) -> Any:
        slabs.append(arguments[3])
        raise MemoryError

    def make_tiles(sizes: Any, stride: Any, halo: Any, limit: int) -> Any:
        tiles.append(limit)
        raise MemoryError

    monkeypatch.setattr(network_pass, "NetworkStream", stream)
    monkeypatch.setattr(network_pass, "make_tiles", make_tiles)
    run = new_pass(max_slab_voxels=max_slab_voxels)
    with pytest.raises(ResourceError, match="even for small tiles"):
        run.encode(VOXELS, ignore)
    return slabs, tiles, run.notes


@pytest.mark.parametrize(
    ("known_to_fit", "slabs", "tiles"),
    [
        (None, [200_000, 50_000, 12_500, 3_125, 781, 195, 48, 12, 3, 1], [2_000_000, 500_000, 125_000, 60_000]),
        (100, [100, 25, 6, 1], [2_000_000, 500_000, 125_000, 60_000]),
        (IN_TILES, [], [60_000, 60_000]),
    ],
)
def test_parts_get_smaller_by_a_factor_of_4_down_to_slabs_of_a_plane_and_then_tiles(
    known_to_fit: int | None, slabs: list[int], tiles: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tried(monkeypatch, known_to_fit) == (slabs, tiles, [network_pass.IN_PARTS])


# Long enough for the halo of 10 slices on either side of a tile.
LONG = (40, 4, 4)


@pytest.mark.parametrize("wanted", [None, Wanted(tiny_manifest().tasks[0], LONG)])
def test_tiles_tell_their_progress(wanted: Wanted | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_pass, "SMALLEST_TILE_VOXELS", 480)
    told: list[float] = []
    voxels = np.random.default_rng(1).random(LONG, dtype=np.float32)
    new_pass(max_slab_voxels=IN_TILES).encode(voxels, told.append, wanted=wanted)
    # Of 30 slices, with 20 of halo, the core has 10.
    assert told == [0.25, 0.5, 0.75, 1.0]


@pytest.mark.parametrize("wanted", [None, WANTED])
def test_slabs_tell_each_share_of_their_progress_once(wanted: Wanted | None) -> None:
    told: list[float] = []
    new_pass(max_slab_voxels=500).encode(VOXELS, told.append, wanted=wanted)
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
@pytest.mark.parametrize("max_slab_voxels", [300, IN_TILES])
def test_progress_never_falls_and_ends_at_1_even_where_a_stage_begins_again(
    way: str, max_slab_voxels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network_pass, "SMALLEST_TILE_VOXELS", 480)
    volume = noise(LONG)
    model = placed_model(volume, {"near": (profile(2.0), 2.0), "far": (profile(2.2), 3.0)})
    told: list[float] = []

    def report(share: float, step: str) -> None:
        told.append(share)

    predictor, backend = Predictor(model, "cpu", "torch"), Failing("encoder0", 3)
    predictor._backends, predictor.max_slab_voxels = [backend], max_slab_voxels
    predictor.check(volume, report) if way == "check" else predictor.segment(volume, way, report)
    assert backend.left < 0
    assert told == sorted(told)
    assert (told[0], told[-1]) == (0.0, 1.0)
    assert len(set(told)) > 4
