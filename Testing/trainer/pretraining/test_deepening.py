"""A network with further levels computes nearly what it computed before, and its new parts can learn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from MultiTaskSegLib.runtime.network.architecture import Architecture, SegmentationNetwork
from Testing.runtime.random_network import PLANAR
from Testing.runtime.tiny_model import ARCHITECTURE, tiny_network, write_tiny_model
from trainer.pretraining.deepening import deepened, extends
from trainer.pretraining.initialization import initial_weights
from trainer.training.weight_standardization import baked, initialize, standardize_weights, take_over


def deeper(architecture: Architecture, levels: int = 1) -> Architecture:
    return replace(
        architecture,
        channels=architecture.channels + (6,) * levels,
        strides=architecture.strides + ((1, 2, 2),) * levels,
        kernels=architecture.kernels + ((1, 3, 3),) * levels,
    )


def trained(architecture: Architecture, seed: int) -> SegmentationNetwork:
    network = SegmentationNetwork(architecture)
    initialize(network, torch.Generator().manual_seed(seed))
    standardize_weights(network)
    return baked(network)


@pytest.mark.parametrize("levels", [1, 2])
def test_the_deeper_network_computes_nearly_the_same(levels: int) -> None:
    wanted = deeper(PLANAR, levels)
    source, target = trained(PLANAR, 1), trained(wanted, 2)
    image = torch.rand((1, 1, 1, 64, 64), generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        expected, before = source(image), target(image)
        target.load_state_dict({**target.state_dict(), **deepened(source.state_dict(), PLANAR, wanted)})
        found = target(image)
    # All that is lost is the second pass of negative values, a hundredth, through the rectifier.
    assert float((found - expected).std()) < 0.02 * float(expected.std())
    assert float((before - expected).std()) > 0.5 * float(expected.std())


def test_gradients_reach_the_new_parts() -> None:
    wanted = deeper(PLANAR)
    target = SegmentationNetwork(wanted)
    initialize(target, torch.Generator().manual_seed(2))
    standardize_weights(target)
    take_over(target, deepened(trained(PLANAR, 1).state_dict(), PLANAR, wanted))
    target(torch.rand((1, 1, 1, 64, 64), generator=torch.Generator().manual_seed(3))).square().mean().backward()
    stage = target.decoder[len(PLANAR.channels) - 1]
    assert float(stage.second.parametrizations.weight[0].gain.grad.abs().max()) > 0  # type: ignore[union-attr, index]


def test_only_a_network_with_the_same_finer_levels_extends_another() -> None:
    wanted = deeper(PLANAR)
    assert extends(wanted, PLANAR)
    assert not extends(PLANAR, PLANAR)
    assert not extends(PLANAR, wanted)
    assert not extends(replace(wanted, channels=(1, *wanted.channels[1:])), PLANAR)
    assert not extends(replace(wanted, strides=((2, 2, 2), *wanted.strides[1:])), PLANAR)
    assert not extends(replace(wanted, kernels=((3, 3, 3), *wanted.kernels[1:])), PLANAR)


def test_a_model_file_is_deepened_when_it_is_to_start_a_deeper_network(tmp_path: Path) -> None:
    weights = initial_weights(write_tiny_model(tmp_path / "tiny.mts.safetensors"), deeper(ARCHITECTURE))
    stage = f"decoder.{len(ARCHITECTURE.channels) - 1}.second.weight"
    assert not weights[stage].any()
    torch.testing.assert_close(
        weights["encoder.0.first.weight"], tiny_network().half().float().encoder[0].first.weight.data
    )
    assert not any(name.startswith("head.") for name in weights)
