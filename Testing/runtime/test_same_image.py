"""The same image gives the same answer, however it is stored and however much air lies around it."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.prediction.segmentation import Segmentation
from MultiTaskSegLib.runtime.predictor import Predictor
from Testing.runtime.image.test_geometry import PLANES, stored_otherwise
from Testing.runtime.orientation import axis_matrices, grid
from Testing.runtime.tiny_model import write_tiny_model


@pytest.fixture(scope="module")
def predictors(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Predictor]:
    """A model for 3-D and one for 2-D images, by whether it is planar."""
    folder = tmp_path_factory.mktemp("models")
    return {
        planar: Predictor.load(
            write_tiny_model(folder / f"{planar}.mts.safetensors", is_planar=planar, with_cells=True), "cpu"
        )
        for planar in (False, True)
    }


def noise(shape: tuple[int, int, int], ijk_to_lps: np.ndarray) -> Volume:
    return Volume(np.random.default_rng(3).normal(100, 30, shape).astype(np.float32), ijk_to_lps, "noise")


def answer(result: Segmentation) -> tuple[object, ...]:
    return result.task.name, result.verdict.score, result.verdict.is_ood, result.warnings


@pytest.mark.parametrize("is_planar", [False, True])
@pytest.mark.parametrize("plane", PLANES)
def test_every_storage_and_small_tilt_of_an_image_has_the_same_labels_and_verdict(
    predictors: dict[bool, Predictor], plane: str, is_planar: bool
) -> None:
    shape, spacing_mm = ((1, 14, 18), (1.0, 1.0, 1.0)) if is_planar else ((5, 14, 18), (1.5, 1.5, 6.0))
    upright = noise(shape, grid(PLANES[plane], (0.0, 0.0, 0.0), spacing_mm))
    expected = predictors[is_planar].segment(upright)
    assert 0 < (expected.labels > 0).mean() < 1
    for tilt_deg, axes in product((-44.0, -0.5, 0.5, 44.0), axis_matrices()[::7]):
        tilted = noise(shape, grid(PLANES[plane], (tilt_deg, 0.0, 0.0), spacing_mm))
        found = predictors[is_planar].segment(stored_otherwise(tilted, axes))
        assert answer(found) == answer(expected)
        as_labels = Volume(expected.labels.astype(np.float32), tilted.ijk_to_lps)
        np.testing.assert_array_equal(found.labels, stored_otherwise(as_labels, axes).voxels)


def test_a_single_line_of_pixels_has_the_same_labels_and_verdict_in_every_order_of_storage(
    predictors: dict[bool, Predictor],
) -> None:
    line = noise((1, 1, 18), np.diag([1.5, 1.0, 4.0, 1.0]))
    expected = predictors[True].segment(line)
    for axes in axis_matrices():
        found = predictors[True].segment(stored_otherwise(line, axes))
        assert answer(found) == answer(expected)
        as_labels = Volume(expected.labels.astype(np.float32), line.ijk_to_lps)
        np.testing.assert_array_equal(found.labels, stored_otherwise(as_labels, axes).voxels)


@pytest.mark.parametrize("is_planar", [False, True])
def test_air_around_an_image_changes_nothing_inside(predictors: dict[bool, Predictor], is_planar: bool) -> None:
    shape = (1, 14, 18) if is_planar else (5, 14, 18)
    plain = noise(shape, np.diag([1.5, 1.5, 2.5, 1.0]))
    plain.voxels[0, 0, 0] = -5.0
    expected = predictors[is_planar].segment(plain)
    for before, after in (((0, 0), (0, 9)), ((7, 3), (2, 0)), ((30, 31), (33, 30))):
        width = [(0 if is_planar else 2, 0), *zip(before, after, strict=True)]
        padded = Volume(np.pad(plain.voxels, width, constant_values=-5.0), plain.ijk_to_lps, "noise")
        found = predictors[is_planar].segment(padded)
        inside = tuple(slice(first, first + count) for (first, _), count in zip(width, shape, strict=True))
        assert answer(found) == answer(expected)
        for maps in ("labels", "uncertainty", "confidence"):
            whole = getattr(found, maps)
            np.testing.assert_array_equal(whole[inside], getattr(expected, maps))
        assert found.labels.sum() == expected.labels.sum()
        assert found.predicted_dice == expected.predicted_dice


def test_locating_is_the_same_with_air_around(predictors: dict[bool, Predictor]) -> None:
    plain = noise((5, 14, 18), np.diag([1.5, 1.5, 2.5, 1.0]))
    plain.voxels[0, 0, 0] = -5.0
    padded = Volume(np.pad(plain.voxels, ((1, 2), (0, 7), (9, 1)), constant_values=-5.0), plain.ijk_to_lps)
    (_, expected), (_, found) = (predictors[False].locate(v) for v in (plain, padded))
    np.testing.assert_array_equal(found[1:6, :14, 9:27], expected)
    assert (np.pad(expected, ((1, 2), (0, 7), (9, 1))) == found).all()
