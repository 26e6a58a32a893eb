"""One pass over an image, and what happens when memory runs out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from MultiTaskSegLib.runtime.errors import Cancelled, ModelError, ResourceError
from MultiTaskSegLib.runtime.labels.label_stream import RunningLabels
from MultiTaskSegLib.runtime.machine.memory_shortage import is_card_short
from MultiTaskSegLib.runtime.model.manifest import TaskInfo
from MultiTaskSegLib.runtime.network.architecture import SegmentationNetwork
from MultiTaskSegLib.runtime.network.backend import Backend, TorchBackend
from MultiTaskSegLib.runtime.network.compiled_backend import CompiledBackend
from MultiTaskSegLib.runtime.network.parts import Parts
from MultiTaskSegLib.runtime.ood.signature import SignatureSpec
from MultiTaskSegLib.runtime.ood.spectrum import LayerSpectrum
from MultiTaskSegLib.runtime.prediction import network_pass, pass_parts
from MultiTaskSegLib.runtime.prediction.network_pass import Encoded, NetworkPass, Wanted
from MultiTaskSegLib.runtime.predictor import Predictor
from Testing.runtime.labels.background_shares import backgrounds
from Testing.runtime.prediction.placed_model import noise, placed_model, profile
from Testing.runtime.tiny_model import ARCHITECTURE, tiny_manifest, tiny_network

CPU = torch.device("cpu")
LAYERS = ARCHITECTURE.layer_names
ENCODER = ("encoder0", "encoder1")
VOXELS = np.random.default_rng(1).random((9, 11, 90), dtype=np.float32)
TASK = tiny_manifest().tasks[0]
# With rows enough for strips with their halo of 10 rows.
TALL = np.random.default_rng(2).random((9, 81, 30), dtype=np.float32)
TALL_TASK = replace(TASK, single_component=True, surface_temperature=2.0)


def new_pass(backend: Backend | None = None, layers: tuple[str, ...] = ENCODER) -> NetworkPass:
    backend = backend or TorchBackend(tiny_network(), CPU)
    return NetworkPass(backend, ARCHITECTURE, SignatureSpec("multilayer", layers, 1e-4))


def labelled(
    run: NetworkPass, task: TaskInfo = TASK, encoded: Encoded | None = None, voxels: np.ndarray = VOXELS
) -> tuple[Mapping[str, LayerSpectrum], RunningLabels]:
    z, y, x = voxels.shape
    wanted = Wanted(task, (z, y, x))
    encoded = encoded or run.encode(voxels, lambda share: None, wanted=wanted)
    return encoded.spectra, run.decode(voxels, wanted, encoded, lambda share: None)


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
    monkeypatch.setattr(pass_parts, "KEPT_BYTES", keep_bytes)
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
@pytest.mark.parametrize(("room", "in_strips"), [(100_000, False), (40_000, True)])
def test_when_memory_runs_out_smaller_parts_give_the_same_result_and_the_user_is_told(
    error: Exception, room: int, in_strips: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[Parts] = []
    plain = NetworkPass._computed

    def computed(self: NetworkPass, parts: Parts, run: Any) -> Any:
        """Take note of the parts."""
        taken.append(parts)
        return plain(self, parts, run)

    spectra, expected = labelled(new_pass(layers=LAYERS), TALL_TASK, voxels=TALL)
    monkeypatch.setattr(NetworkPass, "_computed", computed)
    backend = SmallMemory(room, error)
    run = new_pass(backend, layers=LAYERS)
    found_spectra, found = labelled(run, TALL_TASK, voxels=TALL)
    assert backend.failures > 0
    assert (taken[-1].rows is not None) == in_strips
    assert len(set(taken)) == len(taken), "every attempt is another one"
    assert run.notes == [network_pass.IN_PARTS]
    assert_same_spectra(found_spectra, spectra)
    np.testing.assert_array_equal(found.index, expected.index)
    np.testing.assert_allclose(found.uncertainty, expected.uncertainty, atol=1e-4)
    np.testing.assert_allclose(backgrounds(found), backgrounds(expected), atol=1e-4)
    again = new_pass(SmallMemory(room, error), layers=LAYERS)
    assert_same_spectra(again.encode(TALL, lambda share: None, keep=True).spectra, spectra)


def test_a_check_kept_for_the_labels_survives_a_lack_of_memory() -> None:
    expected = labelled(new_pass())[1]
    backend = SmallMemory(10**9, MemoryError())
    run = new_pass(backend)
    first = encoded(run)
    backend.room = 50_000
    found = labelled(run, encoded=first)[1]
    assert backend.failures > 0
    np.testing.assert_array_equal(found.index, expected.index)


def test_when_not_even_the_smallest_parts_fit_the_user_is_told_what_to_do() -> None:
    backend = SmallMemory(0, MemoryError())
    with pytest.raises(ResourceError, match=r"not enough memory on cpu.*Close other programs"):
        labelled(new_pass(backend), voxels=TALL)
    assert backend.failures > 3


def test_a_shortage_of_main_memory_beside_a_card_is_not_called_the_card_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NetworkPass, "device", torch.device("cuda"))
    for error, words in (
        (MemoryError(), "^there is not enough memory in this computer for the image"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "^there is not enough memory in this computer"),
        (RuntimeError("CUDA out of memory"), "^not enough memory on cuda even"),
    ):
        with pytest.raises(ResourceError, match=words) as told:
            labelled(new_pass(SmallMemory(0, error)))
        assert is_card_short(told.value) is ("cuda" in words)


class Failing(CompiledBackend):
    """A back end beside plain torch that fails when a stage is computed for the n-th time, and from then on."""

    def __init__(self, error: Exception, number: int) -> None:
        super().__init__("special", TorchBackend(tiny_network(), CPU), lambda module, channels, context: module)
        self.error, self.left = error, number

    def first(self, stage: str, window: Tensor, pad_z: bool) -> Tensor:
        """Compute or fail."""
        self.left -= 1
        if self.left < 0:
            raise self.error
        return super().first(stage, window, pad_z)


class Unknown(Exception):
    """An error of a package's own."""


@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize("error", [RuntimeError("can't execute on this CPU"), Unknown(), MemoryError()])
def test_where_a_back_end_fails_plain_torch_takes_over_and_the_user_is_told(error: Exception, number: int) -> None:
    spectra, expected = labelled(new_pass(layers=LAYERS))
    run = new_pass(Failing(error, number), layers=LAYERS)
    found_spectra, found = labelled(run)
    np.testing.assert_array_equal(found.index, expected.index)
    assert_same_spectra(found_spectra, spectra)
    note = "the back end special failed, so plain torch was used, which may take longer"
    assert [n for n in run.notes if n != network_pass.IN_PARTS] == [note]
    assert (network_pass.IN_PARTS in run.notes) == isinstance(error, MemoryError)
    assert run.backend.name == "torch"


def test_plain_torch_stays_for_the_images_that_follow() -> None:
    backend = Failing(RuntimeError("no kernel"), 0)
    volume = noise((9, 11, 30))
    predictor = Predictor(placed_model(volume, {"near": (profile(2.0), 2.0)}), "cpu", "torch")
    predictor._backend = backend
    note = ("the back end special failed, so plain torch was used, which may take longer",)
    assert [predictor.check(volume).warnings for _ in range(3)] == [note] * 3
    assert note[0] in predictor.segment(volume).warnings
    assert backend.left == -1


def test_where_memory_is_to_be_spared_plain_torch_computes_and_other_images_still_get_the_fastest() -> None:
    volume = noise((9, 11, 30))
    predictor = Predictor(placed_model(volume, {"near": (profile(2.0), 2.0)}), "cpu", "torch")
    fast = Failing(RuntimeError("never"), 10**9)
    predictor._backend = fast
    expected = predictor.check(volume)
    used, predictor.spares_memory = fast.left, True
    assert predictor.check(volume).score == pytest.approx(expected.score)
    assert fast.left == used < 10**9
    predictor.spares_memory = False
    predictor.check(volume)
    assert fast.left < used


@pytest.mark.parametrize(("name", "is_told"), [("openvino", True), ("torch", False), ("auto", False)])
def test_a_back_end_that_was_asked_for_and_not_used_for_want_of_memory_is_told(
    name: str, is_told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MULTITASKSEG_BACKEND", raising=False)
    volume = noise((9, 11, 30))
    predictor = Predictor(placed_model(volume, {"near": (profile(2.0), 2.0)}), "cpu", name)
    predictor.spares_memory = True
    told = predictor.check(volume).warnings
    assert ("memory was short, so plain torch was used, not openvino" in told) is is_told


class NotFinite(CompiledBackend):
    """A back end beside plain torch whose results of one stage hold a number that is not finite."""

    def __init__(self, stage: str, value: float, plain: TorchBackend | None = None) -> None:
        super().__init__("special", plain or TorchBackend(tiny_network(), CPU), lambda module, *_: module)
        self.stage, self.value = stage, value

    def second(self, stage: str, window: Tensor, added: Tensor, pad_z: bool) -> Tensor:
        """Spoil one number."""
        found = super().second(stage, window, added, pad_z)
        if stage == self.stage:
            found[0, 0, 0, 3, 4] = self.value
        return found


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("stage", ["encoder0", "encoder1", "decoder0"])
@pytest.mark.parametrize("is_known", [True, False])
def test_where_a_back_end_makes_numbers_that_are_not_finite_plain_torch_takes_over(
    stage: str, value: float, is_known: bool
) -> None:
    spectra, expected = labelled(new_pass())
    run = new_pass(NotFinite(stage, value))
    found_spectra, found = labelled(run, encoded=None if is_known else encoded(run))
    np.testing.assert_array_equal(found.index, expected.index)
    assert_same_spectra(found_spectra, spectra)
    assert run.notes == ["the back end special failed, so plain torch was used, which may take longer"]
    assert run.backend.name == "torch"


def test_numbers_that_are_not_finite_in_plain_torch_either_are_no_fault_of_a_back_end() -> None:
    class Overflowing(TorchBackend):
        """As weights make it that are too large."""

        def first(self, stage: str, window: Tensor, pad_z: bool) -> Tensor:
            """Spoil all."""
            return super().first(stage, window, pad_z) * np.nan

    backend = NotFinite("encoder0", np.nan, Overflowing(tiny_network(), CPU))
    run = new_pass(backend)
    with pytest.raises(ModelError, match="not finite"):
        labelled(run)
    assert run.backend is backend
    assert run.notes == []


def test_a_back_end_that_failed_is_not_told_as_a_lack_of_memory_in_the_progress() -> None:
    volume = noise((9, 11, 30))
    predictor = Predictor(placed_model(volume, {"near": (profile(2.0), 2.0)}), "cpu", "torch")
    predictor._backend = Failing(RuntimeError("no kernel"), 0)
    steps: set[str] = set()
    for _ in range(2):
        predictor.check(volume, lambda share, step: steps.add(step))
    assert steps == {"preparing", "network"}


def test_an_error_of_whoever_watches_is_no_failure_of_the_back_end() -> None:
    def cancel(share: float) -> None:
        raise Cancelled("the user stopped the run")

    backend = Failing(RuntimeError("never"), 10**9)
    run = new_pass(backend)
    with pytest.raises(Cancelled):
        run.encode(VOXELS, cancel)
    assert run.backend is backend


def test_another_error_is_not_taken_for_a_lack_of_memory() -> None:
    backend = SmallMemory(0, RuntimeError("sizes do not match"))
    with pytest.raises(RuntimeError, match="sizes do not match"):
        labelled(new_pass(backend))
    assert backend.failures == 1


def test_spectra_alone_are_those_of_the_whole_pass() -> None:
    alone = new_pass(layers=LAYERS).encode(VOXELS, lambda share: None).spectra
    whole, _ = labelled(new_pass(layers=LAYERS))
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
    run = NetworkPass(NoNetwork(tiny_network(), CPU), ARCHITECTURE, spec)
    assert run.encode(VOXELS, lambda share: None).spectra == {}
