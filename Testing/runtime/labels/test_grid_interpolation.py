"""Interpolation slab by slab is that of whole arrays."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from MultiTaskSegLib.runtime.image.resampling import resample_linear
from MultiTaskSegLib.runtime.labels.grid_interpolation import SliceInterpolation, interpolate_plane
from MultiTaskSegLib.runtime.labels.label_rows import label_rows, whole_plane


@pytest.mark.parametrize("shape", [(7, 9), (14, 5), (3, 20), (1, 1), (7, 30)])
def test_the_plane_is_resampled_as_whole_arrays_are(shape: tuple[int, int]) -> None:
    values = np.random.default_rng(2).random((2, 3, 7, 9), dtype=np.float32)
    found = interpolate_plane(torch.from_numpy(values), shape[1], whole_plane(7, shape[0])).numpy()
    np.testing.assert_allclose(found, resample_linear(values, shape), atol=1e-6)


@pytest.mark.parametrize("rows", [7, 14, 23, 3, 1])
@pytest.mark.parametrize("cut", [1, 2, 4, 6])
def test_strips_of_rows_are_resampled_as_whole_planes_are(rows: int, cut: int) -> None:
    values = torch.from_numpy(np.random.default_rng(2).random((2, 3, 7, 9), dtype=np.float32))
    expected = interpolate_plane(values, 20, whole_plane(7, rows))
    strips = [label_rows(core, 7, rows) for core in ((0, cut), (cut, 7))]
    found = [interpolate_plane(values[:, :, s.given], 20, s) for s in strips if s.wanted.stop > s.wanted.start]
    torch.testing.assert_close(torch.cat(found, dim=2), expected, atol=0, rtol=0)


@pytest.mark.parametrize("step", [1, 2, 5, 100])
@pytest.mark.parametrize(("n_in", "n_out"), [(9, 9), (9, 23), (23, 9), (1, 4), (4, 1), (30, 31), (31, 7)])
def test_slices_come_as_soon_as_they_are_complete_and_are_those_of_the_whole(n_in: int, n_out: int, step: int) -> None:
    values = torch.from_numpy(np.random.default_rng(3).random((2, n_in, 4, 5), dtype=np.float32))
    interpolation = SliceInterpolation(n_in, n_out)
    parts = [interpolation.push(slab) for slab in values.split(step, dim=1)]
    expected = resample_linear(values.numpy(), (n_out, 4, 5))
    np.testing.assert_allclose(torch.cat(parts, dim=1).numpy(), expected, atol=1e-6)
    if step == 1 and min(n_in, n_out) > 8:
        assert all(part.shape[1] <= 5 for part in parts), "slices must not wait for the end"
