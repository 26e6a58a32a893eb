"""Percentiles of values that were counted part by part are those of all of them together."""

from __future__ import annotations

import numpy as np
import pytest

from trainer.data.value_counts import ValueCounts


@pytest.mark.parametrize("whole", [True, False])
def test_percentiles_are_those_of_one_array(whole: bool) -> None:
    rng = np.random.default_rng(0)
    parts = [rng.normal(20.0 * n, 90.0, size).astype(np.float32) for n, size in enumerate((1, 500, 0, 37))]
    parts = [part.round() for part in parts] if whole else parts
    counts = ValueCounts()
    for part in parts:
        counts.add(part)
    together = np.concatenate(parts).astype(np.float64)
    assert counts.total == together.size
    for share in (0, 0.5, 12.3, 50, 99.5, 100):
        assert counts.percentile(share) == pytest.approx(np.percentile(together, share))


def test_of_nothing_there_is_no_percentile() -> None:
    with pytest.raises(ValueError, match="no value"):
        ValueCounts().percentile(50)
