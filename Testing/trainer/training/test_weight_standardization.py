"""Standardised weights, and plain networks that compute the same."""

from __future__ import annotations

import torch
from torch import nn

from MultiTaskSegLib.runtime.network.architecture import SegmentationNetwork
from Testing.runtime.random_network import THICK_SLICES, random_network
from trainer.training.weight_standardization import (
    MINIMUM_FAN_IN,
    RECTIFIER_GAIN,
    WeightStandardization,
    baked,
    initialize,
    standardize_weights,
)


def standardized(seed: int = 4) -> SegmentationNetwork:
    network = random_network(THICK_SLICES, seed)
    standardize_weights(network)
    return network


def image(seed: int = 5) -> torch.Tensor:
    return torch.rand((1, 1, 4, 8, 12), generator=torch.Generator().manual_seed(seed))


def test_each_output_channel_has_mean_0_and_variance_gain_squared_over_fan_in() -> None:
    standardization = WeightStandardization(5)
    gains = torch.tensor([0.5, 1.0, 2.0, 3.0, RECTIFIER_GAIN])
    standardization.gain.data = gains.view(5, 1, 1, 1, 1)
    weight = 3 + 7 * torch.randn((5, 6, 3, 3, 3), generator=torch.Generator().manual_seed(1))
    found = standardization(weight)
    torch.testing.assert_close(found.mean(dim=(1, 2, 3, 4)), torch.zeros(5), atol=1e-6, rtol=0)
    torch.testing.assert_close(found.var(dim=(1, 2, 3, 4), correction=0), gains**2 / (6 * 27), rtol=1e-4, atol=0)


def test_shift_and_scale_of_the_raw_weights_do_not_count() -> None:
    standardization = WeightStandardization(3)
    weight = torch.randn((3, 4, 3, 3, 3), generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(standardization(5 * weight - 2), standardization(weight), rtol=1e-4, atol=1e-5)


def test_the_gain_keeps_unit_variance_behind_a_rectifier() -> None:
    normal = torch.randn(400_000, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert abs(float(torch.relu(normal).var()) * RECTIFIER_GAIN**2 - 1) < 0.02


def test_the_head_and_convolutions_with_almost_no_inputs_stay_plain() -> None:
    network = standardized()
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv3d):
            plain = name == "head" or module.weight[0].numel() < MINIMUM_FAN_IN
            assert (not hasattr(module, "parametrizations")) is plain, name
    assert not hasattr(network.encoder[0].shortcut, "parametrizations")


def test_the_baked_network_computes_the_same_with_plain_convolutions() -> None:
    network = standardized()
    plain = baked(network)
    with torch.no_grad():
        torch.testing.assert_close(plain(image()), network(image()), rtol=1e-5, atol=1e-5)
    assert set(plain.state_dict()) == set(SegmentationNetwork(THICK_SLICES).state_dict())
    assert not plain.training
    assert not any(weights.requires_grad for weights in plain.parameters())


def test_standardisation_does_change_the_network_that_is_baked() -> None:
    with torch.no_grad():
        assert not torch.allclose(baked(standardized())(image()), random_network(THICK_SLICES, 4)(image()))


def test_the_original_can_still_be_trained_after_baking_and_the_copy_stays() -> None:
    network = standardized()
    plain = baked(network)
    before = plain(image())
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    network(image()).square().mean().backward()
    optimizer.step()
    assert hasattr(network.encoder[1].first, "parametrizations")
    torch.testing.assert_close(plain(image()), before, rtol=0, atol=0)
    with torch.no_grad():
        assert not torch.allclose(network(image()), before)
        torch.testing.assert_close(baked(network)(image()), network(image()), rtol=1e-5, atol=1e-5)


def test_initial_weights_come_from_the_given_generator_alone() -> None:
    def weights(seed: int, elsewhere: int) -> list[torch.Tensor]:
        torch.manual_seed(elsewhere)
        network = SegmentationNetwork(THICK_SLICES)
        initialize(network, torch.Generator().manual_seed(seed))
        return [p.detach() for p in network.parameters()]

    assert all(torch.equal(a, b) for a, b in zip(weights(1, 2), weights(1, 3), strict=True))
    assert any(not torch.equal(a, b) for a, b in zip(weights(1, 2), weights(2, 2), strict=True))


def test_the_signal_neither_dies_nor_explodes_in_a_new_network() -> None:
    network = SegmentationNetwork(THICK_SLICES)
    initialize(network, torch.Generator().manual_seed(1))
    standardize_weights(network)
    with torch.no_grad():
        for features in network.features(image()).values():
            assert 0.02 < float(features.std()) < 20
