"""Back ends agree with plain torch, the fastest is remembered, and a wrong one is refused."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from MultiTaskSegLib.runtime.errors import ResourceError, UsageError
from MultiTaskSegLib.runtime.network import backend_choice
from MultiTaskSegLib.runtime.network.backend import Backend, TorchBackend
from MultiTaskSegLib.runtime.network.backend_choice import (
    AUTO,
    TORCH,
    VARIABLE,
    agrees,
    cache_folder,
    choose_backend,
    prospect_of,
    room_bytes,
)
from MultiTaskSegLib.runtime.network.compiled_backend import CompiledBackend, openvino_backend
from MultiTaskSegLib.runtime.network.network_stream import NetworkStream
from MultiTaskSegLib.runtime.network.prospect import PLAIN, Prospect
from MultiTaskSegLib.runtime.network.quiet_openvino import OPENVINO
from Testing.runtime.random_network import ARCHITECTURES, random_network
from Testing.runtime.tiny_model import tiny_network

CPU = torch.device("cpu")
TRIED = Prospect(is_compiled=True, builds=1, is_tried=True)
ROOM_BYTES = room_bytes(tiny_network().architecture, TRIED)
# Where it is known who is the fastest, nothing is tried.
LEAST_BYTES = room_bytes(tiny_network().architecture, Prospect(is_compiled=True, builds=1))


class Named(TorchBackend):
    """Plain torch under another name, with an error added to every stage."""

    def __init__(self, name: str, error: float = 0.0) -> None:
        super().__init__(tiny_network(), CPU, name=name)
        self.error, self.calls = error, 0

    def second(self, stage: str, window: Tensor, added: Tensor, pad_z: bool) -> Tensor:
        """Plain torch and the error."""
        self.calls += 1
        return super().second(stage, window, added, pad_z) + self.error


@pytest.fixture(autouse=True)
def _no_override(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(backend_choice, "available_bytes", lambda: None)
    monkeypatch.setattr(backend_choice, "is_address_space_limited", lambda: False)


def offer(backend: Backend, seconds: dict[str, float], monkeypatch: pytest.MonkeyPatch) -> None:
    """Make ``backend`` the only candidate and say how long each takes."""
    monkeypatch.setattr(backend_choice, "_candidates", lambda plain: {backend.name: lambda: backend})
    plain = backend_choice._trial
    monkeypatch.setattr(
        backend_choice, "_trial", lambda tried, network: (seconds[tried.name], plain(tried, network)[1])
    )


@pytest.mark.parametrize(("other_s", "expected"), [(0.5, "other"), (2.0, TORCH)])
def test_the_faster_one_is_taken_and_remembered(
    other_s: float, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, memory = Named("other"), tmp_path / "cache" / "backends.json"
    offer(other, {"other": other_s, TORCH: 1.0}, monkeypatch)
    assert choose_backend(tiny_network(), "digest", CPU, AUTO, memory).name == expected
    calls = other.calls
    assert calls > 0
    assert choose_backend(tiny_network(), "digest", CPU, AUTO, memory).name == expected
    assert other.calls == calls, "a remembered choice is not measured again"
    choose_backend(tiny_network(), "another model", CPU, AUTO, memory)
    assert other.calls > calls
    assert set(json.loads(memory.read_text()).values()) == {expected}


def test_a_fast_one_that_does_not_agree_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offer(Named("other", error=0.05), {"other": 0.1, TORCH: 1.0}, monkeypatch)
    memory = tmp_path / "backends.json"
    assert choose_backend(tiny_network(), "digest", CPU, AUTO, memory).name == TORCH
    monkeypatch.setattr(backend_choice, "NAMES", (*backend_choice.NAMES, "other"))
    with pytest.raises(ResourceError, match="does not agree"):
        choose_backend(tiny_network(), "digest", CPU, "other", memory)


@pytest.mark.parametrize("content", ["{", "[]", '{"a": 1}', "\0"])
def test_a_damaged_memory_is_as_good_as_none(content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = tmp_path / "backends.json"
    memory.write_text(content)
    offer(Named("other"), {"other": 0.1, TORCH: 1.0}, monkeypatch)
    assert choose_backend(tiny_network(), "digest", CPU, AUTO, memory).name == "other"


def test_a_folder_that_cannot_be_written_to_does_not_stop_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("not a folder")
    offer(Named("other"), {"other": 0.1, TORCH: 1.0}, monkeypatch)
    assert choose_backend(tiny_network(), "digest", CPU, AUTO, tmp_path / "file" / "b.json").name == "other"


def test_a_broken_package_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Backend:
        raise RuntimeError("no such plugin")

    monkeypatch.setattr(backend_choice, "_candidates", lambda plain: {"broken": broken})
    assert choose_backend(tiny_network(), "digest", CPU, AUTO, tmp_path / "b.json").name == TORCH


@pytest.mark.parametrize(
    ("free_bytes", "expected"), [(0, TORCH), (LEAST_BYTES - 1, TORCH), (ROOM_BYTES, OPENVINO), (None, OPENVINO)]
)
@pytest.mark.parametrize("is_remembered", [True, False])
def test_with_little_free_memory_nothing_is_compiled_and_nothing_remembered(
    free_bytes: int | None, expected: str, is_remembered: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(Named(OPENVINO), {OPENVINO: 0.1, TORCH: 1.0}, monkeypatch)
    memory = tmp_path / "b.json"
    if is_remembered:
        choose_backend(tiny_network(), "digest", CPU, AUTO, memory)
    monkeypatch.setattr(backend_choice, "available_bytes", lambda: free_bytes)
    assert choose_backend(tiny_network(), "digest", CPU, AUTO, memory).name == expected
    assert memory.exists() == (is_remembered or expected == OPENVINO)


def test_what_may_compute_is_told_as_it_will_be_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory, plain = tmp_path / "b.json", TorchBackend(tiny_network(), CPU)

    def told(name: str = AUTO) -> Prospect:
        return prospect_of(plain, "digest", name, memory)

    offer(Named(OPENVINO), {OPENVINO: 0.1, TORCH: 1.0}, monkeypatch)
    assert told() == told(OPENVINO) == TRIED
    assert told(TORCH) == PLAIN
    choose_backend(tiny_network(), "digest", CPU, AUTO, memory)
    assert told() == Prospect(is_compiled=True, builds=1), "who won need not be tried again"
    memory.write_text(memory.read_text().replace(OPENVINO, TORCH))
    assert told() == PLAIN
    monkeypatch.setattr(backend_choice, "_candidates", lambda plain: {})
    memory.unlink()
    assert told() == told(OPENVINO) == PLAIN


@pytest.mark.parametrize("is_limited", [False, True])
def test_where_addresses_are_counted_nothing_is_compiled_or_remembered(
    is_limited: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory, plain = tmp_path / "b.json", TorchBackend(tiny_network(), CPU)
    monkeypatch.setattr(backend_choice, "is_openvino_usable", lambda: True)
    monkeypatch.setattr(backend_choice, "hardware_precisions", lambda device: ("bfloat16",))
    monkeypatch.setattr(backend_choice, "openvino_backend", lambda plain, *precision: Named(OPENVINO))
    monkeypatch.setattr(backend_choice, "is_address_space_limited", lambda: is_limited)
    assert prospect_of(plain, "digest", AUTO, memory) == (PLAIN if is_limited else TRIED)
    choose_backend(tiny_network(), "digest", CPU, AUTO, memory)
    assert memory.exists() is not is_limited
    reduced = backend_choice.reduced_candidates(plain, ["bfloat16"])
    assert any(name.startswith(OPENVINO) for name in reduced) is not is_limited
    if is_limited:
        with pytest.raises(ResourceError, match=r"ulimit -v.*Use torch"):
            choose_backend(tiny_network(), "digest", CPU, OPENVINO, memory)


def test_what_is_best_without_openvino_is_not_remembered_for_those_who_may_use_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory, plain = tmp_path / "b.json", TorchBackend(tiny_network(), CPU)
    monkeypatch.setattr(backend_choice, "hardware_precisions", lambda device: ("bfloat16",))
    monkeypatch.setattr(backend_choice, "is_address_space_limited", lambda: False)
    monkeypatch.setattr(backend_choice, "openvino_backend", lambda plain, *precision: Named(OPENVINO))
    monkeypatch.setattr(backend_choice, "_fastest", lambda _plain, offered, _network: next(iter(offered.values()))())
    found = []
    for is_usable in (True, False, True):
        monkeypatch.setattr(backend_choice, "is_openvino_usable", lambda is_usable=is_usable: is_usable)
        found.append(choose_backend(tiny_network(), "digest", CPU, AUTO, memory, ["bfloat16"]).name)
    assert found == [OPENVINO, "torch-bfloat16", OPENVINO]
    assert prospect_of(plain, "digest", AUTO, memory, ["bfloat16"]).is_tried is False


class Broken(Named):
    """Is built, and then cannot compute: a processor without what it needs, for example."""

    def __init__(self, failure: Exception) -> None:
        super().__init__("broken")
        self.failure = failure

    def first(self, stage: str, window: Tensor, pad_z: bool) -> Tensor:
        """Fail."""
        raise self.failure


class Unknown(Exception):
    """An error of a package's own."""


@pytest.mark.parametrize("failure", [RuntimeError("can't execute on this CPU"), Unknown("no kernel")])
def test_one_that_is_built_but_does_not_compute_is_left_out(
    failure: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend_choice, "_candidates", lambda plain: {"broken": lambda: Broken(failure)})
    memory = tmp_path / "b.json"
    assert choose_backend(tiny_network(), "digest", CPU, AUTO, memory).name == TORCH
    assert set(json.loads(memory.read_text()).values()) == {TORCH}
    monkeypatch.setattr(backend_choice, "NAMES", (*backend_choice.NAMES, "broken"))
    with pytest.raises(ResourceError, match="does not work here"):
        choose_backend(tiny_network(), "digest", CPU, "broken", memory)


@pytest.mark.parametrize("who", ["broken", TORCH])
def test_a_trial_that_runs_out_of_memory_is_made_again_another_time(
    who: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend_choice, "_candidates", lambda plain: {"broken": lambda: Broken(MemoryError())})
    if who == TORCH:
        monkeypatch.setattr(TorchBackend, "first", Broken(MemoryError()).first)
    assert choose_backend(tiny_network(), "digest", CPU, AUTO, tmp_path / "b.json").name == TORCH
    assert not (tmp_path / "b.json").exists()


def test_every_other_back_end_has_plain_torch_to_fall_back_on() -> None:
    plain = TorchBackend(tiny_network(), CPU)
    compiled = CompiledBackend("modules", plain, lambda module, channels, context: module)
    assert compiled.plain is plain
    assert plain.plain is None


def test_the_user_s_word_counts_and_a_wrong_one_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, TORCH)
    assert choose_backend(tiny_network(), "digest", CPU).name == TORCH
    for unknown in ("abacus", "half"):
        monkeypatch.setenv(VARIABLE, unknown)
        with pytest.raises(UsageError, match=rf"{unknown}.*Use one of auto, torch, openvino\."):
            choose_backend(tiny_network(), "digest", CPU)
    assert choose_backend(tiny_network(), "digest", CPU, TORCH).name == TORCH
    monkeypatch.setattr(backend_choice, "_candidates", lambda plain: {})
    with pytest.raises(ResourceError, match="not available"):
        choose_backend(tiny_network(), "digest", CPU, OPENVINO)


def test_agreement_needs_both_labels_and_values() -> None:
    expected = torch.randn((3, 8, 8, 8), generator=torch.Generator().manual_seed(1))
    assert agrees(expected + 1e-6, expected)
    assert not agrees(expected + 0.1, expected), "labels alone are not enough"
    swapped = expected.clone()
    swapped[:, 0, 0, :2] = swapped[:, 0, 0, :2].flip(0)
    assert not agrees(swapped, expected)


@pytest.mark.parametrize(("system", "variable"), [("linux", "XDG_CACHE_HOME"), ("win32", "LOCALAPPDATA")])
def test_the_memory_lies_in_the_user_s_own_cache(
    system: str, variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", system)
    monkeypatch.setenv(variable, str(tmp_path))
    assert cache_folder() == tmp_path / "multitaskseg"
    monkeypatch.delenv(variable)
    assert Path.home() in cache_folder().parents


def maps_of(backend: Backend, name: str, slab_voxels: int) -> Tensor:
    network = random_network(ARCHITECTURES[name])
    voxels = np.random.default_rng(1).random((9, 19, 23), dtype=np.float32)
    with torch.inference_mode():
        stream = NetworkStream(backend, network.architecture, voxels, slab_voxels)
        return torch.cat(list(stream.decode()), dim=2)


@pytest.mark.usefixtures("full_precision")
@pytest.mark.parametrize("slab_voxels", [1, 10**9])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_stages_as_modules_give_what_plain_torch_gives(name: str, slab_voxels: int) -> None:
    plain = TorchBackend(random_network(ARCHITECTURES[name]), CPU)
    modules = CompiledBackend("modules", plain, lambda module, channels, context: module)
    torch.testing.assert_close(
        maps_of(modules, name, slab_voxels), maps_of(plain, name, slab_voxels), atol=1e-5, rtol=1e-4
    )


@pytest.mark.skipif(find_spec("openvino") is None, reason="OpenVINO is not installed")
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_openvino_gives_what_plain_torch_gives_in_thin_and_in_thick_slabs(name: str) -> None:
    plain = TorchBackend(random_network(ARCHITECTURES[name]), CPU)
    compiled = openvino_backend(plain)  # once for both: compiling takes most of the time
    for slab_voxels in (1, 10**9):
        expected = maps_of(plain, name, slab_voxels)
        torch.testing.assert_close(maps_of(compiled, name, slab_voxels), expected, atol=1e-3, rtol=1e-3)
