"""An image fed slab by slab gives what the plain network gives in one go, whatever the slabs and what is kept."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from MultiTaskSegLib.runtime.network.architecture import SegmentationNetwork, Triple
from MultiTaskSegLib.runtime.network.backend import TorchBackend
from MultiTaskSegLib.runtime.network.network_stream import NetworkStream
from MultiTaskSegLib.runtime.network.stage_stream import SliceQueue, StageStream, compact_dtype
from Testing.runtime.random_network import ARCHITECTURES, THICK_SLICES, random_network
from trainer.tiled.halo_tiles import pad_to_stride

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


@pytest.mark.usefixtures("full_precision")
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


@pytest.mark.usefixtures("full_precision")
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


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_waiting_in_half_precision_changes_logits_little_and_labels_not(name: str) -> None:
    network, voxels = random_network(ARCHITECTURES[name]), image((33, 24, 40))
    expected = plain_maps(network, voxels)["decoder0"]
    with torch.inference_mode():
        backend = TorchBackend(network, CPU)
        stream = NetworkStream(backend, network.architecture, voxels, 3_000)
        found = torch.cat(list(stream.decode()), dim=2)
        logits, plain = (backend.head(maps, slice(None)) for maps in (found, expected))
    assert 0 < (logits - plain).std() < 3e-4 * plain.std()
    assert (logits.argmax(dim=0) == plain.argmax(dim=0)).float().mean() >= 0.9999


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_maps_that_were_kept_give_the_same_result_as_those_that_wait(name: str) -> None:
    network, voxels = random_network(ARCHITECTURES[name]), image((9, 19, 23))
    stream = NetworkStream(TorchBackend(network, CPU), network.architecture, voxels, 800)
    with torch.inference_mode():
        plain = torch.cat(list(stream.decode()), dim=2)
        for keep_bytes in KEPT[1:]:
            result = torch.cat(list(stream.decode(stream.encode(1, Watched(), keep_bytes))), dim=2)
            torch.testing.assert_close(result, plain, atol=2e-5, rtol=1e-4)


def test_slices_leave_a_queue_in_order_and_their_memory_is_used_again() -> None:
    slices = torch.arange(7.0).reshape(1, 1, 7, 1, 1).expand(1, 2, 7, 3, 4)
    queue, seen, places = SliceQueue(True, 3), [], set()
    for start in range(7):
        queue.push(slices[:, :, start : start + 1])
        if start > 0:
            target = torch.empty((1, 2, 1, 3, 4))
            queue.move(target)
            seen.append(float(target.unique()))
        places.update(slab.untyped_storage().data_ptr() for slab in queue._waiting)
    assert seen == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    assert queue.slices == 1
    assert len(places) == 1


@pytest.mark.parametrize("value", [70_000.0, -70_000.0, float("nan")])
def test_values_beyond_half_precision_wait_as_they_are(value: float) -> None:
    slab = torch.ones((1, 2, 2, 3, 4))
    slab[0, 1, 1, 2, 3] = value
    queue, found = SliceQueue(True, 4), torch.empty_like(slab)
    queue.push(slab)
    queue.move(found)
    torch.testing.assert_close(found, slab, atol=0, rtol=0, equal_nan=True)
    assert compact_dtype(torch.ones_like(slab)) == torch.float16


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

    def second(self, stage: str, window: Tensor, added: Tensor, pad_z: bool) -> Tensor:
        """Count and compute."""
        result = super().second(stage, window, added, pad_z)
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
    plain = StageStream._joined

    def forgetful(self: StageStream, between: Tensor, last: bool) -> Tensor:
        if self._between is not None:
            self._between = torch.zeros_like(self._between)
        return plain(self, between, last)

    monkeypatch.setattr(StageStream, "_joined", forgetful)
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
