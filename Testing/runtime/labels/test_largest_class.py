"""The running arg-max is numpy's."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from MultiTaskSegLib.runtime.labels.largest_class import by_torch, largest_class


@pytest.mark.parametrize("find", [largest_class, by_torch])
@pytest.mark.parametrize("classes", [1, 2, 5, 256])
def test_the_first_of_the_largest_values_counts(
    classes: int, find: Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
) -> None:
    values = np.random.default_rng(classes).integers(-3, 3, (classes, 4, 5, 6)).astype(np.float32)
    best, index = find(torch.from_numpy(values))
    np.testing.assert_array_equal(index.numpy(), values.argmax(axis=0))
    np.testing.assert_array_equal(best.numpy(), values.max(axis=0))
