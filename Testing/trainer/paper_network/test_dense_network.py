"""The published network against closed forms: shapes, number of weights, what reaches what, what it does not have."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from MultiTaskSegLib.runtime.errors import UsageError
from MultiTaskSegLib.runtime.network.architecture import Architecture
from trainer.paper_network.dense_network import FIRST_BIAS, DenseNetwork, initialize

PLANAR = Architecture((14, 28, 56, 112), ((1, 2, 2),) * 3, ((1, 3, 3),) * 4, 2)
VOLUMES = Architecture((14, 28, 56, 112), ((2, 2, 2),) * 3, ((3, 3, 3),) * 4, 2)
SMALL = Architecture((2, 4, 8, 16), ((1, 2, 2),) * 3, ((1, 3, 3),) * 4, 2)


def network(architecture: Architecture, dropout: float = 0.1) -> DenseNetwork:
    made = DenseNetwork(architecture, dropout)
    initialize(made, 3)
    return made


def weights_of_the_paper(taps: int) -> int:
    """Counted by hand from the description: (inputs x outputs) of every convolution, and its outputs as biases."""
    pairs: list[tuple[int, int]] = []
    widths = (14, 28, 56, 112)
    for level, width in enumerate(widths):
        # The image: one convolution at the finest level, elsewhere as many strided ones as there are levels between.
        pairs += [(1, 14)] + [(14, 14)] * (level - 1)
        for early in range(level):
            pairs += [(widths[early], widths[early])] * (level - early)
        pairs += [(width, width)] * 4
    # Decoder: halved by the transposed convolution, joined with the encoder's, then 112, 56 and 28 wide.
    pairs += [(112, 56), (112, 56), (56, 28)]
    pairs += [(56 + 56, 112), (56 + 28, 56), (28 + 14, 28)]
    pairs += [(width, width) for width in (112, 56, 28) for _ in range(4)]
    pairs += [(28, 2)]
    return sum(taps * a * b + b for a, b in pairs)


@pytest.mark.parametrize(("architecture", "taps"), [(PLANAR, 9), (VOLUMES, 27)])
def test_it_has_as_many_weights_as_the_description_says(architecture: Architecture, taps: int) -> None:
    assert sum(own.numel() for own in DenseNetwork(architecture, 0.1).parameters()) == weights_of_the_paper(taps)


def test_in_three_dimensions_these_are_about_the_4_66_million_of_the_published_code() -> None:
    assert weights_of_the_paper(27) == pytest.approx(4.66e6, rel=0.002)


def test_every_level_has_the_published_width_and_its_own_resolution() -> None:
    with torch.no_grad():
        maps = network(PLANAR).features(torch.rand(1, 1, 1, 16, 24))
    assert {name: tuple(own.shape[1:]) for name, own in maps.items()} == {
        "encoder0": (14, 1, 16, 24),
        "encoder1": (28, 1, 8, 12),
        "encoder2": (56, 1, 4, 6),
        "encoder3": (112, 1, 2, 3),
        "decoder2": (112, 1, 4, 6),
        "decoder1": (56, 1, 8, 12),
        "decoder0": (28, 1, 16, 24),
    }


def test_volumes_whose_first_step_halves_the_plane_only_come_back_on_their_own_grid() -> None:
    thick = Architecture((2, 4, 8, 16), ((1, 2, 2), (2, 2, 2), (2, 2, 2)), ((3, 3, 3),) * 4, 2)
    with torch.no_grad():
        assert network(thick)(torch.rand(1, 1, 8, 16, 8)).shape == (1, 2, 8, 16, 8)


def test_the_image_and_every_earlier_level_reach_each_level_by_a_way_of_their_own() -> None:
    made = network(SMALL, 0.0).eval()
    image = torch.rand(1, 1, 1, 16, 16)
    for level in range(4):
        ways = [made.image_paths[level], *made.level_paths[level]]
        assert len(ways) == 1 + level
        plain = made.features(image)[f"encoder{level}"]
        for way in ways:
            kept = [parameter.detach().clone() for parameter in way.parameters()]
            with torch.no_grad():
                for parameter in way.parameters():
                    parameter.zero_()
                assert not torch.allclose(made.features(image)[f"encoder{level}"], plain)
                for parameter, before in zip(way.parameters(), kept, strict=True):
                    parameter.copy_(before)
        torch.testing.assert_close(made.features(image)[f"encoder{level}"], plain)


def test_the_encoder_reaches_the_decoder_beside_the_way_through_the_coarsest_level() -> None:
    made = network(SMALL, 0.0).eval()
    with torch.no_grad():
        made.up[0].convolution.weight.zero_()
        made.up[0].convolution.bias.zero_()
        one, other = (made(torch.full((1, 1, 1, 8, 8), value)) for value in (0.2, 0.9))
    assert not torch.allclose(one, other)


def test_what_goes_into_a_pair_is_added_to_what_the_last_one_gives() -> None:
    made = network(SMALL, 0.0).eval()
    with torch.no_grad():
        pairs = made.encoder[0]
        for parameter in pairs.parameters():
            parameter.zero_()
        x = torch.rand(1, 2, 1, 4, 4)
        # Nothing is added by the convolutions: x + 0, and then that and x once more.
        torch.testing.assert_close(pairs(x), 2 * x)


def test_nothing_in_it_normalises() -> None:
    known = (nn.Conv3d, nn.ConvTranspose3d, nn.Dropout)
    leaves = [module for module in network(PLANAR).modules() if not list(module.children())]
    # The finest level has no earlier one: its list of ways from these is empty.
    assert {type(leaf) for leaf in leaves if not isinstance(leaf, nn.ModuleList)} == set(known)
    made = network(SMALL, 0.0).eval()
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()
        image = torch.rand(1, 1, 1, 8, 8)
        # Without biases and statistics rectifiers leave it homogeneous: twice the image gives twice the answer.
        torch.testing.assert_close(made(2 * image), 2 * made(image))


def test_values_are_dropped_in_training_alone() -> None:
    made, image = network(SMALL, 0.5), torch.rand(1, 1, 1, 16, 16)
    with torch.no_grad():
        made.train()
        assert not torch.equal(made(image), made(image))
        made.eval()
        assert torch.equal(made(image), made(image))


def test_after_every_convolution_but_the_last_values_are_dropped() -> None:
    made = network(PLANAR)
    convolutions = [m for m in made.modules() if isinstance(m, (nn.Conv3d, nn.ConvTranspose3d))]
    assert sum(isinstance(module, nn.Dropout) for module in made.modules()) == len(convolutions) - 1


def test_first_weights_are_cut_off_at_two_deviations_and_follow_from_the_seed() -> None:
    made, again, other = DenseNetwork(PLANAR, 0.1), DenseNetwork(PLANAR, 0.1), DenseNetwork(PLANAR, 0.1)
    for seed, one in ((1, made), (1, again), (2, other)):
        initialize(one, seed)
    weight = made.encoder[2].first[0].convolution.weight
    assert float(weight.detach().abs().max()) <= 2 * (2 / (56 * 9)) ** 0.5
    assert float(made.head.bias.detach()[0]) == pytest.approx(FIRST_BIAS)
    states = [one.state_dict() for one in (made, again, other)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert not torch.equal(states[0]["head.weight"], states[2]["head.weight"])


def test_channels_that_do_not_double_are_refused() -> None:
    with pytest.raises(UsageError, match="double from level to level"):
        DenseNetwork(Architecture((14, 28, 50), ((1, 2, 2),) * 2, ((1, 3, 3),) * 3, 2), 0.1)


def test_images_of_several_channels_are_refused() -> None:
    with pytest.raises(UsageError, match="images of one channel"):
        DenseNetwork(Architecture((14, 28), ((1, 2, 2),), ((1, 3, 3),) * 2, 2, (2,)), 0.1)
