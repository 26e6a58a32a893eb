"""First weights from a model file: the network computes the same at step 0; what does not fit is refused."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from MultiTaskSegLib.runtime.errors import ModelError, UsageError
from MultiTaskSegLib.runtime.model.model_file import load_model
from MultiTaskSegLib.runtime.network.architecture import Architecture, SegmentationNetwork
from Testing.runtime.random_network import PLANAR, THICK_SLICES
from trainer.config import TrainingConfig
from trainer.pretraining.initialization import config_for, initial_weights, require_same_network
from trainer.pretraining.unfreezing import Strategy, frozen_parts, parts_from_head
from trainer.training.weight_standardization import baked, initialize, standardize_weights, take_over

LEARNT = {"THICK_SLICES": THICK_SLICES, "PLANAR": PLANAR}


def fresh(architecture: Architecture, seed: int) -> SegmentationNetwork:
    network = SegmentationNetwork(architecture)
    initialize(network, torch.Generator().manual_seed(seed))
    standardize_weights(network)
    return network


def learnt(architecture: Architecture) -> SegmentationNetwork:
    """Plain weights as training leaves them in a file: odd gains, standardised, rounded to float16."""
    network = fresh(architecture, 3)
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith((".gain", ".bias")):
                parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
    return baked(network).half().float()


@pytest.mark.parametrize("name", LEARNT)
def test_a_network_that_took_weights_over_computes_the_same_before_the_first_step(name: str) -> None:
    architecture = LEARNT[name]
    source = learnt(architecture)
    target = fresh(architecture, 8)
    image = torch.rand((2, 1, 4 if name == "THICK_SLICES" else 1, 16, 24), generator=torch.Generator().manual_seed(1))
    before = target(image)
    take_over(target, source.state_dict())
    with torch.no_grad():
        expected, found = source(image), target(image)
    # Weights in float16 have a mean that is not quite 0; standardisation takes it away.
    torch.testing.assert_close(found, expected, rtol=2e-3, atol=2e-3 * float(expected.abs().max()))
    assert not torch.allclose(before, expected, rtol=0.1, atol=0.1)


def test_raw_weights_keep_the_scale_of_fresh_ones() -> None:
    target = fresh(PLANAR, 8)
    raw = target.encoder[1].first.parametrizations.weight.original  # type: ignore[union-attr, index]
    before = raw.detach().std(dim=(1, 2, 3, 4), correction=0).clone()  # type: ignore[operator, union-attr]
    take_over(target, {name: 100 * w for name, w in learnt(PLANAR).state_dict().items()})
    after = raw.detach().std(dim=(1, 2, 3, 4), correction=0)  # type: ignore[operator, union-attr]
    torch.testing.assert_close(after, before)


def test_a_filter_of_zeros_stays_silent_but_can_learn_again() -> None:
    source, target = learnt(PLANAR), fresh(PLANAR, 8)
    source.encoder[1].first.weight[2] = 0  # type: ignore[union-attr, index, operator]
    take_over(target, source.state_dict())
    convolution = target.encoder[1].first
    silent = convolution.weight[2]  # type: ignore[union-attr, index, operator]
    assert not bool(silent.any())
    (silent**2 + silent * torch.arange(25.0).view(1, 1, 5, 5)).sum().backward()
    gain = convolution.parametrizations.weight[0].gain  # type: ignore[union-attr, index]
    assert abs(float(gain.grad[2])) > 0  # type: ignore[union-attr, index, arg-type]


def test_encoder_weights_leave_the_decoder_alone() -> None:
    source, target = learnt(PLANAR), fresh(PLANAR, 8)
    parts = {n: w for n, w in source.state_dict().items() if n.startswith(("encoder.", "down."))}
    before = baked(target).state_dict()
    take_over(target, parts)
    after = baked(target).state_dict()
    for name, weight in after.items():
        assert torch.equal(weight, before[name]) is (name not in parts), name


def test_weights_of_a_file_come_without_the_head(tiny_models: dict[str, Path]) -> None:
    path = tiny_models["2-D"]
    model = load_model(path)
    every = initial_weights(path, replace(model.manifest.architecture, outputs=17))
    assert set(every) == {n for n in model.network.state_dict() if not n.startswith("head.")}
    assert all(torch.equal(every[n], model.network.state_dict()[n]) for n in every)
    encoder = initial_weights(path, model.manifest.architecture, "encoder")
    assert set(encoder) == {n for n in every if n.startswith(("encoder.", "down."))}
    with pytest.raises(UsageError, match="scope"):
        initial_weights(path, model.manifest.architecture, "head")  # type: ignore[arg-type]


def test_the_channels_of_the_model_are_used_where_the_configuration_leaves_them_open(
    tiny_models: dict[str, Path],
) -> None:
    path = tiny_models["2-D"]
    channels = load_model(path).manifest.architecture.channels
    assert config_for(path, TrainingConfig()).channels == channels
    assert config_for(path, TrainingConfig(channels=(7, 9))).channels == (7, 9)


@pytest.mark.parametrize(
    "found, wanted, message",
    [
        (PLANAR, THICK_SLICES, "model to start from is 2-D, the data are 3-D"),
        (THICK_SLICES, PLANAR, "model to start from is 3-D, the data are 2-D"),
        (PLANAR, replace(PLANAR, channels=(3, 4, 5, 5)), "channels"),
        (PLANAR, replace(PLANAR, kernels=((1, 3, 3),) * 4), "kernels"),
        (PLANAR, replace(PLANAR, strides=((1, 2, 2), (1, 2, 2), (1, 4, 4))), "strides"),
    ],
)
def test_a_network_of_another_form_is_refused(found: Architecture, wanted: Architecture, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        require_same_network(found, wanted, Path("m.mts.safetensors"))
    require_same_network(found, replace(found, outputs=9), Path("m.mts.safetensors"))


@pytest.mark.parametrize("name", LEARNT)
def test_the_parts_of_a_network_are_every_parameter_once(name: str) -> None:
    parts = parts_from_head(LEARNT[name])
    for parameter, _ in fresh(LEARNT[name], 0).named_parameters():
        assert sum(parameter.startswith(part) for part in parts) == 1, parameter


def test_gradual_unfreezing_reaches_one_part_after_the_other_from_the_head_to_the_first_layer() -> None:
    parts = [
        {"head", "decoder.0", "up.0"}, {"decoder.1", "up.1"}, {"decoder.2", "up.2"}, {"encoder.3", "down.2"},
        {"encoder.2", "down.1"}, {"encoder.1", "down.0"}, {"encoder.0"},
    ]  # fmt: skip
    rule = frozen_parts("gradual", PLANAR)
    assert rule is not None
    # Seven parts in the first half of the run: a further one is trained from every fourteenth on.
    for number in range(len(parts)):
        frozen = {name.removesuffix(".") for part in parts[number + 1 :] for name in part}
        for share in (number / 14 + 0.001, (number + 1) / 14 - 0.001):
            assert {name.removesuffix(".") for name in rule(share)} == frozen, share
    assert rule(0.5) == rule(1.0) == ()


@pytest.mark.parametrize("strategy", ["frozen-encoder", "last-layers", "gradual"])
@pytest.mark.parametrize("fresh_stem", [None, 0, 1])
def test_stems_belong_to_the_encoder_and_are_learnt_where_they_begin_at_random(
    strategy: Strategy, fresh_stem: int | None
) -> None:
    architecture = replace(PLANAR, stems=(1, 2))
    rule = frozen_parts(strategy, architecture, () if fresh_stem is None else [fresh_stem])
    assert rule is not None
    names = [name for name, _ in fresh(architecture, 0).named_parameters() if not name.startswith(rule(0.0))]
    trained = {".".join(name.split(".")[:3]) for name in names}
    assert "encoder.0.second" not in trained
    for stem, owner in enumerate(("encoder.0", "stems.0")):
        for part in ("first", "shortcut"):
            assert (f"{owner}.{part}" in trained) == (stem == fresh_stem), owner


def test_strategies_freeze_what_their_names_say() -> None:
    names = [name for name, _ in fresh(PLANAR, 0).named_parameters()]

    def trained(strategy: str, progress: float) -> set[str]:
        rule = frozen_parts(strategy, PLANAR)  # type: ignore[arg-type]
        frozen = rule(progress) if rule else ()
        return {".".join(n.split(".")[:2]) for n in names if not n.startswith(frozen)}

    everything = trained("all", 0)
    assert trained("last-layers", 0.9) == {"head.weight", "head.bias", "decoder.0", "up.0"}
    assert trained("frozen-encoder", 0.9) == {p for p in everything if not p.startswith(("encoder", "down"))}
    steps = [trained("gradual", share) for share in (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 1.0)]
    assert steps[0] == trained("last-layers", 0)
    assert all(a <= b for a, b in itertools.pairwise(steps))
    assert len(steps[2]) < len(steps[3])
    assert steps[-2] == steps[-1] == everything
    with pytest.raises(UsageError, match="strategy"):
        frozen_parts("some", PLANAR)  # type: ignore[arg-type]
