"""Which tasks are one piece, and that every chosen case is measured once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from trainer.data.case_cache import PreparedCase
from trainer.layout.case import Case
from trainer.training.measuring import has_single_component


def case(labels: np.ndarray) -> PreparedCase:
    return PreparedCase(Case("c", Path("i"), Path("l"), "g"), labels.astype(np.float16), labels.astype(np.uint8), {})


WHOLE = np.zeros((1, 6, 9))
WHOLE[0, 2:4, 2:5] = 1
SPLIT = WHOLE.copy()
SPLIT[0, 0, 8] = 1


@pytest.mark.parametrize("count, is_single", [(20, True), (19, False)])
def test_a_task_has_one_piece_when_that_is_so_in_95_percent_of_its_cases(count: int, is_single: bool) -> None:
    assert has_single_component([case(SPLIT), *[case(WHOLE)] * (count - 1)]) is is_single


def test_two_labels_that_touch_are_one_piece() -> None:
    both = WHOLE.copy()
    both[0, 4, 2:5] = 2
    assert has_single_component([case(both)])


def test_voxels_that_touch_at_a_corner_are_one_piece_and_an_empty_case_is_no_exception() -> None:
    corners = np.zeros((3, 3, 3))
    corners[0, 0, 0] = corners[1, 1, 1] = 1
    assert has_single_component([case(corners), case(np.zeros((3, 3, 3)))])
    corners[1, 1, 1], corners[2, 2, 2] = 0, 1
    assert not has_single_component([case(corners)])
