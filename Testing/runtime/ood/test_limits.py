"""Numbers that decide, as they are promised: a value on either side of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import prod

import numpy as np
import pytest
import torch

from MultiTaskSegLib.runtime.network.architecture import Architecture, Triple
from MultiTaskSegLib.runtime.network.parts import strips
from MultiTaskSegLib.runtime.ood import image_statistics as statistics_module
from MultiTaskSegLib.runtime.ood import row_lattice
from MultiTaskSegLib.runtime.ood.cell_features import cell_size, describe_cells, image_cells
from MultiTaskSegLib.runtime.ood.cell_reference import CellMemory, nearest_ratios
from MultiTaskSegLib.runtime.ood.image_statistics import LAYOUT, TEXTURES, image_statistics
from MultiTaskSegLib.runtime.ood.reference import SpectralReference
from MultiTaskSegLib.runtime.ood.row_lattice import RowLattice, lattice_for
from MultiTaskSegLib.runtime.ood.signature import SignatureSpec, signature_spec
from MultiTaskSegLib.runtime.ood.spectrum import LayerSpectrum, SpectrumCollector
from MultiTaskSegLib.runtime.ood.task_metric import TaskMetric
from Testing.runtime.ood.whole_tile import collect
from Testing.runtime.random_network import THICK_SLICES
from trainer.tiled.halo_tiles import make_tiles

SPEC = SignatureSpec("multilayer", ("only",), 0.0)
ONE_LEVEL: Triple = (4, 10, 10)


def placed(threshold: float, scores: list[float]) -> SpectralReference:
    """Three tasks with one training image each at 0, in units of 1."""
    vectors, scales = {"only": np.zeros((3, 1))}, {"only": np.ones(3)}
    return SpectralReference(SPEC, ["a", "b", "c"], vectors, np.arange(3), scales, np.array(scores), threshold)


def test_a_task_up_to_a_fifth_farther_in_logarithms_is_a_close_call() -> None:
    reference = placed(1.0, [1.0])
    assert reference.contenders(np.array([1.0, 1.199, 1.201])) == [0, 1]
    assert reference.contenders(np.array([1.199, 1.1, 1.0])) == [2, 1, 0]


def test_close_calls_are_named_in_the_order_in_which_tasks_are_recognised() -> None:
    """In units of 1 and 4, half of which counts, the second task is log(2) farther than its own unit says."""
    vectors, scales = {"only": np.zeros((2, 1))}, {"only": np.array([1.0, 4.0])}
    reference = SpectralReference(SPEC, ["a", "b"], vectors, np.arange(2), scales, np.ones(1), 1.0)
    assert reference.contenders(np.array([1.0, 1.0 - np.log(2) + 0.1])) == [0, 1]
    assert reference.contenders(np.array([1.0, 1.0 - np.log(2) - 0.1])) == [1, 0]
    assert reference.contenders(np.array([1.0, 1.0 - np.log(2) + 0.21])) == [0]


def test_only_a_score_above_the_threshold_is_foreign_and_equal_scores_are_at_least_as_far_out() -> None:
    judge = placed(2.0, [1.0, 2.0, 3.0]).judge
    seen = {place: judge({"only": LayerSpectrum(np.exp([place]), 1, np.zeros(1))}) for place in (1.999, 2.0, 2.001)}
    assert [verdict.is_ood for verdict in seen.values()] == [False, False, True]
    assert [verdict.p_value for verdict in seen.values()] == [3 / 4, 3 / 4, 2 / 4]
    nearer = [v.explanation.percent_of_known_nearer for v in seen.values() if v.explanation]
    assert nearer == pytest.approx([100 / 3, 100 / 3, 200 / 3])


@pytest.mark.parametrize("spread", [0.1, 1.0, 10.0])
def test_seven_tenths_of_the_measure_are_the_task_s_own_and_three_tenths_that_of_all(spread: float) -> None:
    """Two images at -spread and +spread have the variance spread^2."""
    metric = TaskMetric(np.array([[-spread], [spread]]), np.eye(1), 0.0)
    expected = 1.0 / np.sqrt(0.3 + 0.7 * spread**2)
    assert np.linalg.norm(metric.project(np.array([1.0]))) == pytest.approx(expected)


@pytest.mark.parametrize("variant", ["composite", "whitened", "multilayer"])
def test_singular_values_below_a_ten_thousandth_of_the_largest_say_nothing(variant: str) -> None:
    spec = signature_spec(THICK_SLICES, variant)  # type: ignore[arg-type]
    vector = spec.vector(LayerSpectrum(np.array([2.0, 2.02e-4, 1.98e-4, 0.0]), 1, np.zeros(4)))
    np.testing.assert_allclose(vector, np.log([2.0, 2.02e-4, 2e-4, 2e-4]))
    assert signature_spec(THICK_SLICES, "paper").floor == 0.0


def known_rows(values: list[float]) -> torch.Tensor:
    """A map ``(1, C, 4, 10, 10)`` whose voxels x channels matrix has these singular values."""
    generator = np.random.default_rng(2)
    left, _ = np.linalg.qr(generator.normal(size=(prod(ONE_LEVEL), len(values))))
    right, _ = np.linalg.qr(generator.normal(size=(len(values),) * 2))
    return torch.from_numpy((left * values) @ right.T).T.reshape(1, len(values), *ONE_LEVEL)


@pytest.mark.parametrize(("floor", "is_accurate"), [(0.0, True), (0.99e-6, True), (1e-6, False)])
def test_below_a_floor_of_a_millionth_small_singular_values_keep_half_the_digits_that_squares_lose(
    floor: float, is_accurate: bool
) -> None:
    """In double precision F^T F knows squares to 1e-16 of the largest, so values to 1e-8 of it, and no better."""
    values = [1.0, 1e-3, 1e-9, 1e-11]
    architecture = Architecture((4, 4), ((1, 1, 1),), ((1, 1, 1),) * 2, 1)
    collector = SpectrumCollector(architecture, ("encoder0",), ONE_LEVEL, floor)
    collect(collector, strips(ONE_LEVEL, None, 0)[0], {"encoder0": known_rows(values)})
    found = collector.spectra()["encoder0"].singular_values
    np.testing.assert_allclose(found[:2], values[:2], rtol=1e-6)
    assert bool(np.abs(found[2:] / values[2:] - 1).max() < 1e-3) == is_accurate


@pytest.mark.parametrize("floor", [0.0, 1e-4], ids=["qr", "gram"])
def test_a_map_without_any_voxel_has_a_spectrum_of_zeros(floor: float) -> None:
    spectrum = SpectrumCollector(THICK_SLICES, ("encoder1",), (4, 8, 8), floor).spectra()["encoder1"]
    assert spectrum.voxels == 0
    np.testing.assert_array_equal(spectrum.singular_values, np.zeros(4))
    np.testing.assert_array_equal(spectrum.channel_means, np.zeros(4))
    assert np.isfinite(SignatureSpec("multilayer", ("encoder1",), floor).vector(replace(spectrum, voxels=1))).all()


def test_slabs_of_a_tile_with_a_halo_give_the_rows_of_the_tile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of large maps some rows are looked at; which ones depends on their place in the image, not in the tile."""
    monkeypatch.setattr(row_lattice, "MAX_VALUES", 1_500)
    sizes = (36, 8, 8)
    tiles = make_tiles(sizes, THICK_SLICES.total_stride, (6, 8, 8), 20 * 64)
    assert any(tile.source[0][0] < tile.core[0][0] for tile in tiles)
    whole = torch.rand((1, 3, *sizes), generator=torch.Generator().manual_seed(4))
    slabwise, at_once = (SpectrumCollector(THICK_SLICES, ("decoder0",), sizes, 0.0) for _ in range(2))
    for tile in tiles:
        part = whole[(slice(None), slice(None), *tile.source_slices())]
        collect(at_once, tile, {"decoder0": part})
        observe = slabwise.watch(tile)
        for slab in part.split(3, dim=2):
            observe("decoder0", slab)
    found, expected = (collector.spectra()["decoder0"] for collector in (slabwise, at_once))
    np.testing.assert_allclose(found.singular_values, expected.singular_values, rtol=1e-10)
    np.testing.assert_allclose(found.channel_means, expected.channel_means, rtol=1e-6)
    assert found.voxels == expected.voxels == prod(sizes)


def test_maps_of_up_to_twice_three_and_a_half_million_values_are_looked_at_voxel_by_voxel() -> None:
    assert lattice_for((139, 500, 50), 2) == RowLattice(1, 1)
    assert lattice_for((140, 500, 50), 2) == RowLattice(2, 1)


def strides(monkeypatch: pytest.MonkeyPatch, shape: Triple, planar: bool) -> tuple[int, ...]:
    """Step ``(z, y, x)`` from one place to the next at which the fine texture is looked at."""
    steps: list[tuple[int, ...]] = []
    plain: Callable[..., torch.Tensor] = torch.nn.functional.conv3d

    def conv3d(image: torch.Tensor, filters: torch.Tensor, *, stride: tuple[int, ...]) -> torch.Tensor:
        steps.append(stride)
        return plain(image[..., : 5 * stride[1], : 5 * stride[2]], filters, stride=stride)

    with monkeypatch.context() as patch:
        patch.setattr(statistics_module.functional, "conv3d", conv3d)
        statistics_module._texture(torch.zeros((1, 1, *shape)), planar)
    return steps[0]


# A step of 2 where the root of voxels / 350 000 rounds to it: from 787 500 pixels or 1 181 250 voxels on.
@pytest.mark.parametrize(
    ("shape", "planar", "expected"),
    [
        ((1, 1000, 787), True, (1, 1, 1)),
        ((1, 1000, 788), True, (1, 2, 2)),
        ((100, 100, 118), False, (1, 1, 1)),
        ((100, 100, 119), False, (2, 2, 2)),
        ((31, 200, 200), False, (1, 2, 2)),
        ((32, 200, 200), False, (2, 2, 2)),
    ],
)
def test_images_beyond_350_000_places_are_thinned_along_sides_of_at_least_32(
    shape: Triple, planar: bool, expected: Triple, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert strides(monkeypatch, shape, planar) == expected


def test_what_a_constant_image_lacks_is_raised_to_the_smallest_power_and_variance() -> None:
    values = image_statistics(np.zeros((8, 9, 10), dtype=np.float32), False).values
    np.testing.assert_allclose(values[TEXTURES[0]], np.log(1e-10))
    np.testing.assert_allclose(values[LAYOUT][32:], np.log(1e-3))


def test_a_constant_cell_has_the_smallest_deviation() -> None:
    means, deviations = describe_cells(np.full((2, 4, 4), 0.25, dtype=np.float32), (2, 2, 2))
    np.testing.assert_allclose(means, 0.25)
    np.testing.assert_allclose(deviations, np.log(0.01), rtol=1e-5)


def test_details_of_a_wave_are_those_of_filters_of_one_and_of_two_voxels() -> None:
    """A Gaussian of deviation s leaves the share exp(-(s k)^2 / 2) of a wave of k radians a voxel."""
    k, amplitude = 2 * np.pi / 8, 0.3
    wave = np.broadcast_to(0.5 + amplitude * np.cos(k * np.arange(48)), (4, 4, 48)).astype(np.float32)
    inner = image_cells(wave, (4, 4, 8))[:, 0, 0, 2]
    found = np.exp(inner[[9, 11]]) - 0.01
    left = np.exp(-0.5 * (np.array([1.0, 2.0]) * k) ** 2)
    expected = amplitude / np.sqrt(2) * np.array([k**2 * left[0], 1 - left[1]])
    np.testing.assert_allclose(found, expected, rtol=0.02)


@pytest.mark.parametrize(("stride", "cell"), [((1, 2, 3), (1, 2, 3)), ((4, 6, 9), (2, 3, 9)), ((5, 8, 10), (5, 4, 5))])
def test_strides_of_at_least_4_are_halved_where_they_are_even(stride: Triple, cell: Triple) -> None:
    assert cell_size(Architecture((2, 2), (stride,), ((1, 1, 1),) * 2, 1)) == cell


def memory() -> CellMemory:
    """One feature, remembered at 0, 1, 2 and 9, in units of 1."""
    cells, units = np.array([[0.0], [1.0], [2.0], [9.0]], dtype=np.float16), np.ones(4, dtype=np.float16)
    quantiles = np.linspace(-3.0, 5.0, 41, dtype=np.float32)
    return CellMemory(np.zeros(1, np.float32), np.ones((1, 1), np.float32), cells, units, quantiles)


def test_three_cells_are_neighbours_and_a_tenth_of_a_unit_is_the_smallest_distance() -> None:
    known = memory()
    np.testing.assert_allclose(nearest_ratios(np.array([[4.0]]), known.memory, known.units), [(2 + 3 + 4) / 3])
    np.testing.assert_allclose(known.scores(np.full((1, 1, 1, 1), 4.0)), np.log(3.0 + 0.1), rtol=1e-5)


def test_rarity_runs_in_tenths_of_a_decade_from_all_cells_to_one_in_ten_thousand() -> None:
    """The quantiles rise by 0.2 from share to share: by 2 a decade."""
    known = memory()
    score = float(known.scores(np.full((1, 1, 1, 1), 4.0))[0, 0, 0])
    assert known.rarity(np.full((1, 1, 1, 1), 4.0))[0, 0, 0] == pytest.approx((score + 3.0) / 2.0, rel=1e-4)


def test_scores_are_smoothed_by_half_a_cell_but_not_across_a_single_slice() -> None:
    known = memory()
    features = np.zeros((1, 1, 9, 9))
    features[0, 0, 4, 4] = 9.0
    peak = np.log((7 + 8 + 0) / 3 + 0.1) - np.log((0 + 1 + 2) / 3 + 0.1)
    weights = np.exp(-0.5 * (np.arange(-2, 3) / 0.5) ** 2)
    centre, beside = weights[2] / weights.sum(), weights[3] / weights.sum()
    found = known.scores(features) - np.log(1.1)
    assert found[0, 4, 4] == pytest.approx(peak * centre**2, rel=1e-4)
    assert found[0, 4, 5] == pytest.approx(peak * centre * beside, rel=1e-3)
