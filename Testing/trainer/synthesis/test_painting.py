"""What is painted is what the map says: brightness, place, side, part and resolution."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from MultiTaskSegLib.runtime.image.geometry import POSTERIOR, canonical_reorientation
from MultiTaskSegLib.runtime.image.volume import Volume
from Testing.trainer.synthesis.head_folder import MEANS, NUMBERS, still_scan, write_heads
from trainer.layout.case import Case
from trainer.synthesis.label_map import LabelMap, read_map, stamp_of
from trainer.synthesis.painting import painted
from trainer.synthesis.reader import SyntheticReader
from trainer.synthesis.scan import Scan, draw_scan
from trainer.synthesis.target import Target

EVERYTHING = Target("all", tuple((f"v{number}", (number,)) for number in NUMBERS[1:]))
MOVED = ((0.9, 0.1, -0.2), (-0.1, 1.1, 0.1), (0.2, 0.0, 0.95))


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_heads(tmp_path_factory.mktemp("maps"), 1) / "head_0.nii.gz"


@pytest.fixture(scope="module")
def head(path: Path) -> LabelMap:
    return read_map(path, NUMBERS, stamp_of(path))


def drawn(path: Path, scan: Scan, target: Target = EVERYTHING, finest_mm: float = 4.0) -> tuple[Volume, np.ndarray]:
    return SyntheticReader(target, NUMBERS, 0).drawn(Case("c", path, path, "g"), scan, finest_mm)


def test_without_noise_every_voxel_shows_the_mean_of_its_label_however_the_head_is_deformed(path: Path) -> None:
    for scan in (still_scan(), still_scan(matrix=MOVED, elastic_mm=(6.0, 6.0))):
        volume, labels = drawn(path, scan)
        assert set(np.unique(labels)) == set(range(len(NUMBERS)))
        np.testing.assert_array_equal(volume.voxels, np.array(MEANS, dtype=np.float32)[labels])


def test_means_and_spreads_are_recovered_from_the_voxels_of_each_label(path: Path) -> None:
    spreads = tuple(0.01 * (1 + value) for value in range(len(NUMBERS)))
    volume, labels = drawn(path, still_scan(spreads=spreads, spacing_mm=(2.0,) * 3), finest_mm=2.0)
    for value in range(len(NUMBERS)):
        inside = volume.voxels[labels == value]
        error = spreads[value] / np.sqrt(len(inside))
        assert inside.mean() == pytest.approx(MEANS[value], abs=5 * error)
        assert inside.std() == pytest.approx(spreads[value], abs=5 * error)


def test_blur_and_noise_leave_the_image_over_its_labels(path: Path) -> None:
    means = tuple(float(number in (2, 41)) for number in NUMBERS)
    scan = still_scan(means=means, matrix=MOVED, elastic_mm=(4.0, 4.0), blur_mm=2.0, noise=0.05, is_rician=True)
    white = Target("white", (("white", (2, 41)),))
    volume, labels = drawn(path, replace(scan, spacing_mm=(2.0,) * 3), white, 2.0)
    seen = volume.voxels > 0.5
    assert 2 * (seen & (labels == 1)).sum() / (seen.sum() + (labels == 1).sum()) > 0.95


def test_a_part_of_the_field_of_view_shows_the_same_voxels(path: Path) -> None:
    scan = still_scan(matrix=MOVED, elastic_mm=(6.0, 6.0), bias=0.4)
    whole, labels = drawn(path, scan)
    slab, part = drawn(path, replace(scan, extent_mm=(40.0, 232.0, 168.0), centre_mm=(20.0, 0.0, 0.0)))
    assert part.shape[0] == 10
    assert part.any()
    np.testing.assert_array_equal(part, labels[25:35])
    np.testing.assert_allclose(slab.voxels, whole.voxels[25:35], atol=1e-6)
    # Both lie at the same place in millimetres.
    assert slab.ijk_to_lps[2, 3] == pytest.approx(whole.ijk_to_lps[2, 3] + 25 * 4.0)


def test_a_finer_grid_shows_the_same_head(path: Path) -> None:
    scan = still_scan(matrix=MOVED, elastic_mm=(6.0, 6.0), spacing_mm=(4.0,) * 3)
    coarse = drawn(path, scan)[1]
    fine = drawn(path, replace(scan, spacing_mm=(4.0 / 3,) * 3), finest_mm=1.0)[1]
    assert fine.shape == tuple(3 * n for n in coarse.shape)
    # Of three voxels along each axis the middle one lies where the coarse voxel does.
    assert np.mean(fine[1::3, 1::3, 1::3] == coarse) > 0.999


def test_a_mirrored_head_has_its_sides_exchanged(path: Path) -> None:
    sides = Target("sides", (("left", (2, 3)), ("right", (41, 42))))
    plain, labels = drawn(path, still_scan(), sides)
    mirrored, swapped = drawn(path, still_scan(mirrored=True), sides)
    # The middle of the brain lies between voxels: mirrored voxels lie beside those of the other image.
    assert abs(int((swapped == 1).sum()) - int((labels == 2).sum())) < 0.02 * (labels == 2).sum()
    half = labels.shape[2] // 2
    for image, found in ((plain, labels), (mirrored, swapped)):
        assert image.ijk_to_lps[0, 0] > 0  # X runs to the left
        assert (found[:, :, half + 2 :] == 1).sum() > 100 * (found[:, :, half + 2 :] == 2).sum()
    white = np.array(MEANS, dtype=np.float32)[[1, 3]]
    larger = [(mirrored.voxels == mean).sum() for mean in white]
    assert larger[0] > larger[1]  # the larger white matter keeps its brightness, on the other side
    assert (mirrored.voxels == white[0])[:, :, :half].sum() > 10 * (mirrored.voxels == white[0])[:, :, half + 1 :].sum()


@pytest.mark.parametrize("shows", ["brain", "fluid"])
def test_without_a_skull_everything_else_is_black(path: Path, shows: str) -> None:
    scan = still_scan(shows=shows, noise=0.1, spreads=tuple(0.1 for _ in NUMBERS))
    volume, labels = drawn(path, scan)
    kept = np.isin(labels, [1, 2, 3, 4, 8] + ([5] if shows == "fluid" else []))
    assert not volume.voxels[np.isin(labels, [0, 6, 7])].any()
    assert np.mean(volume.voxels[kept] != 0) > 0.999
    assert volume.voxels[labels == 5].any() == (shows == "fluid")


def test_a_thick_slice_is_the_mean_of_thin_ones_and_has_the_label_in_its_middle(path: Path) -> None:
    scan = still_scan(slice_axis=1, spacing_mm=(2.0, 12.0, 2.0), extent_mm=(200.0, 240.0, 168.0))
    volume, labels = drawn(path, scan, finest_mm=4.0)
    thin, of_thin = drawn(path, replace(scan, slice_axis=-1, spacing_mm=(12 / 3.01, 4.0, 12 / 3.01)), finest_mm=1.0)
    assert volume.shape[1] * 3 == thin.shape[1]
    mean = thin.voxels.reshape(thin.shape[0], -1, 3, thin.shape[2]).mean(axis=2)
    np.testing.assert_allclose(volume.voxels, mean, atol=1e-6)
    np.testing.assert_array_equal(labels, of_thin[:, 1::3])


def test_thick_slices_stay_thick_on_a_coarse_grid(path: Path) -> None:
    scan = still_scan(slice_axis=1, spacing_mm=(1.0, 5.0, 1.0))
    volume = drawn(path, scan, finest_mm=4.0)[0]
    assert canonical_reorientation(volume).across == POSTERIOR


def test_bias_is_smooth_and_gamma_and_noise_do_what_they_say(head: LabelMap) -> None:
    flat = still_scan(means=tuple(0.5 for _ in NUMBERS))
    field = np.log(painted(replace(flat, bias=0.3), head, NUMBERS, 4.0)[0] / 0.5)
    assert 0.05 < field.std() < 0.6
    assert np.abs(np.diff(field, axis=0)).max() < 0.1
    noisy = painted(replace(flat, noise=0.1), head, NUMBERS, 4.0)[0]
    assert noisy.std() == pytest.approx(0.1, rel=0.05)
    # The mean of a Rician value without signal is sigma times the root of half pi (Gudbjartsson & Patz 1995).
    dark = painted(replace(flat, means=tuple(0.0 for _ in NUMBERS), noise=0.1, is_rician=True), head, NUMBERS, 4.0)[0]
    assert dark.mean() == pytest.approx(0.1 * np.sqrt(np.pi / 2), rel=0.02)
    bright = painted(still_scan(gamma=2.0), head, NUMBERS, 4.0)[0]
    plain = painted(still_scan(), head, NUMBERS, 4.0)[0]
    scaled = (plain - plain.min()) / (plain.max() - plain.min())
    np.testing.assert_allclose(bright, scaled**2, atol=1e-5)


def test_a_record_gives_the_same_image_each_time_and_its_seed_another(head: LabelMap) -> None:
    scan = draw_scan(np.random.default_rng(3), NUMBERS)
    assert scan == draw_scan(np.random.default_rng(3), NUMBERS)
    first, second = (painted(scan, head, NUMBERS, 6.0)[0] for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, painted(replace(scan, seed=scan.seed + 1), head, NUMBERS, 6.0)[0])
