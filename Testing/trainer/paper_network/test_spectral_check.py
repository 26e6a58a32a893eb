"""The published check against closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from trainer.paper_network.spectral_check import SpectralCheck, signature


def test_the_signature_holds_logarithms_of_singular_values_at_a_quarter_of_the_resolution() -> None:
    # Two channels that are nowhere both there: 4 x 4 blocks of 3 in the one, of 5 in the other.
    maps = np.zeros((2, 1, 8, 8), dtype=np.float32)
    maps[0, :, :4], maps[1, :, 4:] = 3.0, 5.0
    values = np.log([5 * np.sqrt(2), 3 * np.sqrt(2)])
    np.testing.assert_allclose(signature(maps), values / np.linalg.norm(values))


def test_the_threshold_is_mean_and_deviations_of_the_distances_to_the_nearest_other_image() -> None:
    check = SpectralCheck.of(np.array([[0.0, 0.0], [1.0, 0.0], [4.0, 0.0]]))
    nearest = np.array([1.0, 1.0, 3.0])
    assert check.threshold == pytest.approx(nearest.mean() + 2.5 * nearest.std())
    assert check.score(np.array([4.0, 2.0])) == pytest.approx(2.0 / check.threshold)
