"""The piece that is kept where a structure is one piece."""

from __future__ import annotations

import numpy as np

from MultiTaskSegLib.runtime.labels.connected_component import connected_pieces, most_probable_piece


def _two_pieces() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    small, large = np.zeros((6, 6, 6), bool), np.zeros((6, 6, 6), bool)
    small[:2, :2, :2] = True
    large[4:, :, :] = True
    return small, large, np.where(small, 0.99, np.where(large, 0.51, 0.0))


def chosen(mask: np.ndarray, foreground: np.ndarray, parts: int) -> np.ndarray:
    """What is kept of a mask, its voxels being told in some parts."""
    pieces, count = connected_pieces(mask)
    told = zip(np.array_split(pieces[mask], parts), np.array_split(foreground[mask], parts), strict=True)
    return pieces == most_probable_piece(told, count)


def test_a_small_certain_piece_beats_a_large_faint_one_in_however_many_parts_they_come() -> None:
    small, large, probability = _two_pieces()
    for parts in (1, 2, 7):
        np.testing.assert_array_equal(chosen(small | large, probability, parts), small)


def test_at_equal_probability_the_larger_piece_stays() -> None:
    small, large, _ = _two_pieces()
    np.testing.assert_array_equal(chosen(small | large, np.full(small.shape, 0.9), 3), large)


def test_voxels_that_touch_at_a_corner_are_one_piece() -> None:
    mask = np.zeros((3, 3, 3), bool)
    mask[0, 0, 0] = mask[1, 1, 1] = True
    assert connected_pieces(mask)[1] == 1
    mask[1, 1, 1], mask[2, 2, 2] = False, True
    assert connected_pieces(mask)[1] == 2
    assert connected_pieces(np.zeros((3, 3, 3), bool))[1] == 0
