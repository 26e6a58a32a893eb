"""Agreement of label maps that can be counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from MultiTaskSegLib.runtime.quality.pairwise_dice import pairwise_dice, pairwise_dice_by_label

ONE, TWO, THREE = (np.array([[values]]) for values in ([1, 1, 0, 0], [1, 0, 0, 0], [1, 1, 2, 0]))


def test_the_pairwise_dice_is_the_mean_over_pairs_of_what_they_show() -> None:
    # Pairs: 2/3; (1 and 0)/2; (2/3 and 0)/2. Label 3 is shown by none.
    expected = (2 / 3 + 1 / 2 + 1 / 3) / 3
    assert pairwise_dice([ONE, TWO, THREE], [1, 2, 3]) == pytest.approx(expected)
    assert pairwise_dice([THREE, ONE, TWO], [3, 2, 1]) == pytest.approx(expected)
    assert pairwise_dice([ONE, ONE, ONE], [1, 2]) == 1
    assert np.isnan(pairwise_dice([ONE * 0, ONE * 0], [1, 2]))


def test_of_one_label_only_the_pairs_that_show_it_count() -> None:
    found = pairwise_dice_by_label([ONE, TWO, THREE], [1, 2, 3])
    assert found[1] == pytest.approx((2 / 3 + 1 + 2 / 3) / 3)
    assert found[2] == 0
    assert np.isnan(found[3])
