"""Windows cover every voxel, and patches lie where the published ones do."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from MultiTaskSegLib.runtime.network.architecture import Architecture
from trainer.data.stored_array import StoredArray
from trainer.paper_network.dense_network import DenseNetwork, initialize
from trainer.paper_network.patches import Patches, draw_start, window_size
from trainer.paper_network.settings import PaperSettings
from trainer.paper_network.windows import averaged, windows

SMALL = Architecture((2, 4, 8), ((1, 2, 2),) * 2, ((1, 3, 3),) * 3, 2)


@pytest.mark.parametrize("shape", [(1, 100, 97), (1, 96, 200), (7, 33, 96)])
def test_every_voxel_lies_in_a_window_and_no_window_leaves_the_image(shape: tuple[int, int, int]) -> None:
    size = tuple(min(n, 32) for n in shape)
    visits = np.zeros(shape, dtype=int)
    for place in windows(shape, size, 0.25):
        assert visits[place].shape == size
        visits[place] += 1
    assert visits.min() >= 1


def test_in_an_image_of_one_window_the_result_is_that_of_one_pass() -> None:
    network = DenseNetwork(SMALL, 0.1)
    initialize(network, 0)
    voxels = np.random.default_rng(0).random((1, 16, 20), dtype=np.float32)
    shares, maps = averaged(network, voxels, PaperSettings(patch=20), torch.device("cpu"))
    with torch.no_grad():
        image = torch.from_numpy(voxels)[None, None]
        expected = torch.softmax(network.eval()(image), dim=1)[0].numpy()
        features = network.features(image)["decoder0"][0].numpy()
    np.testing.assert_allclose(shares, expected, atol=1e-6)
    # Of the twice as many channels of the decoder the later half.
    np.testing.assert_allclose(maps, features[2:], atol=1e-6)


def test_probabilities_of_overlapping_windows_are_averaged_and_sum_to_one() -> None:
    network = DenseNetwork(SMALL, 0.1)
    initialize(network, 0)
    voxels = np.random.default_rng(0).random((1, 41, 30), dtype=np.float32)
    settings = PaperSettings(patch=16)
    shares, maps = averaged(network, voxels, settings, torch.device("cpu"))
    assert (shares.shape, maps.shape) == ((2, 1, 41, 30), (2, 1, 41, 30))
    np.testing.assert_allclose(shares.sum(axis=0), 1.0, atol=1e-5)
    corner = torch.from_numpy(voxels[:, :16, :16])[None, None]
    with torch.no_grad():
        expected = torch.softmax(network(corner), dim=1)[0].numpy()
    # One window alone reaches the first rows and columns.
    np.testing.assert_allclose(shares[:, :, :4, :4], expected[:, :, :4, :4], atol=1e-6)


def test_a_patch_lies_around_the_middle_and_keeps_five_voxels_from_the_border() -> None:
    rng = np.random.default_rng(0)
    found = np.array([draw_start(rng, (1, 160, 200), (1, 96, 96)) for _ in range(2000)])
    assert (found[:, 0] == 0).all()
    assert (found[:, 1].min(), found[:, 1].max()) == (5, 160 - 96 - 5)
    assert (found[:, 2].min(), found[:, 2].max()) == (5, 200 - 96 - 5)
    assert found[:, 1].mean() == pytest.approx(32, abs=1)


def test_an_image_in_a_file_is_read_to_its_end_and_filled_up_with_zeros(tmp_path: Path) -> None:
    voxels = np.random.default_rng(0).random((1, 40, 18)).astype(np.float16)
    labels = (voxels > 0.5).astype(np.uint8)
    file = tmp_path / "case.safetensors"
    save_file({"voxels": voxels, "labels": labels}, file)
    case: Any = SimpleNamespace(
        voxels=StoredArray(file, "voxels", voxels.shape), labels=StoredArray(file, "labels", labels.shape)
    )
    image, truth = Patches([[case]], SMALL, PaperSettings(patch=32), np.ones(1), 0).patch(0)
    assert (image.shape, truth.shape) == ((1, 1, 1, 32, 20), (1, 1, 32, 20))
    # Four of the forty rows lie on either side, and are all within the margin.
    np.testing.assert_array_equal(image[0, 0, :, :, :18], voxels[:, 4:36].astype(np.float32))
    np.testing.assert_array_equal(truth[0, :, :, :18], labels[:, 4:36])
    assert not image[..., 18:].any()
    assert not truth[..., 18:].any()


def test_a_patch_of_a_small_image_begins_where_the_image_does() -> None:
    size = window_size((3, 50, 60), 96, (1, 8, 8))
    assert size == (3, 56, 64)
    assert draw_start(np.random.default_rng(0), (3, 50, 60), size) == (0, 0, 0)
