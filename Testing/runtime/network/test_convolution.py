"""Convolutions by a way that torch does not promise: taken only where it is there and gives what torch gives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from MultiTaskSegLib.runtime.network.architecture import SegmentationNetwork
from MultiTaskSegLib.runtime.network.backend import TorchBackend
from MultiTaskSegLib.runtime.network.convolution import direct_convolution, fixed_convolution
from Testing.runtime.random_network import THICK_SLICES, random_network

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _tried_anew() -> Iterator[None]:
    direct_convolution.cache_clear()
    yield
    direct_convolution.cache_clear()


def wrong(*arguments: Any) -> torch.Tensor:
    return torch.nn.functional.conv3d(arguments[0], arguments[1], None, arguments[4], arguments[3])


def changed(*_: Any) -> torch.Tensor:
    raise TypeError("mkldnn_convolution() takes 6 positional arguments")


def broken(*_: Any) -> torch.Tensor:
    raise RuntimeError("could not create a primitive")


def other_shape(*arguments: Any) -> torch.Tensor:
    return wrong(*arguments)[:, :, :1]


@pytest.mark.parametrize("name", ["absent", "wrong", "changed", "broken", "other_shape"])
def test_without_it_or_where_it_is_something_else_the_public_way_gives_the_result(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    network: SegmentationNetwork = random_network(THICK_SLICES)
    x = torch.rand((1, 3, 4, 8, 8), generator=torch.Generator().manual_seed(1))
    expected = network.down[0](x)
    if name == "absent":
        monkeypatch.delattr(torch, "mkldnn_convolution", raising=False)
    else:
        monkeypatch.setattr(torch, "mkldnn_convolution", globals()[name], raising=False)
    assert direct_convolution() is None
    with torch.inference_mode():
        torch.testing.assert_close(fixed_convolution(network.down[0], CPU)(x), expected)
        torch.testing.assert_close(TorchBackend(network, CPU).down(0, x), expected)


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN")
def test_where_it_is_there_it_is_taken() -> None:
    assert direct_convolution() is not None
