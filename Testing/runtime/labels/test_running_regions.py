"""Regions that may overlap: each from its own sigmoid, whatever the slabs, and painted in order."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from MultiTaskSegLib.runtime.errors import ModelError
from MultiTaskSegLib.runtime.image.resampling import resample_linear
from MultiTaskSegLib.runtime.labels.expected_dice import expected_dice
from MultiTaskSegLib.runtime.labels.label_stream import LabelStream
from MultiTaskSegLib.runtime.labels.labelling import finished
from MultiTaskSegLib.runtime.labels.running_regions import RunningRegions
from MultiTaskSegLib.runtime.model.manifest import TaskInfo
from MultiTaskSegLib.runtime.network.architecture import Triple
from Testing.runtime.labels.surface_oracle import surface_band
from Testing.runtime.labels.test_label_stream import GRID, TASK
from Testing.runtime.upright import upright

VALUES = (2, 1, 4)
REGIONS = replace(
    TASK,
    labels=tuple(replace(label, value=value) for label, value in zip(TASK.labels, VALUES, strict=True)),
    are_regions=True,
)


def logits() -> np.ndarray:
    """``(3, Z, Y, X)``, regions that overlap."""
    rough = np.random.default_rng(7).normal(size=(3, 4, 3, 4)).astype(np.float32)
    return 6 * resample_linear(rough, GRID)


def streamed(values: np.ndarray, task: TaskInfo, shape: Triple, step: int) -> RunningRegions:
    stream = LabelStream(task, GRID, shape)
    for slab in torch.from_numpy(values).split(step, dim=1):
        stream.push_logits(slab)
    assert isinstance(stream.running, RunningRegions)
    return stream.running


def whole(values: np.ndarray, task: TaskInfo, shape: Triple) -> np.ndarray:
    """Probabilities ``(3, Z, Y, X)`` on the image's grid from whole volumes: the reference."""
    shares = 1 / (1 + np.exp(-values.astype(np.float64) / task.temperature))
    if task.surface_temperature is not None:
        for share, own in zip(shares, values, strict=True):
            band = surface_band((own > 0).astype(np.int64))
            share[band] = 1 / (1 + np.exp(-own[band].astype(np.float64) / task.surface_temperature))
    return np.asarray(resample_linear(shares.astype(np.float32), shape), dtype=np.float64)


@pytest.mark.parametrize("surface_temperature", [None, 3.0])
@pytest.mark.parametrize("shape", [GRID, (26, 20, 11), (6, 4, 30)], ids=str)
@pytest.mark.parametrize("step", [1, 5, 13])
def test_slabs_give_the_regions_of_whole_volumes(step: int, shape: Triple, surface_temperature: float | None) -> None:
    task = replace(REGIONS, surface_temperature=surface_temperature)
    running, shares = streamed(logits(), task, shape, step), whole(logits(), task, shape)
    clear = np.abs(shares - 0.5) > 1e-4
    np.testing.assert_array_equal(running.regions[clear], (shares > 0.5)[clear])
    entropy = -(shares * np.log2(shares) + (1 - shares) * np.log2(1 - shares)).mean(axis=0)
    np.testing.assert_allclose(running.uncertainty, entropy, atol=2e-4)
    np.testing.assert_allclose(running.totals, shares.sum(axis=(1, 2, 3)), rtol=1e-4)
    np.testing.assert_array_equal(running.voxels, running.regions.sum(axis=(1, 2, 3)))
    np.testing.assert_allclose(running.overlaps, (shares * running.regions).sum(axis=(1, 2, 3)), rtol=1e-4)


def test_the_confidence_is_that_of_what_is_painted() -> None:
    running, shares = streamed(logits(), REGIONS, GRID, 13), whole(logits(), REGIONS, GRID)
    for place in np.ndindex(GRID):
        found = [share for share in shares[(slice(None), *place)] if share > 0.5]
        expected = found[-1] if found else 1 - shares[(slice(None), *place)].max()
        assert running.confidence[place] == pytest.approx(expected, abs=1e-4)


def test_later_regions_are_painted_over_earlier_ones_and_none_is_lost() -> None:
    running = streamed(logits(), REGIONS, GRID, 13)
    result = finished(running, REGIONS, upright(np.zeros(GRID, dtype=np.float32)))
    assert result.regions is not None
    assert (result.regions.sum(axis=0) > 1).any(), "they overlap"
    for place in np.ndindex(GRID):
        covering = [value for value, region in zip(VALUES, result.regions, strict=True) if region[place]]
        assert result.labels[place] == (covering[-1] if covering else 0)
    for number, value in enumerate(VALUES):
        sums = (running.overlaps[number], running.totals[number], int(running.voxels[number]))
        assert result.predicted_dice[value] == expected_dice(*sums)
        assert result.region_confidence[value] == pytest.approx(sums[0] / sums[2])


def test_one_region_is_a_label_and_its_background() -> None:
    one = replace(REGIONS, labels=REGIONS.labels[:1], surface_temperature=3.0)
    label = replace(one, are_regions=False)
    values = logits()[:1]
    regions, stream = streamed(values, one, (26, 20, 11), 5), LabelStream(label, GRID, (26, 20, 11))
    stream.push_logits(torch.from_numpy(np.concatenate((np.zeros_like(values), values))))
    np.testing.assert_array_equal(regions.regions[0], stream.running.index == 1)  # type: ignore[union-attr]
    np.testing.assert_allclose(regions.confidence, stream.running.confidence, atol=1e-5)
    np.testing.assert_allclose(regions.uncertainty, stream.running.uncertainty, atol=1e-5)
    np.testing.assert_allclose(regions.totals[0], stream.running.totals[1], rtol=1e-5)


def test_probabilities_that_are_no_numbers_are_refused() -> None:
    spoilt = logits()
    spoilt[1, 3, 3, 3] = np.nan
    with pytest.raises(ModelError):
        streamed(spoilt, REGIONS, GRID, 13).require_finite()
