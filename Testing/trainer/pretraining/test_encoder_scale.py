"""An encoder is rescaled to the layers' scale of a fresh one, and computes what it did."""

from __future__ import annotations

import pytest
import torch

from MultiTaskSegLib.runtime.network.architecture import Architecture, SegmentationNetwork
from Testing.runtime.random_network import ARCHITECTURES, random_network
from trainer.pretraining.encoder_scale import layer_scales, rescale_encoder
from trainer.training.weight_standardization import baked, initialize, standardize_weights

CPU = torch.device("cpu")


def images(architecture: Architecture) -> torch.Tensor:
    z, y, x = (4 * stride for stride in architecture.total_stride)
    return torch.rand((2, 1, z, y, x), generator=torch.Generator().manual_seed(5))


def drifted(architecture: Architecture) -> SegmentationNetwork:
    """Random biases too; layers answer a hundred times too much and a fifth in turn."""
    network = random_network(architecture)
    with torch.no_grad():
        for number, (name, weights) in enumerate(network.named_parameters()):
            if name.startswith(("encoder.", "down.")):
                weights.mul_(100.0 if number % 2 else 0.2)
    return network


def fresh(architecture: Architecture) -> SegmentationNetwork:
    network = SegmentationNetwork(architecture)
    initialize(network, torch.Generator().manual_seed(1))
    standardize_weights(network)
    return baked(network)


@pytest.mark.parametrize("architecture", ARCHITECTURES.values(), ids=ARCHITECTURES.keys())
def test_every_map_of_the_encoder_is_what_it_was_times_one_positive_number(architecture: Architecture) -> None:
    network, shown = drifted(architecture), images(architecture)
    levels = len(architecture.channels)
    with torch.no_grad():
        before = network.encoder_features(shown, levels)
        rescale_encoder(network, shown, CPU)
        after = network.encoder_features(shown, levels)
    for name in before:
        factor = float(after[name].norm() / before[name].norm())
        torch.testing.assert_close(after[name], factor * before[name], rtol=1e-3, atol=1e-4)
    assert any(not torch.allclose(after[name], before[name]) for name in before)


@pytest.mark.parametrize("architecture", ARCHITECTURES.values(), ids=ARCHITECTURES.keys())
def test_every_layer_of_the_encoder_gets_the_scale_of_a_fresh_network(architecture: Architecture) -> None:
    network, shown = drifted(architecture), images(architecture)
    rescale_encoder(network, shown, CPU)
    found, wanted = layer_scales(network, shown), layer_scales(fresh(architecture), shown)
    assert found.keys() == wanted.keys()
    for name, scale in found.items():
        # Fresh weights of another seed: of the few channels of a tiny network chance makes a factor.
        assert 0.2 < scale / wanted[name] < 5, name


def test_the_scale_does_not_depend_on_how_far_the_network_had_drifted() -> None:
    architecture = ARCHITECTURES["planar"]
    shown = images(architecture)
    scales = []
    for drift in (1.0, 30.0):
        network = random_network(architecture)
        with torch.no_grad():
            for name, weights in network.named_parameters():
                if name.startswith(("encoder.", "down.")) and name.endswith("weight"):
                    weights.mul_(drift)
        rescale_encoder(network, shown, CPU)
        scales.append(layer_scales(network, shown))
        # What has the wanted scale already keeps it.
        rescale_encoder(network, shown, CPU)
        assert layer_scales(network, shown) == pytest.approx(scales[-1], rel=1e-4)
    assert scales[0] == pytest.approx(scales[1], rel=1e-4)


def test_the_decoder_and_the_head_are_left_as_they_are() -> None:
    architecture = ARCHITECTURES["planar"]
    network, as_it_was = drifted(architecture), drifted(architecture)
    rescale_encoder(network, images(architecture), CPU)
    for (name, now), before in zip(network.named_parameters(), as_it_was.parameters(), strict=True):
        if name.startswith(("up.", "decoder.", "head.")):
            assert torch.equal(now, before)


def test_a_layer_that_is_silent_stays_silent() -> None:
    architecture = ARCHITECTURES["planar"]
    network = random_network(architecture)
    with torch.no_grad():
        for weights in network.encoder.parameters():
            weights.zero_()
    rescale_encoder(network, images(architecture), CPU)
    assert all(torch.isfinite(weights).all() for weights in network.parameters())
