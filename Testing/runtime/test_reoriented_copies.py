"""However the voxels of one image are stored, the same voxel of the body gets the same label and uncertainty."""

from __future__ import annotations

import numpy as np
import pytest

from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.predictor import Predictor
from Testing.runtime.orientation import OBLIQUE_DEG, axis_matrices, grid
from Testing.runtime.tiny_model import write_tiny_model

SHAPE = (7, 9, 11)
SPACING_MM = (2.1, 1.7, 3.2)


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return Predictor.load(write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.mts.safetensors"), "cpu")


def ball(oblique: str) -> Volume:
    """A bright ball and a gradient with noise: no symmetry that could hide a flip."""
    z, y, x = np.indices(SHAPE)
    voxels = 40.0 * (((z - 3) ** 2 + (y - 4) ** 2 + (x - 6) ** 2) < 9) + 0.5 * z - 0.8 * x
    voxels = voxels + np.random.default_rng(4).normal(size=SHAPE)
    return Volume(voxels.astype(np.float32), grid(np.eye(3), OBLIQUE_DEG[oblique], SPACING_MM))


def stored_as(volume: Volume, axes: np.ndarray) -> Volume:
    """The same image with its voxels stored along permuted and flipped axes."""
    order_xyz = np.abs(axes).argmax(axis=0)  # new axis n runs along old axis order_xyz[n]
    backwards = axes.sum(axis=0) < 0
    voxels = arrange(volume.voxels, axes)
    step = np.eye(4)
    step[:3, :3] = axes
    counts_xyz = np.array(volume.shape[::-1])[order_xyz]
    step[:3, 3] = axes @ np.where(backwards, -(counts_xyz - 1), 0)
    return Volume(voxels, volume.ijk_to_lps @ step)


def arrange(array: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """``(Z, Y, X)`` rearranged so that new axis n runs along old axis ``axes[:, n]``."""
    order_xyz = np.abs(axes).argmax(axis=0)
    moved = array.transpose([2 - axis for axis in order_xyz[::-1]])
    flips_zyx = (axes.sum(axis=0) < 0)[::-1]
    return np.ascontiguousarray(moved[tuple(slice(None, None, -1 if flip else 1) for flip in flips_zyx)])


def test_copies_put_every_voxel_where_it_was() -> None:
    volume = ball("oblique")
    for axes in axis_matrices():
        copy = stored_as(volume, axes)
        k, j, i = 3, 5, 6
        world_mm = copy.ijk_to_lps @ [i, j, k, 1]
        ijk = np.rint(np.linalg.inv(volume.ijk_to_lps) @ world_mm)[:3].astype(int)
        assert volume.voxels[tuple(ijk[::-1])] == copy.voxels[k, j, i]


@pytest.mark.parametrize("oblique", OBLIQUE_DEG)
def test_reoriented_copies_get_the_same_labels_voxel_by_voxel(predictor: Predictor, oblique: str) -> None:
    volume = ball(oblique)
    expected = predictor.segment(volume)
    assert len(np.unique(expected.labels)) > 1
    for axes in axis_matrices():
        found = predictor.segment(stored_as(volume, axes))
        np.testing.assert_array_equal(found.labels, arrange(expected.labels, axes))
        np.testing.assert_array_equal(found.uncertainty, arrange(expected.uncertainty, axes))
        assert found.verdict == expected.verdict
        assert found.labels.shape == found.volume.shape


def test_a_flip_that_is_not_told_would_be_noticed(predictor: Predictor) -> None:
    volume = ball("straight")
    expected = predictor.segment(volume)
    flipped = predictor.segment(Volume(np.ascontiguousarray(volume.voxels[:, :, ::-1]), volume.ijk_to_lps))
    assert (flipped.labels[:, :, ::-1] != expected.labels).any()
