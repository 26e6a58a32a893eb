"""Lower precisions: near to float32, taken only where permitted and where the computer has them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from MultiTaskSegLib.runtime.network import backend_choice, precision
from MultiTaskSegLib.runtime.network.backend import Backend, TorchBackend
from MultiTaskSegLib.runtime.network.backend_choice import AUTO, TORCH, VARIABLE, choose_backend, reduced_candidates
from MultiTaskSegLib.runtime.network.convolution import direct_convolution
from MultiTaskSegLib.runtime.network.network_stream import NetworkStream
from MultiTaskSegLib.runtime.network.precision import LOWER_PRECISIONS, hardware_precisions
from MultiTaskSegLib.runtime.network.reduced_backend import ReducedBackend
from Testing.runtime.tiny_model import ARCHITECTURE, tiny_network

CPU = torch.device("cpu")
VOXELS = np.random.default_rng(1).random((6, 12, 10), dtype=np.float32)
# A rounding of so many bits in each of the five products on the way of a voxel.
ROUNDINGS = {"bfloat16": 5 * 2**-8, "float16": 5 * 2**-11}


@pytest.fixture(autouse=True)
def _no_override(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(backend_choice, "available_bytes", lambda: None)
    monkeypatch.setattr(backend_choice, "is_openvino_usable", lambda: False)


@torch.inference_mode()
def logits(backend: Backend) -> Tensor:
    slabs = [backend.head(slab, slice(None)) for slab in NetworkStream(backend, ARCHITECTURE, VOXELS).decode()]
    return torch.cat(slabs, dim=1)


@pytest.mark.parametrize("lower", LOWER_PRECISIONS)
def test_a_lower_precision_differs_by_its_rounding_and_maps_stay_in_float32(lower: Any) -> None:
    plain = TorchBackend(tiny_network(), CPU)
    reduced = ReducedBackend(plain, lower)
    expected, found = logits(plain), logits(reduced)
    error = float((found - expected).abs().max() / expected.abs().max())
    assert 0 < error < ROUNDINGS[lower]
    assert found.dtype == torch.float32
    assert reduced.first("encoder0", torch.ones(1, 1, 3, 4, 4), True).dtype == torch.float32
    assert (reduced.precision, plain.precision) == (lower, "float32")
    assert reduced.plain is plain


def permitted_here(monkeypatch: pytest.MonkeyPatch, *precisions: str) -> None:
    """A processor that has these."""
    monkeypatch.setattr(backend_choice, "hardware_precisions", lambda device: precisions)


def slow_or_fast(monkeypatch: pytest.MonkeyPatch, plain_s: float) -> None:
    """Let plain torch take so long in a trial, and everything else a second."""
    trial = backend_choice._trial
    monkeypatch.setattr(backend_choice, "_trial", lambda b, n: (plain_s if b.name == TORCH else 1.0, trial(b, n)[1]))


@pytest.mark.parametrize(
    ("permitted", "has", "plain_s", "expected"),
    [
        (("bfloat16",), ("bfloat16",), 2.0, "torch-bfloat16"),
        ((), ("bfloat16",), 2.0, TORCH),
        (("bfloat16",), (), 2.0, TORCH),
        (("bfloat16",), ("float16",), 2.0, TORCH),
        (("bfloat16",), ("bfloat16",), 0.5, TORCH),
    ],
    ids=["all speaks for it", "not permitted", "no such processor", "another one", "slower"],
)
def test_a_lower_precision_is_taken_only_where_permitted_there_and_faster(
    permitted: Any, has: tuple[str, ...], plain_s: float, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    permitted_here(monkeypatch, *has)
    slow_or_fast(monkeypatch, plain_s)
    memory = tmp_path / "backends.json"
    for _ in range(2):  # measured, and remembered
        assert choose_backend(tiny_network(), "digest", CPU, AUTO, memory, permitted).name == expected
    assert choose_backend(tiny_network(), "digest", CPU, TORCH, memory, permitted).name == TORCH


@pytest.mark.parametrize("wrong", [0.5, float("nan")])
def test_instructions_that_compute_something_else_are_not_used(
    wrong: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    permitted_here(monkeypatch, "bfloat16")
    slow_or_fast(monkeypatch, 2.0)
    second: Callable[..., Tensor] = ReducedBackend.second
    monkeypatch.setattr(ReducedBackend, "second", lambda *arguments: second(*arguments) * (1 + wrong))
    chosen = choose_backend(tiny_network(), "digest", CPU, AUTO, tmp_path / "backends.json", ("bfloat16",))
    assert chosen.name == TORCH


def test_libraries_that_are_there_are_offered_in_the_precision_too(monkeypatch: pytest.MonkeyPatch) -> None:
    permitted_here(monkeypatch, "bfloat16")
    monkeypatch.setattr(backend_choice, "is_openvino_usable", lambda: True)
    plain = TorchBackend(tiny_network(), CPU)
    assert list(reduced_candidates(plain, ("bfloat16", "float16"))) == ["torch-bfloat16", "openvino-bfloat16"]
    assert not reduced_candidates(plain, ())


@pytest.mark.parametrize(
    ("answers", "expected"),
    [({"_is_amx_tile_supported": True}, ("bfloat16",)), ({"_is_avx512_bf16_supported": True}, ("bfloat16",)), ({}, ())],
)
def test_the_processor_is_asked_for_its_instructions(
    answers: dict[str, bool], expected: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in precision.PROCESSOR_QUESTIONS:
        monkeypatch.setattr(torch.cpu, name, lambda name=name: answers.get(name, False), raising=False)
    assert hardware_precisions(CPU) == expected
    for name in precision.PROCESSOR_QUESTIONS:
        monkeypatch.delattr(torch.cpu, name)
    assert hardware_precisions(CPU) == (), "an older torch has no such question"


@pytest.mark.parametrize(
    ("capability", "expected"), [((6, 1), ()), ((7, 5), ("float16",)), ((9, 0), ("bfloat16", "float16"))]
)
def test_a_card_has_what_its_generation_has(
    capability: tuple[int, int], expected: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert hardware_precisions(torch.device("cuda")) == expected
    assert hardware_precisions(torch.device("mps")) == ()


def test_a_processor_without_a_convolution_in_16_bits_is_not_asked_for_one() -> None:
    for dtype in (torch.bfloat16, torch.float16):
        direct = direct_convolution(dtype)
        values = torch.ones(1, 1, 2, 3, 3, dtype=dtype), torch.ones(1, 1, 1, 3, 3, dtype=dtype)
        if direct is not None:
            assert float(direct(*values, None, (0, 0, 0), (1, 1, 1), (1, 1, 1), 1).max()) == 9
