"""The piece that is kept where a structure is one piece."""

from __future__ import annotations

import numpy as np

from MultiTaskSegLib.runtime.labels.connected_component import most_probable_piece


def _two_pieces() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    small, large = np.zeros((6, 6, 6), bool), np.zeros((6, 6, 6), bool)
    small[:2, :2, :2] = True
    large[4:, :, :] = True
    return small, large, np.where(small, 0.99, np.where(large, 0.51, 0.0))


def test_a_small_certain_piece_beats_a_large_faint_one() -> None:
    small, large, probability = _two_pieces()
    np.testing.assert_array_equal(most_probable_piece(small | large, probability[small | large]), small)


def test_at_equal_probability_the_larger_piece_stays() -> None:
    small, large, _ = _two_pieces()
    np.testing.assert_array_equal(most_probable_piece(small | large, np.full(152, 0.9)), large)


def test_one_piece_and_no_piece_stay_as_they_are() -> None:
    small, _, probability = _two_pieces()
    np.testing.assert_array_equal(most_probable_piece(small, probability[small]), small)
    assert not most_probable_piece(np.zeros((3, 3, 3), bool), np.zeros(0)).any()


def test_voxels_that_touch_at_a_corner_are_one_piece() -> None:
    mask = np.zeros((3, 3, 3), bool)
    mask[0, 0, 0] = mask[1, 1, 1] = True
    np.testing.assert_array_equal(most_probable_piece(mask, np.array([0.9, 0.6])), mask)
    mask[1, 1, 1], mask[2, 2, 2] = False, True
    assert most_probable_piece(mask, np.array([0.9, 0.6])).sum() == 1
