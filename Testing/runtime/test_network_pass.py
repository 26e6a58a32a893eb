"""One pass over an image, and what happens when memory runs out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from MultiTaskSegLib.runtime import network_pass
from MultiTaskSegLib.runtime.errors import ResourceError
from MultiTaskSegLib.runtime.network_pass import PassResult, run_pass, spectra_of
from MultiTaskSegLib.runtime.signature import signature_spec
from Testing.runtime.tiny_model import ARCHITECTURE, tiny_manifest, tiny_network

CPU = torch.device("cpu")
LAYERS = ARCHITECTURE.layer_names
VOXELS = np.random.default_rng(1).random((9, 11, 90), dtype=np.float32)
ROOM = 5_000


def passed(network: torch.nn.Module, **options: object) -> PassResult:
    tasks = tiny_manifest().tasks
    return run_pass(network, VOXELS, tasks, LAYERS, 1e-4, device=CPU, **options)  # type: ignore[arg-type]


class SmallMemory:
    """The tiny network on a device that holds tiles of at most ``room`` voxels."""

    def __init__(self, room: int, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
        self.network, self.failures = tiny_network(), 0
        plain = self.network.features

        def features(x: torch.Tensor) -> dict[str, torch.Tensor]:
            if x.numel() > room:
                self.failures += 1
                raise error
            return plain(x)

        monkeypatch.setattr(self.network, "features", features)
        monkeypatch.setattr(network_pass, "SMALLEST_TILE_VOXELS", 1_000)


def test_probabilities_are_the_softmax_of_each_task_s_own_channels() -> None:
    found = passed(tiny_network())
    padded = np.pad(VOXELS, [(0, 1), (0, 1), (0, 0)])
    with torch.no_grad():
        logits = tiny_network()(torch.from_numpy(padded)[None, None])[0, :, :9, :11, :90]
    for task, channels in (("Dataset001_Balls", slice(0, 3)), ("Dataset002_Cubes", slice(3, 5))):
        expected = torch.softmax(logits[channels], dim=0).numpy()
        np.testing.assert_allclose(found.probabilities[task].astype(np.float32), expected, atol=1e-3)


def test_the_temperature_divides_the_logits() -> None:
    task = replace(tiny_manifest().tasks[0], temperature=2.5)
    cold = passed(tiny_network()).probabilities[task.name].astype(np.float64)
    warm = run_pass(tiny_network(), VOXELS, [task], LAYERS, 0.0, device=CPU).probabilities[task.name]
    expected = np.maximum(cold, 1e-7) ** (1 / 2.5)
    clear = cold.min(axis=0) > 1e-2
    assert clear.any()
    found = warm.astype(np.float64)
    np.testing.assert_allclose(found[:, clear], (expected / expected.sum(axis=0))[:, clear], atol=5e-3)


@pytest.mark.parametrize(
    "error",
    [MemoryError(), RuntimeError("CUDA out of memory. Tried to allocate"), RuntimeError("can't allocate memory")],
    ids=["python", "cuda", "cpu"],
)
def test_when_memory_runs_out_smaller_tiles_give_the_same_result(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = passed(tiny_network())
    device = SmallMemory(ROOM, error, monkeypatch)
    found = passed(device.network, max_tile_voxels=16_000)
    assert device.failures == 2
    assert found.max_tile_voxels == 4_000
    for task, probabilities in expected.probabilities.items():
        np.testing.assert_allclose(
            found.probabilities[task].astype(np.float32), probabilities.astype(np.float32), atol=2e-3
        )
    for layer, spectrum in expected.spectra.items():
        assert found.spectra[layer].voxels == spectrum.voxels
        np.testing.assert_allclose(found.spectra[layer].singular_values, spectrum.singular_values, rtol=1e-4)


def test_when_not_even_small_tiles_fit_the_user_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    device = SmallMemory(0, MemoryError(), monkeypatch)
    with pytest.raises(ResourceError, match="Close other programs"):
        passed(device.network, max_tile_voxels=4_000)
    assert device.failures == 3  # 4000, 2000 and 1000 voxels


def test_another_error_is_not_taken_for_a_lack_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    device = SmallMemory(0, RuntimeError("sizes do not match"), monkeypatch)
    with pytest.raises(RuntimeError, match="sizes do not match"):
        passed(device.network)
    assert device.failures == 1


def test_spectra_alone_are_those_of_the_whole_pass() -> None:
    spec = signature_spec(ARCHITECTURE, "multilayer")
    alone, whole = spectra_of(tiny_network(), VOXELS, spec, CPU), passed(tiny_network()).spectra
    for layer in LAYERS:
        np.testing.assert_array_equal(alone[layer].singular_values, whole[layer].singular_values)
    assert run_pass(tiny_network(), VOXELS, (), LAYERS, 0.0, device=CPU).probabilities == {}


def test_a_check_on_encoder_layers_does_not_run_the_decoder() -> None:
    expected = passed(tiny_network()).spectra
    network = tiny_network()

    def refuse(*_: object) -> None:
        raise AssertionError("the decoder was run")

    for stage in (*network.decoder, network.head):
        stage.register_forward_pre_hook(refuse)
    found = run_pass(network, VOXELS, (), ("encoder0", "encoder1"), 0.0, device=CPU, max_tile_voxels=4_000).spectra
    for layer in ("encoder0", "encoder1"):
        np.testing.assert_allclose(found[layer].singular_values, expected[layer].singular_values, rtol=1e-4)
    with pytest.raises(AssertionError, match="decoder"):
        run_pass(network, VOXELS, (), ("encoder0", "decoder0"), 0.0, device=CPU)
