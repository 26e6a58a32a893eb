"""Estimators on a tiny network with random weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from MultiTaskSegLib.runtime.errors import UsageError
from MultiTaskSegLib.runtime.model.manifest import Manifest
from MultiTaskSegLib.runtime.predictor import Predictor
from Testing.runtime.tiny_model import tiny_network, write_tiny_model
from Testing.runtime.upright import upright
from trainer.calibration.scaling import softmax
from trainer.data.labelled_case import LabelledCase
from trainer.uncertainty.estimator import (
    Ensemble,
    McDropout,
    MirrorTta,
    SinglePass,
    injected_dropout,
    log_mean,
    mirrored_tasks,
    network_digest,
)

SHAPE = (6, 8, 10)


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return Predictor.load(write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.mts.safetensors"), "cpu")


def labelled(predictor: Predictor, seed: int = 1) -> LabelledCase:
    voxels = np.random.default_rng(seed).random(SHAPE).astype(np.float32)
    prepared = upright(voxels)
    return LabelledCase("case", "patient", predictor.manifest.tasks[0], prepared, np.zeros(SHAPE, dtype=np.uint8))


def mirrored(case: LabelledCase) -> LabelledCase:
    flipped = np.ascontiguousarray(case.prepared.voxels[..., ::-1])
    return replace(case, prepared=replace(case.prepared, voxels=flipped))


def with_manifest(predictor: Predictor, manifest: Manifest) -> Predictor:
    return Predictor(replace(predictor.model, manifest=manifest), "cpu")


def test_every_estimator_gives_logarithms_of_probabilities(predictor: Predictor) -> None:
    case = labelled(predictor)
    names = [task.name for task in predictor.manifest.tasks]
    for estimator in (
        SinglePass(predictor), MirrorTta(predictor, names), McDropout(predictor, 2), Ensemble([predictor, predictor])
    ):  # fmt: skip
        found = estimator.log_probabilities(case)
        assert found.shape == (3, *SHAPE)
        np.testing.assert_allclose(np.exp(found).sum(axis=0), 1.0, rtol=1e-5)


def test_the_single_pass_is_the_softmax_that_ships(predictor: Predictor) -> None:
    case = labelled(predictor)
    with torch.inference_mode():
        logits = predictor.network(torch.from_numpy(case.prepared.voxels)[None, None])[0, case.task.channels].numpy()
    np.testing.assert_allclose(np.exp(SinglePass(predictor).log_probabilities(case)), softmax(logits), atol=1e-5)


def test_the_mirrored_estimate_of_a_mirror_image_is_the_mirror_image_of_the_estimate(predictor: Predictor) -> None:
    case = labelled(predictor)
    estimator = MirrorTta(predictor, [case.task.name])
    one, other = estimator.log_probabilities(case), estimator.log_probabilities(mirrored(case))
    np.testing.assert_allclose(other, one[..., ::-1], atol=1e-5)
    assert not np.allclose(SinglePass(predictor).log_probabilities(mirrored(case)), one[..., ::-1], atol=1e-3)


def test_tasks_that_must_not_be_mirrored_are_not(predictor: Predictor) -> None:
    first, second = predictor.manifest.tasks
    estimator = MirrorTta(predictor, [second.name])
    assert (estimator.passes(first), estimator.passes(second)) == (0, 2)


def test_only_what_the_training_mirrored_left_and_right_may_be_mirrored(predictor: Predictor) -> None:
    first, second = (task.name for task in predictor.manifest.tasks)
    assert mirrored_tasks(predictor) == []
    config = {"mirror_axes": {first: "zyx", second: "y"}}
    trained = with_manifest(predictor, replace(predictor.manifest, training={"config": config}))
    assert mirrored_tasks(trained) == [first]
    assert mirrored_tasks(trained, [second]) == [first, second]
    with pytest.raises(UsageError, match="no task 'Hearts'"):
        mirrored_tasks(trained, ["Hearts"])


def test_dropout_without_a_rate_changes_nothing(predictor: Predictor) -> None:
    case = labelled(predictor)
    plain = SinglePass(predictor).log_probabilities(case)
    np.testing.assert_allclose(McDropout(predictor, 3, 0.0).log_probabilities(case), plain, atol=1e-5)


def test_dropout_depends_on_its_seed_alone_and_leaves_the_network_as_it_was(predictor: Predictor) -> None:
    case, other = labelled(predictor), labelled(predictor, 2)
    before = SinglePass(predictor).log_probabilities(case)
    estimator = McDropout(predictor, 2, 0.3, seed=4)
    first = estimator.log_probabilities(case)
    torch.manual_seed(99)
    estimator.log_probabilities(other)
    np.testing.assert_array_equal(first, estimator.log_probabilities(case))
    assert not np.allclose(first, McDropout(predictor, 2, 0.3, seed=5).log_probabilities(case), atol=1e-4)
    assert not np.allclose(first, before, atol=1e-3)
    np.testing.assert_array_equal(before, SinglePass(predictor).log_probabilities(case))


def test_injected_dropout_drops_the_share_it_says_and_keeps_the_mean(predictor: Predictor) -> None:
    stage = predictor.network.encoder[0]
    image = torch.ones((1, 1, 16, 16, 16))
    with torch.inference_mode():
        plain = stage(image)
        generator = torch.Generator().manual_seed(1)
        with injected_dropout(predictor.network, 0.25, generator):
            dropped = stage(image)
    assert float((dropped == 0).float().mean()) == pytest.approx(0.25, abs=0.02)
    kept = dropped != 0
    torch.testing.assert_close(dropped[kept], plain[kept] / 0.75)


def test_the_hooks_go_even_when_a_pass_fails(predictor: Predictor) -> None:
    with pytest.raises(RuntimeError), injected_dropout(predictor.network, 0.5, torch.Generator()):
        raise RuntimeError
    assert not any(module._forward_hooks for module in predictor.network.modules())


@pytest.mark.parametrize(("passes", "rate"), [(0, 0.1), (3, 1.0), (3, -0.1)])
def test_impossible_dropout_is_refused(predictor: Predictor, passes: int, rate: float) -> None:
    with pytest.raises(UsageError, match="impossible"):
        McDropout(predictor, passes, rate)


def test_an_ensemble_of_one_model_twice_is_that_model(predictor: Predictor) -> None:
    case = labelled(predictor)
    found = Ensemble([predictor, predictor]).log_probabilities(case)
    np.testing.assert_allclose(found, SinglePass(predictor).log_probabilities(case), atol=1e-5)


def test_members_without_the_task_or_with_other_labels_or_another_grid_sit_out(predictor: Predictor) -> None:
    first, second = predictor.manifest.tasks
    fewer = with_manifest(predictor, replace(predictor.manifest, tasks=(second,)))
    other_labels = with_manifest(predictor, replace(predictor.manifest, tasks=(replace(first, labels=second.labels),)))
    profile = replace(first.profile, spacing_zyx_mm=(3.0, 3.0, 3.0))
    other_grid = with_manifest(predictor, replace(predictor.manifest, tasks=(replace(first, profile=profile),)))
    for member in (fewer, other_labels, other_grid):
        assert Ensemble([predictor, member]).passes(first) == 0
    assert Ensemble([predictor, fewer]).passes(second) == 2


def test_the_mean_is_taken_over_probabilities_not_over_their_logarithms() -> None:
    members = [np.array([0.9, 0.1], np.float32), np.array([0.1, 0.9], np.float32), np.array([0.5, 0.5], np.float32)]
    np.testing.assert_allclose(np.exp(log_mean(members)), 0.5, rtol=1e-6)
    with pytest.raises(ValueError, match="no probabilities"):
        log_mean([])


def test_results_of_different_settings_are_told_apart(predictor: Predictor) -> None:
    choices = [(2, 0.1, 0), (3, 0.1, 0), (2, 0.2, 0), (2, 0.1, 1)]
    settings = [McDropout(predictor, *choice).settings for choice in choices]
    assert len({str(value) for value in settings}) == 4


def test_results_are_kept_under_the_weights_not_under_the_rest_of_the_model_file(predictor: Predictor) -> None:
    renamed = with_manifest(predictor, replace(predictor.manifest, name="another"))
    assert SinglePass(renamed).settings == SinglePass(predictor).settings
    other = tiny_network(seed=6)
    assert network_digest(other) != network_digest(predictor.network)
