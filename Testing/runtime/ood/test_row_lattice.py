"""Which rows of large maps are looked at: the same however the map is cut, none left out for good, closed forms."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from MultiTaskSegLib.runtime.ood import row_lattice as module
from MultiTaskSegLib.runtime.ood.row_lattice import RowLattice, lattice_for

LATTICES = [RowLattice(), RowLattice(2, 1), RowLattice(3, 2), RowLattice(4, 4)]


def numbered(sizes: tuple[int, int, int]) -> torch.Tensor:
    """A map ``(1, z, y, x)`` in which every voxel has a number of its own."""
    return torch.arange(float(np.prod(sizes))).reshape(1, *sizes)


@pytest.mark.parametrize("lattice", LATTICES)
@pytest.mark.parametrize("axis", [1, 2, 3])
def test_parts_of_a_map_give_the_same_rows_as_the_whole(lattice: RowLattice, axis: int) -> None:
    whole = numbered((9, 13, 11))
    rows: list[float] = []
    for start, stop in pairwise(sorted({0, 1, 4, 9, whole.shape[axis]})):
        z, y, x = (start if axis == own else 0 for own in (1, 2, 3))
        rows += lattice.rows(whole.narrow(axis, start, stop - start), (z, y, x))[:, 0].tolist()
    assert sorted(rows) == sorted(lattice.rows(whole, (0, 0, 0))[:, 0].tolist())


@pytest.mark.parametrize("lattice", LATTICES)
def test_every_voxel_has_its_turn_exactly_once_while_the_slices_go_through_all_shifts(lattice: RowLattice) -> None:
    shifts = lattice.step_y * lattice.step_x
    plane = torch.arange(12.0 * 12.0).reshape(1, 1, 12, 12).expand(-1, shifts, -1, -1)
    assert sorted(lattice.rows(plane, (0, 0, 0))[:, 0].tolist()) == list(range(144))


def test_rows_hold_the_channels_of_their_voxel() -> None:
    core = torch.stack([numbered((2, 6, 4))[0], -numbered((2, 6, 4))[0]])
    rows = RowLattice(2, 2).rows(core, (0, 0, 0))
    torch.testing.assert_close(rows[:, 1], -rows[:, 0])


def test_small_maps_are_looked_at_voxel_by_voxel_and_large_ones_up_to_the_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MAX_VALUES", 1_000)
    assert lattice_for((5, 10, 9), 2) == RowLattice()
    for sizes, channels in (((5, 10, 20), 2), ((5, 64, 64), 3), ((40, 31, 50), 7)):
        rows = lattice_for(sizes, channels).rows(numbered(sizes), (0, 0, 0))
        assert 800 <= rows.shape[0] * channels <= 2_000
    assert lattice_for((5_000, 3, 2), 8) == RowLattice(3, 2)


@pytest.mark.parametrize("lattice", LATTICES)
def test_the_spectrum_of_waves_is_found_from_few_rows_as_from_all(lattice: RowLattice) -> None:
    """Cosines of different whole frequencies are orthogonal on every regular lattice: s = amplitude sqrt(N / 2)."""
    amplitudes, frequencies, sizes = [5.0, 3.0, 0.5], [1, 2, 3], (16, 48, 48)
    y, x = torch.meshgrid(torch.arange(48.0), torch.arange(48.0), indexing="ij")
    waves = [a * torch.cos(2 * torch.pi * f * (x + y + 0.3) / 48) for a, f in zip(amplitudes, frequencies, strict=True)]
    rows = lattice.rows(torch.stack(waves)[:, None].expand(-1, 16, -1, -1), (0, 0, 0)).double()
    values = torch.linalg.svdvals(rows) * np.sqrt(np.prod(sizes) / len(rows))
    np.testing.assert_allclose(values.numpy(), np.array(amplitudes) * np.sqrt(np.prod(sizes) / 2), rtol=1e-5)
