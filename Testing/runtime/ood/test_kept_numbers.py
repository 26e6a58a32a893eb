"""Numbers that model files hold must stay comparable: an image has the same ones in every version.

A reference in a model file was computed by the version that made it, and is compared with what this version computes of
a new image. Another constant anywhere on the way would make every image look foreign, or none. The formulas have tests
of their own; these numbers were computed once, with version 0.1.0.
"""

from __future__ import annotations

import numpy as np
import pytest

from MultiTaskSegLib.runtime.ood.cell_features import cell_size, image_cells
from MultiTaskSegLib.runtime.ood.image_statistics import image_statistics
from Testing.runtime.tiny_model import ARCHITECTURE, tiny_images, tiny_memories, tiny_reference

# First value, the one in the middle, the last one, mean and standard deviation.
STATISTICS = {
    "3-D": {
        "texture0": (1.6739, -6.1327, -14.1186, -7.1094, 4.2558),
        "texture1": (1.5655, -5.1174, -12.2539, -6.7717, 4.0717),
        "layout": (0.5496, -1.7082, -1.5661, -0.5587, 0.9796),
        "shading": (-1.0809, -0.0011, 0.001, -0.0043, 0.1208),
    },
    "2-D": {
        "texture0": (1.5902, -3.6227, -3.6674, -3.2804, 1.1915),
        "texture1": (1.5545, -2.8643, -5.3591, -3.9526, 1.4815),
        "layout": (0.4696, -1.4908, -1.5881, -0.551, 0.9887),
        "shading": (-0.8822, 0.1125, -0.0333, -0.0107, 0.1262),
    },
}
SHAPES = {"3-D": (12, 40, 44), "2-D": (1, 66, 70)}
# Mean and standard deviation over the cells, by feature.
CELLS = {
    "3-D": (
        (0.4166, -1.617, -0.0002, -3.015, 0.0023, -2.0631, 0.0022, -1.9047, 0.0, -2.1129, -0.0002, -1.7031),
        (0.108, 0.5731, 0.0062, 0.3147, 0.0205, 0.528, 0.0273, 0.5354, 0.0107, 0.2846, 0.0172, 0.3092),
    ),
    "2-D": (
        (0.4382, -1.5704, 0.0, -4.6052, 0.0006, -2.1059, 0.0005, -1.8836, -0.0001, -2.225, 0.0001, -1.6549),
        (0.0664, 0.3587, 0.0, 0.0, 0.0122, 0.3949, 0.0167, 0.3509, 0.007, 0.2227, 0.0106, 0.2184),
    ),
}


def pattern(shape: tuple[int, int, int]) -> np.ndarray:
    """Waves of several lengths with a dark tube through them, ``(Z, Y, X)`` in [0, 1]."""
    z, y, x = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    waves = 0.45 + 0.3 * np.sin(0.9 * x + 0.2 * y) * np.cos(0.5 * y - 0.3 * z) + 0.2 * np.sin(0.05 * x * y)
    waves = np.where((x - 20) ** 2 + (y - 18) ** 2 < 60, 0.0, waves)
    return np.clip(waves, 0, 1).astype(np.float32)


@pytest.mark.parametrize("kind", SHAPES)
def test_the_statistics_of_an_image_are_those_that_reference_images_have(kind: str) -> None:
    found = image_statistics(pattern(SHAPES[kind]), kind == "2-D").values
    assert found.keys() == STATISTICS[kind].keys()
    for name, values in found.items():
        of_it = (values[0], values[len(values) // 2], values[-1], values.mean(), values.std())
        np.testing.assert_allclose(of_it, STATISTICS[kind][name], rtol=1e-3, atol=2e-4, err_msg=name)


@pytest.mark.parametrize("kind", SHAPES)
def test_cells_of_an_image_have_the_features_that_remembered_cells_have(kind: str) -> None:
    cells = image_cells(pattern(SHAPES[kind]), (1, 8, 8) if kind == "2-D" else (2, 8, 8))
    by_feature = cells.reshape(len(cells), -1)
    np.testing.assert_allclose(by_feature.mean(axis=1), CELLS[kind][0], rtol=1e-3, atol=2e-4)
    np.testing.assert_allclose(by_feature.std(axis=1), CELLS[kind][1], rtol=1e-3, atol=2e-4)


@pytest.mark.parametrize(
    ("seed", "place", "distances", "p_value", "nearest"),
    [
        (9, 0, (3.40068, 98.41977), 6 / 7, {"shading": 8.38003, "layout": 5.05949, "texture0": 2.96565}),
        (10, 7, (10.19053, 3.63034), 2 / 7, {"shading": 8.67084, "layout": 5.36654, "texture1": 3.35610}),
    ],
)
def test_distances_to_a_reference_are_those_that_its_limits_were_set_by(
    seed: int, place: int, distances: tuple[float, float], p_value: float, nearest: dict[str, float]
) -> None:
    verdict = tiny_reference().judge(tiny_images(seed)[place].spectra)
    assert tuple(verdict.distances.values()) == pytest.approx(distances, rel=1e-3)
    assert verdict.threshold == pytest.approx(4.20945, rel=1e-3)
    assert verdict.p_value == pytest.approx(p_value)
    # Of six held-out images so many are nearer.
    assert verdict.explanation is not None
    assert verdict.explanation.percent_of_known_nearer == pytest.approx(100 * (1 - (7 * p_value - 1) / 6))
    assert {block.part: block.ratio for block in verdict.explanation.blocks[:3]} == pytest.approx(nearest, rel=1e-3)


@pytest.mark.parametrize(("task", "scores"), [(0, (0.6104, 1.3557, 2.7606)), (1, (0.5763, 1.4303, 2.9682))])
def test_cells_are_as_far_from_remembered_ones_as_the_map_was_calibrated_by(
    task: int, scores: tuple[float, float, float]
) -> None:
    cells = image_cells(pattern((16, 32, 32)), cell_size(ARCHITECTURE))
    found = tiny_memories()[task].scores(cells)
    # Remembered cells are kept in half precision.
    assert (found.min(), found.mean(), found.max()) == pytest.approx(scores, rel=5e-3)
