"""An image fed slab by slab gives what the plain network gives in one go, whatever the slabs and what is kept."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from MultiTaskSegLib.runtime.backend import TorchBackend
from MultiTaskSegLib.runtime.network import SegmentationNetwork, Triple
from MultiTaskSegLib.runtime.network_stream import NetworkStream
from MultiTaskSegLib.runtime.stage_stream import StageStream
from MultiTaskSegLib.runtime.tiling import pad_to_stride
from Testing.runtime.random_network import ARCHITECTURES, THICK_SLICES, random_network

CPU = torch.device("cpu")
SIZES: list[Triple] = [(7, 19, 23), (1, 30, 40), (33, 9, 14), (4, 16, 32), (12, 24, 8)]
SLABS = [1, 800, 3_000, 10**9]
KEPT = [0, 3_000, 20_000, 10**9]


class Watched:
    """Collects maps by name."""

    def __init__(self) -> None:
        self.slabs: dict[str, list[Tensor]] = {}

    def __call__(self, name: str, slab: Tensor) -> None:
        """Remember a slab."""
        self.slabs.setdefault(name, []).append(slab.clone())

    def maps(self) -> dict[str, Tensor]:
        """Slabs put together along z."""
        return {name: torch.cat(slabs, dim=2) for name, slabs in self.slabs.items()}


def image(sizes: Triple) -> np.ndarray:
    return np.random.default_rng(1).random(sizes, dtype=np.float32)


def plain_maps(network: SegmentationNetwork, voxels: np.ndarray) -> dict[str, Tensor]:
    """The reference: every map of the padded image in one go."""
    padded = pad_to_stride(voxels, network.architecture.total_stride)
    with torch.no_grad():
        return network.features(torch.from_numpy(padded)[None, None])


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_slabs_give_the_maps_of_one_pass(name: str, sizes: Triple) -> None:
    network, voxels = random_network(ARCHITECTURES[name]), image(sizes)
    expected = plain_maps(network, voxels)
    backend = TorchBackend(network, CPU)
    for slab_voxels in SLABS:
        watched = Watched()
        with torch.inference_mode():
            stream = NetworkStream(backend, network.architecture, voxels, slab_voxels)
            result = torch.cat(list(stream.decode(observe=watched)), dim=2)
        torch.testing.assert_close(result, expected["decoder0"], atol=2e-5, rtol=1e-4)
        found = watched.maps()
        assert set(found) == set(network.architecture.layer_names)
        for layer, maps in expected.items():
            torch.testing.assert_close(found[layer], maps, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("keep_bytes", KEPT)
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_what_was_kept_of_the_encoder_does_not_change_the_result(name: str, keep_bytes: int) -> None:
    network, voxels = random_network(ARCHITECTURES[name]), image((9, 19, 23))
    expected = plain_maps(network, voxels)
    levels = len(network.architecture.channels)
    for slab_voxels in SLABS:
        watched = Watched()
        with torch.inference_mode():
            stream = NetworkStream(TorchBackend(network, CPU), network.architecture, voxels, slab_voxels)
            kept = stream.encode(1, watched, keep_bytes)
            result = torch.cat(list(stream.decode(kept)), dim=2)
        assert list(kept) == list(range(levels - 1, levels - 1 - len(kept), -1)), "coarse levels first"
        assert len(kept) == levels or keep_bytes < 10**9
        assert set(watched.slabs) == {"encoder0"}, "only what was asked for is shown"
        torch.testing.assert_close(result, expected["decoder0"], atol=2e-5, rtol=1e-4)


def test_nothing_is_kept_where_nothing_fits() -> None:
    stream = NetworkStream(TorchBackend(random_network(THICK_SLICES), CPU), THICK_SLICES, image((9, 19, 23)))
    with torch.inference_mode():
        assert stream.encode(2, Watched(), 10) == {}


class Counting(TorchBackend):
    """Counts the slices that each stage computes."""

    def __init__(self, network: SegmentationNetwork) -> None:
        super().__init__(network, CPU)
        self.slices: dict[str, int] = {}
        self.thickest = 0

    def second(self, stage: str, window: Tensor, centre: Tensor, pad_z: bool) -> Tensor:
        """Count and compute."""
        result = super().second(stage, window, centre, pad_z)
        self.slices[stage] = self.slices.get(stage, 0) + result.shape[2]
        self.thickest = max(self.thickest, result.shape[2])
        return result


def test_no_slice_is_computed_twice_and_no_slab_is_much_thicker_than_wanted() -> None:
    network = random_network(THICK_SLICES)
    backend, voxels = Counting(network), image((40, 8, 8))
    with torch.inference_mode():
        for _ in NetworkStream(backend, THICK_SLICES, voxels, 4 * 64).decode():
            pass
    strides = THICK_SLICES.level_strides
    assert backend.slices == {name: 40 // strides[int(name[-1])][0] for name in THICK_SLICES.layer_names}
    assert backend.thickest <= 4 + 2


def test_a_stage_that_forgets_its_context_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    network, voxels = random_network(THICK_SLICES), image((12, 8, 8))
    expected = plain_maps(network, voxels)["decoder0"]
    plain = StageStream._inner

    def forgetful(self: StageStream, window: Tensor, start: int, last: bool) -> Tensor | None:
        if self._between is not None:
            self._between = torch.zeros_like(self._between)
        return plain(self, window, start, last)

    monkeypatch.setattr(StageStream, "_inner", forgetful)
    with torch.inference_mode():
        stream = NetworkStream(TorchBackend(network, CPU), THICK_SLICES, voxels, 1)
        result = torch.cat(list(stream.decode()), dim=2)
    assert (result - expected).abs().max() > 1e-3


def test_progress_rises_to_one() -> None:
    told: list[float] = []
    stream = NetworkStream(
        TorchBackend(random_network(THICK_SLICES), CPU), THICK_SLICES, image((12, 8, 8)), 1, told.append
    )
    with torch.inference_mode():
        stream.encode(2, Watched())
    assert len(told) > 1
    assert told == sorted(told)
    assert told[-1] == 1.0
