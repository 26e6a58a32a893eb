"""A run of the trainer as the benchmark sees it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from MultiTaskSegLib.runtime.network.architecture import SegmentationNetwork
from Testing.bench.growth_law import exponent
from Testing.bench.own_training import run, segment
from Testing.trainer.synthetic_dataset import BallDataset
from trainer.config import TrainingConfig
from trainer.data.dataset import read_dataset
from trainer.data.planning import make_plan

SETTINGS = {
    "channels": (3, 4), "patches_per_group": 1, "groups_per_step": 1, "patch_voxels": 1024, "workers": 0, "threads": 1,
    "minimum_validation_groups": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    return BallDataset("A", shape=(7, 13, 11), spacing_xyz_mm=(1.0, 1.0, 2.0), label_values=(2, 5)).write(folder)


def result(directory: Path, folder: Path, **settings: Any) -> dict[str, Any]:
    request = {"datasets": [str(directory)], "steps": 8, "shares": [0.25, 1.0], "settings": {**SETTINGS, **settings}}
    return run(request | {"folder": str(folder), "output": str(folder / "result.json")})


def test_whole_images_are_measured_at_the_wanted_shares_of_the_run(directory: Path, tmp_path: Path) -> None:
    found = result(directory, tmp_path)
    points = sorted(found["points"], key=lambda point: point["step"])
    assert [point["step"] for point in points] == [2, 8]
    assert 0 < points[0]["cpu_s"] < points[1]["cpu_s"]
    assert all(0 <= point["dice"] <= 1 for point in points)
    assert 0 <= found["loader_wait_share"] < 1


def test_weights_depend_on_the_seed_and_not_on_who_looks_or_loads(directory: Path, tmp_path: Path) -> None:
    digests = [
        result(directory, tmp_path / name, **settings)["weights_sha256"]
        for name, settings in (("a", {}), ("b", {"workers": 1}), ("c", {"seed": 1}))
    ]
    assert digests[0] == digests[1] != digests[2]


def test_a_segmentation_has_the_dataset_s_values_on_the_image_s_own_grid(directory: Path) -> None:
    dataset = read_dataset(directory)
    plan = make_plan([dataset], TrainingConfig(channels=(3, 4)))
    network = SegmentationNetwork(plan.architecture).eval()
    case = dataset.cases[0]
    for index, value in enumerate((0, 2, 5)):
        with torch.no_grad():
            network.head.weight.zero_()
            assert network.head.bias is not None
            network.head.bias.copy_(torch.nn.functional.one_hot(torch.tensor(index), 3).float())
        found = segment(network, plan.tasks[0], case)
        assert found.shape == case.read_image().shape
        assert np.array_equal(np.unique(found), [value])


def test_growth_is_the_power_of_the_count() -> None:
    assert exponent([1, 2, 4], [3.0, 3.0, 3.0]) == pytest.approx(0.0, abs=1e-9)
    assert exponent([1, 2, 4], [3.0, 6.0, 12.0]) == pytest.approx(1.0)
    assert exponent([1], [3.0]) is None
