"""Samples whose features are drawn from known distributions, for tests of the detectors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.ood.image_statistics import STATISTICS, ImageStatistics, statistic_length
from trainer.ood.detector.features import HISTOGRAM_BINS, INPUT_LAYER, ImageFeatures, LayerMoments
from trainer.ood.detector.output_statistics import OutputStatistics
from trainer.ood.detector.sample import Sample

LAYERS = ("encoder0", "encoder1", "decoder0")
CHANNELS = {INPUT_LAYER: 5, "encoder0": 4, "encoder1": 6, "decoder0": 4}
PROFILES = {"a": ("a", "b"), "b": ("a", "b"), "c": ("c",)}
WAYS = ("ensemble", "mc_dropout")


def moments(rows: NDArray[np.float64]) -> LayerMoments:
    """Moments of a voxels x channels matrix."""
    return LayerMoments(rows.T @ rows, rows.sum(axis=0), len(rows))


def outputs(foreground: float = 100.0, doubt: float = 0.05, voxels: float = 1000.0) -> OutputStatistics:
    """Sums of an output with the same doubt and entropy everywhere, and an energy of -10 where there is no doubt."""
    rim, energy = foreground / 2, 20 * doubt - 10
    sums = (doubt * voxels, doubt * foreground, doubt * rim, doubt * voxels, doubt * foreground)
    return OutputStatistics(voxels, foreground, rim, *sums, energy * voxels, energy * foreground)


def maps(seed: int, task: str, foreignness: float = 0.0, voxels: int = 400) -> dict[str, NDArray[np.float64]]:
    """Feature maps, voxels x channels; each task has means and spreads of its own, and each image its deviation."""
    rng = np.random.default_rng([seed, ord(task)])
    of_task = np.random.default_rng(ord(task))
    result = {}
    for layer, channels in CHANNELS.items():
        spread = np.exp(of_task.normal(0, 0.5, channels) + rng.normal(0, 0.05, channels))
        means = of_task.normal(0, 1, channels) + rng.normal(0, 0.05, channels)
        spread[0] *= 1 + 10 * foreignness
        result[layer] = rng.normal(means + foreignness, spread, (voxels, channels))
    return result


def features(seed: int, task: str, foreignness: float = 0.0) -> ImageFeatures:
    """Features under the task's profile."""
    rng = np.random.default_rng([seed, ord(task), 1])
    of_task = np.random.default_rng([ord(task), 1])
    pooled = of_task.normal(0, 1, 24) + rng.normal(0, 0.1, 24) + 5 * foreignness * np.arange(24) % 3
    intensities = rng.normal(0.4 + 0.3 * foreignness, 0.1 + 0.01 * rng.random(), 2000)
    counts = np.histogram(intensities, bins=HISTOGRAM_BINS, range=(0.0, 1.0))[0]
    output = outputs(float(100 + rng.integers(-20, 20)) * (1 + 4 * foreignness), 0.05 + 0.3 * foreignness)
    layers = {name: moments(rows) for name, rows in maps(seed, task, foreignness).items()}
    statistics = {
        name: of_task.normal(0, 1, length) + rng.normal(0, 0.05, length) + foreignness
        for name, length in ((name, statistic_length(name, planar=True)) for name in STATISTICS)
    }
    image = ImageStatistics(statistics)
    return ImageFeatures(layers, image, pooled.astype(np.float32), counts / 2000, dict.fromkeys(PROFILES[task], output))


def sample(seed: int, task: str = "a", foreignness: float = 0.0) -> Sample:
    """An image like those of a task (0), or not (1)."""
    numbers = np.array([0.02, 0.1, 0.1]) + 0.3 * foreignness
    rng = np.random.default_rng([seed, 2])
    return Sample(
        f"{task}{seed}",
        f"group {seed}",
        task,
        (features(seed, task, foreignness),),
        task,
        rng.normal(0, 0.1, 6) + 3 * foreignness,
        dict.fromkeys(WAYS, numbers),
    )


def known(seeds: Sequence[int] = range(12)) -> list[Sample]:
    """Images of all three tasks."""
    return [sample(seed, task) for task in "abc" for seed in seeds]
