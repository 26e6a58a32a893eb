"""Several models segment together by the mean of their calibrated probabilities."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.special import softmax

from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.model.model_file import Model, load_model
from Testing.runtime.tiny_model import tiny_network, write_tiny_model
from trainer.measuring.shipped_pass import ShippedPass
from trainer.two_stage.together import segment_together

TEMPERATURES = (0.3, 4.0)
VOLUME = Volume(np.random.default_rng(0).random((8, 12, 12)).astype(np.float32), np.diag([2.0, 2.0, 2.0, 1.0]), "noise")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Model]:
    """Two networks, one made surer and one less sure than it is by its temperature."""
    plain = load_model(write_tiny_model(tmp_path_factory.mktemp("tiny") / "tiny.mts.safetensors"))
    return [
        replace(
            plain,
            network=tiny_network(seed),
            manifest=replace(
                plain.manifest, tasks=tuple(replace(t, temperature=temperature) for t in plain.manifest.tasks)
            ),
        )
        for seed, temperature in zip((1, 2), TEMPERATURES, strict=True)
    ]


def logits_of(models: list[Model], monkeypatch: pytest.MonkeyPatch) -> list[NDArray[np.float32]]:
    """Of the first task, as they were asked for."""
    noted: list[NDArray[np.float32]] = []
    plain = ShippedPass.logits

    def logits(self: ShippedPass, voxels: NDArray[np.float32], channels: slice) -> NDArray[np.float32]:
        noted.append(plain(self, voxels, channels))
        return noted[-1]

    monkeypatch.setattr(ShippedPass, "logits", logits)
    return noted


def test_each_model_is_calibrated_by_its_own_temperature_before_the_mean_is_taken(
    models: list[Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    noted = logits_of(models, monkeypatch)
    found = segment_together(models, VOLUME, torch.device("cpu"))
    own = [softmax(logits / t, axis=0) for logits, t in zip(noted, TEMPERATURES, strict=True)]
    expected = (own[0] + own[1]).argmax(axis=0)
    np.testing.assert_array_equal(found, expected)
    # The temperatures matter here: exchanged they give other labels.
    swapped = [softmax(logits / t, axis=0) for logits, t in zip(noted, TEMPERATURES[::-1], strict=True)]
    assert (expected != (swapped[0] + swapped[1]).argmax(axis=0)).any()


def test_the_order_of_the_models_does_not_matter_and_a_twin_changes_nothing(models: list[Model]) -> None:
    cpu = torch.device("cpu")
    np.testing.assert_array_equal(segment_together(models, VOLUME, cpu), segment_together(models[::-1], VOLUME, cpu))
    alone = segment_together(models[:1], VOLUME, cpu)
    np.testing.assert_array_equal(segment_together([models[0]] * 2, VOLUME, cpu), alone)
