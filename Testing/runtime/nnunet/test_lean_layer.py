"""Layers with little memory give what the plain ones give."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from MultiTaskSegLib.runtime.nnunet.lean_layer import LAYOUT, Finer, convolved, instance_normalised
from Testing.runtime.imported.imported_models import seeded

LAYERS = {
    2: (nn.Conv2d, nn.ConvTranspose2d, nn.InstanceNorm2d),
    3: (nn.Conv3d, nn.ConvTranspose3d, nn.InstanceNorm3d),
}


@pytest.mark.parametrize("values", [1, 500, 10**9])
@pytest.mark.parametrize(("dimension", "kernel", "step"), [(3, 3, 2), (3, (1, 3, 3), (1, 2, 2)), (2, 5, 2), (3, 5, 3)])
def test_a_finer_map_beside_another_one_is_convolved_as_if_they_were_one(
    dimension: int, kernel: int | tuple[int, ...], step: int | tuple[int, ...], values: int
) -> None:
    convolution, transposed, _ = LAYERS[dimension]
    padding = kernel // 2 if isinstance(kernel, int) else tuple(side // 2 for side in kernel)
    own = convolution(7, 4, kernel, padding=padding).requires_grad_(False)
    up = transposed(5, 3, step, step).requires_grad_(False)
    low = seeded((1, 5, *(4, 3, 5)[:dimension]))
    finer = up(low)
    skip = seeded((1, 4, *finer.shape[2:]), 1)
    maps, lists = [skip], [Finer(up, low)]
    found = convolved(own, maps, lists, values)
    torch.testing.assert_close(found, own(torch.cat([finer, skip], 1)), rtol=1e-4, atol=1e-5)
    assert (maps, lists) == ([], [])


@pytest.mark.parametrize("slope", [None, 0.01])
@pytest.mark.parametrize("is_last", [False, True])
@pytest.mark.parametrize(("dimension", "channels"), [(2, 3), (3, 3), (3, 1), (3, 70)])
def test_statistics_are_those_of_the_instance(
    dimension: int, channels: int, slope: float | None, is_last: bool
) -> None:
    norm = LAYERS[dimension][2](channels, affine=True).requires_grad_(False)
    norm.weight.copy_(seeded((channels,), 2))
    norm.bias.copy_(seeded((channels,), 3))
    maps = 3 * seeded((1, channels, *(31, 40, 53)[:dimension])) + 20
    exact = functional.instance_norm(maps.double(), weight=norm.weight.double(), bias=norm.bias.double())
    wanted = exact if slope is None else functional.leaky_relu(exact, slope)
    given = maps.contiguous(memory_format=LAYOUT[dimension]) if is_last else maps.clone()
    found = instance_normalised(given, norm, slope)
    # torch's sums of a whole batch in single precision are wrong by a hundred times as much.
    torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=1e-5)


def test_several_images_at_once_have_statistics_of_their_own() -> None:
    norm = nn.InstanceNorm3d(2, affine=True).requires_grad_(False)
    maps = seeded((2, 2, 5, 5, 5))
    torch.testing.assert_close(instance_normalised(maps.clone(), norm, None), norm(maps))
