"""Convolutions over maps of two slices: the same values, and gradients that are right in bfloat16, too."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from trainer.training.two_slice_maps import guard_two_slice_maps


def convolution(kernel: tuple[int, int, int] = (3, 3, 3)) -> nn.Conv3d:
    torch.manual_seed(0)
    padding = tuple(n // 2 for n in kernel)
    return nn.Conv3d(16, 16, kernel, padding=padding).to(memory_format=torch.channels_last_3d)  # type: ignore[arg-type, call-overload, no-any-return]


def maps(slices: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(slices)
    return torch.rand(2, 16, slices, 16, 16, generator=generator).contiguous(memory_format=torch.channels_last_3d)


def gradient(module: nn.Conv3d, x: torch.Tensor, half: bool) -> torch.Tensor:
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
        y = module(x)
    y.float().square().mean().backward()
    assert module.weight.grad is not None
    return module.weight.grad


@pytest.mark.parametrize("slices", [1, 2, 3, 4])
def test_values_and_gradients_are_those_of_the_plain_convolution(slices: int) -> None:
    plain = convolution()
    guarded = copy.deepcopy(plain)
    guard_two_slice_maps(guarded)
    torch.testing.assert_close(guarded(maps(slices)), plain(maps(slices)))
    torch.testing.assert_close(gradient(guarded, maps(slices), False), gradient(plain, maps(slices), False))


@pytest.mark.parametrize("slices", [1, 2, 3, 4])
def test_gradients_in_bfloat16_are_those_in_float32_but_for_rounding(slices: int) -> None:
    exact = gradient(convolution(), maps(slices), False)
    guarded = convolution()
    guard_two_slice_maps(guarded)
    error = (gradient(guarded, maps(slices), True) - exact).norm() / exact.norm()
    assert error < 0.02


def test_convolutions_that_see_no_neighbour_along_z_are_left_alone() -> None:
    module = convolution((1, 3, 3))
    guard_two_slice_maps(module)
    assert not module._forward_hooks


def test_a_copy_guards_itself_and_not_the_original() -> None:
    module = convolution()
    guard_two_slice_maps(module)
    twin = copy.deepcopy(module)
    assert module(maps(2)).shape[2] == 2
    assert twin(maps(4)).shape[2] == 4
    assert module(maps(2)).shape[2] == 2
