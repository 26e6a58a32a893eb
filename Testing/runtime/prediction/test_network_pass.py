"""One pass over an image, and what happens when memory runs out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from MultiTaskSegLib.runtime.errors import ResourceError
from MultiTaskSegLib.runtime.labels.label_stream import RunningLabels
from MultiTaskSegLib.runtime.model.manifest import TaskInfo
from MultiTaskSegLib.runtime.network.architecture import SegmentationNetwork
from MultiTaskSegLib.runtime.network.backend import TorchBackend
from MultiTaskSegLib.runtime.ood.signature import SignatureSpec, signature_spec
from MultiTaskSegLib.runtime.ood.spectrum import LayerSpectrum
from MultiTaskSegLib.runtime.prediction import network_pass
from MultiTaskSegLib.runtime.prediction.network_pass import Encoded, NetworkPass, Wanted, spectra_of
from Testing.runtime.tiny_model import ARCHITECTURE, tiny_manifest, tiny_network

CPU = torch.device("cpu")
LAYERS = ARCHITECTURE.layer_names
ENCODER = ("encoder0", "encoder1")
VOXELS = np.random.default_rng(1).random((9, 11, 90), dtype=np.float32)
TASK = tiny_manifest().tasks[0]


def new_pass(*backends: TorchBackend, layers: tuple[str, ...] = ENCODER) -> NetworkPass:
    backends = backends or (TorchBackend(tiny_network(), CPU),)
    return NetworkPass(backends, ARCHITECTURE, SignatureSpec("multilayer", layers, 1e-4))


def labelled(
    run: NetworkPass, task: TaskInfo = TASK, encoded: Encoded | None = None
) -> tuple[Mapping[str, LayerSpectrum], RunningLabels]:
    z, y, x = VOXELS.shape
    wanted = Wanted(task, (z, y, x))
    encoded = encoded or run.encode(VOXELS, lambda share: None, wanted=wanted)
    return encoded.spectra, run.decode(VOXELS, wanted, encoded, lambda share: None)


def encoded(run: NetworkPass, keep: bool = True) -> Encoded:
    return run.encode(VOXELS, lambda share: None, keep=keep)


def assert_same_spectra(found: Mapping[str, LayerSpectrum], expected: Mapping[str, LayerSpectrum]) -> None:
    assert found.keys() == expected.keys()
    for layer, spectrum in expected.items():
        assert found[layer].voxels == spectrum.voxels
        np.testing.assert_allclose(found[layer].singular_values, spectrum.singular_values, rtol=1e-4)
        np.testing.assert_allclose(found[layer].channel_means, spectrum.channel_means, rtol=1e-4, atol=1e-6)


class SmallMemory(TorchBackend):
    """The tiny network on a device that holds windows of at most ``room`` values."""

    def __init__(self, room: int, error: Exception, network: SegmentationNetwork | None = None) -> None:
        super().__init__(network or tiny_network(), CPU)
        self.room, self.error, self.failures = room, error, 0

    def first(self, stage: str, window: Tensor, pad_z: bool) -> Tensor:
        """Fail on large windows."""
        if window.numel() > self.room:
            self.failures += 1
            raise self.error
        return super().first(stage, window, pad_z)


@pytest.mark.usefixtures("full_precision")
@pytest.mark.parametrize("task", tiny_manifest().tasks, ids=lambda task: task.name)
@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_labels_are_those_of_the_task_s_own_channels_at_its_temperature(task: TaskInfo, temperature: float) -> None:
    padded = np.pad(VOXELS, [(0, 1), (0, 1), (0, 0)])
    with torch.no_grad():
        logits = tiny_network()(torch.from_numpy(padded)[None, None])[0, task.channels, :9, :11, :90]
    shares = torch.softmax(logits / temperature, dim=0)
    found = labelled(new_pass(), replace(task, temperature=temperature))[1]
    np.testing.assert_array_equal(found.index, shares.argmax(dim=0).numpy())
    np.testing.assert_allclose(found.confidence, shares.amax(dim=0).numpy(), atol=1e-4)


@pytest.mark.parametrize("keep_bytes", [0, 50_000, 10**9])
def test_labels_do_not_tell_what_was_kept_from_the_check(keep_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_pass, "KEPT_BYTES", keep_bytes)
    spectra, expected = labelled(new_pass())
    run = new_pass()
    first = encoded(run)
    assert len(first.kept) == {0: 0, 50_000: 1, 10**9: 2}[keep_bytes]
    again, found = labelled(run, encoded=first)
    assert again is first.spectra
    assert_same_spectra(first.spectra, spectra)
    np.testing.assert_array_equal(found.index, expected.index)
    np.testing.assert_allclose(found.uncertainty, expected.uncertainty, atol=1e-5)


@pytest.mark.parametrize(
    "error",
    [MemoryError(), RuntimeError("CUDA out of memory. Tried to allocate"), RuntimeError("can't allocate memory")],
    ids=["python", "cuda", "cpu"],
)
@pytest.mark.parametrize(("room", "tiled"), [(50_000, False), (12_000, True)])
def test_when_memory_runs_out_smaller_parts_give_the_same_result_and_the_user_is_told(
    error: Exception, room: int, tiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network_pass, "SMALLEST_TILE_VOXELS", 3_000)
    tiles: list[int] = []
    plain = network_pass.make_tiles

    def make_tiles(*arguments: object) -> object:
        tiles.append(1)
        return plain(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(network_pass, "make_tiles", make_tiles)
    spectra, expected = labelled(new_pass(layers=LAYERS))
    backend = SmallMemory(room, error)
    run = new_pass(backend, layers=LAYERS)
    found_spectra, found = labelled(run)
    assert backend.failures > 0
    assert bool(tiles) == tiled
    assert run.notes == [network_pass.IN_PARTS]
    assert_same_spectra(found_spectra, spectra)
    assert (found.index == expected.index).mean() > 0.999  # a tie may fall the other way by rounding
    np.testing.assert_allclose(found.uncertainty, expected.uncertainty, atol=2e-3)
    assert_same_spectra(encoded(new_pass(SmallMemory(room, error), layers=LAYERS)).spectra, spectra)


def test_a_check_kept_for_the_labels_survives_a_lack_of_memory() -> None:
    expected = labelled(new_pass())[1]
    backend = SmallMemory(10**9, MemoryError())
    run = new_pass(backend)
    first = encoded(run)
    backend.room = 50_000
    found = labelled(run, encoded=first)[1]
    assert backend.failures > 0
    np.testing.assert_array_equal(found.index, expected.index)


def test_when_the_card_is_too_small_the_processor_takes_over_and_the_user_is_told() -> None:
    card, expected = SmallMemory(0, RuntimeError("CUDA out of memory")), labelled(new_pass())[1]
    run = new_pass(card, TorchBackend(tiny_network(), CPU))
    found = labelled(run)[1]
    np.testing.assert_array_equal(found.index, expected.index)
    assert any("was too small" in note for note in run.notes)


def test_when_not_even_small_tiles_fit_the_user_is_told_what_to_do() -> None:
    backend = SmallMemory(0, MemoryError())
    with pytest.raises(ResourceError, match="Close other programs"):
        labelled(new_pass(backend))
    assert backend.failures > 3


def test_another_error_is_not_taken_for_a_lack_of_memory() -> None:
    backend = SmallMemory(0, RuntimeError("sizes do not match"))
    with pytest.raises(RuntimeError, match="sizes do not match"):
        labelled(new_pass(backend))
    assert backend.failures == 1


def test_spectra_alone_are_those_of_the_whole_pass() -> None:
    spec = signature_spec(ARCHITECTURE, "multilayer")
    alone, (whole, _) = spectra_of(tiny_network(), VOXELS, spec, CPU), labelled(new_pass(layers=LAYERS))
    assert set(alone) == set(LAYERS)
    for layer in LAYERS:
        np.testing.assert_array_equal(alone[layer].singular_values, whole[layer].singular_values)


class EncoderOnly(TorchBackend):
    """Refuses to run the decoder."""

    def first(self, stage: str, window: Tensor, pad_z: bool) -> Tensor:
        """Compute the encoder's stages only."""
        assert stage.startswith("encoder"), "the decoder was run"
        return super().first(stage, window, pad_z)


def test_a_check_on_encoder_layers_does_not_run_the_decoder() -> None:
    backend = EncoderOnly(tiny_network(), CPU)
    expected = labelled(new_pass())[0]
    assert_same_spectra(encoded(new_pass(backend), keep=False).spectra, expected)
    with pytest.raises(AssertionError, match="decoder"):
        encoded(new_pass(backend, layers=("encoder0", "decoder0")))


class NoNetwork(TorchBackend):
    """Refuses to run any stage."""

    def first(self, stage: str, window: Tensor, pad_z: bool) -> Tensor:
        """Fail."""
        raise AssertionError("the network was run")


def test_a_signature_of_the_image_alone_needs_no_network_for_the_check() -> None:
    spec = SignatureSpec("composite", (), 1e-4)
    run = NetworkPass([NoNetwork(tiny_network(), CPU)], ARCHITECTURE, spec)
    assert run.encode(VOXELS, lambda share: None).spectra == {}
