"""A stem for each list of channels: images of several channels go through the same network as those of one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from MultiTaskSegLib.runtime.errors import ModelError
from MultiTaskSegLib.runtime.model.structure import from_plain, to_plain
from MultiTaskSegLib.runtime.network.architecture import Architecture, SegmentationNetwork
from MultiTaskSegLib.runtime.network.backend import TorchBackend
from MultiTaskSegLib.runtime.network.backend_choice import _trial, agrees
from MultiTaskSegLib.runtime.network.compiled_backend import CompiledBackend
from MultiTaskSegLib.runtime.network.convolution import Route
from MultiTaskSegLib.runtime.network.network_stream import NetworkStream, padded_shape
from MultiTaskSegLib.runtime.network.rehearsal import pass_memory
from Testing.runtime.random_network import ARCHITECTURES, THICK_SLICES, random_network
from Testing.runtime.tensor_trace import traced
from trainer.training.weight_standardization import initialize

CPU = torch.device("cpu")
STEMMED = replace(THICK_SLICES, stems=(1, 3))


def image(channels: int) -> np.ndarray:
    return np.random.default_rng(2).random((channels, 9, 12, 20), dtype=np.float32)


def decoded(network: SegmentationNetwork, voxels: np.ndarray, stem: int, slab_voxels: int = 700) -> torch.Tensor:
    with torch.inference_mode():
        stream = NetworkStream(TorchBackend(network, CPU), network.architecture, voxels, slab_voxels, stem=stem)
        return torch.cat(list(stream.decode()), dim=2)


def test_a_network_for_one_channel_has_the_weights_that_it_always_had() -> None:
    network = SegmentationNetwork(THICK_SLICES)
    assert not any(name.startswith("stems") for name in network.state_dict())
    assert "stems" not in to_plain(THICK_SLICES)
    assert from_plain(Architecture, to_plain(THICK_SLICES)) == THICK_SLICES
    assert from_plain(Architecture, to_plain(STEMMED)) == STEMMED


def test_a_further_stem_draws_its_first_weights_after_all_others() -> None:
    plain, stemmed = SegmentationNetwork(THICK_SLICES), SegmentationNetwork(STEMMED)
    for network in (plain, stemmed):
        initialize(network, torch.Generator().manual_seed(3))
    found = stemmed.state_dict()
    assert all(torch.equal(tensor, found[name]) for name, tensor in plain.state_dict().items())
    assert found["stems.0.first.weight"].shape[1] == 3
    assert bool(found["stems.0.first.weight"].any())


@pytest.mark.usefixtures("full_precision")
@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("slab_voxels", [1, 700, 10**9])
def test_slabs_of_several_channels_give_the_map_of_one_pass(name: str, slab_voxels: int) -> None:
    architecture = replace(ARCHITECTURES[name], stems=(2, 1, 3))
    network = random_network(architecture)
    for stem, channels in enumerate(architecture.stems):
        voxels = image(channels)
        z, y, x = padded_shape(architecture, voxels.shape[1:])  # type: ignore[arg-type]
        padded = np.zeros((channels, z, y, x), dtype=np.float32)
        padded[:, :9, :12, :20] = voxels
        with torch.no_grad():
            expected = network.features(torch.from_numpy(padded)[None], stem)["decoder0"]
        found = decoded(network, voxels, stem, slab_voxels)
        torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-4)


@pytest.mark.usefixtures("full_precision")
def test_a_stem_that_looks_at_one_of_its_channels_is_the_stem_of_that_channel() -> None:
    network, voxels = random_network(STEMMED), image(3)
    own, stem = network.encoder[0], network.stems[0]
    for part in ("first", "shortcut"):
        plain, several = getattr(own, part), getattr(stem, part)
        several.weight.data.zero_()
        several.weight.data[:, 1:2] = plain.weight.data
        several.bias.data = plain.bias.data.clone()
    torch.testing.assert_close(decoded(network, voxels, 1), decoded(network, voxels[1], 0), atol=1e-5, rtol=1e-5)


def test_everything_after_the_stem_is_shared() -> None:
    network, voxels = random_network(STEMMED), image(3)
    before = decoded(network, voxels, 1)
    network.encoder[0].first.weight.data.add_(1.0)  # type: ignore[union-attr, operator]
    assert torch.equal(decoded(network, voxels, 1), before), "another stem's"
    network.encoder[0].second.weight.data.add_(1.0)  # type: ignore[union-attr, operator]
    assert not torch.equal(decoded(network, voxels, 1), before)


def test_compiled_stages_know_every_stem_and_the_trial_compares_them() -> None:
    network = random_network(STEMMED)
    plain = TorchBackend(network, CPU)
    compiled = CompiledBackend("compiled", plain, lambda module, channels, context: module)
    expected, found = _trial(plain, network)[1], _trial(compiled, network)[1]
    assert agrees(found, expected)
    network.stems[0].first.weight.data.zero_()  # type: ignore[union-attr, operator]
    assert not agrees(_trial(TorchBackend(network, CPU), network)[1], expected)


def test_the_memory_of_a_pass_of_many_channels_is_that_of_a_trace() -> None:
    architecture = Architecture((8, 12), ((2, 2, 2),), ((3, 3, 3),) * 2, 4, stems=(1, 16))
    grid, slices = (32, 32, 32), 8
    stream = NetworkStream(
        TorchBackend(SegmentationNetwork(architecture), CPU),
        architecture,
        np.zeros((16, *grid), np.float32),
        slices * 32 * 32,
        stem=1,
    )
    trace = traced(lambda: list(map(id, stream.decode())))
    told = pass_memory(architecture, grid, slices, Route.DIRECT, stem=1)
    first_map = 4 * 16 * (slices + 2) * 32 * 32
    assert trace.peak_bytes <= told.peak_bytes <= 1.02 * trace.peak_bytes + first_map
    assert told.peak_bytes > pass_memory(architecture, grid, slices, Route.DIRECT).peak_bytes + first_map // 2


@pytest.mark.parametrize("stems", [(), (0,), (1, -2)])
def test_a_network_without_a_stem_is_refused(stems: tuple[int, ...]) -> None:
    with pytest.raises(ModelError):
        replace(THICK_SLICES, stems=stems)
