"""What is drawn: contrasts as they are known, every kind of scan in its share, and nothing that shows nothing."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from MultiTaskSegLib.runtime.errors import DatasetError
from Testing.trainer.synthesis.head_folder import NUMBERS, still_scan, write_heads
from trainer.layout.case import Case
from trainer.synthesis import reader as reading
from trainer.synthesis.anatomy import OTHER_SIDE, TISSUE
from trainer.synthesis.contrast import CT, MR_PRIORS, RANDOM, draw_contrast
from trainer.synthesis.reader import SyntheticReader
from trainer.synthesis.sampling import Places, smooth_field
from trainer.synthesis.scan import ISOTROPIC, draw_scan
from trainer.synthesis.target import TARGETS, Target

ALL = tuple(sorted(TISSUE))
FLUID, CORTEX, WHITE, BONE, SKIN = (ALL.index(n) for n in (24, 3, 2, 515, 511))


@pytest.fixture(scope="module")
def contrasts() -> dict[str, np.ndarray]:
    """Mean of each structure by contrast, over many draws."""
    rng = np.random.default_rng(0)
    drawn: dict[str, list[np.ndarray]] = {}
    for _ in range(900):
        name, means, spreads = draw_contrast(rng, ALL)
        assert means.min() >= 0
        assert means.max() <= 1
        assert spreads.min() >= 0
        drawn.setdefault(name, []).append(means)
    return {name: np.stack(rows) for name, rows in drawn.items()}


def test_a_third_of_the_contrasts_is_random_and_the_others_are_alike_frequent(contrasts: dict[str, np.ndarray]) -> None:
    counts = {name: len(rows) for name, rows in contrasts.items()}
    assert set(counts) == {RANDOM, CT, *MR_PRIORS}
    assert 260 < counts.pop(RANDOM) < 340
    assert all(55 < count < 120 for count in counts.values())


def test_tissues_have_the_order_that_each_contrast_is_known_for(contrasts: dict[str, np.ndarray]) -> None:
    mean = {name: rows.mean(axis=0) for name, rows in contrasts.items()}
    assert mean["t1"][FLUID] < mean["t1"][CORTEX] < mean["t1"][WHITE]
    assert mean["t2"][WHITE] < mean["t2"][CORTEX] < mean["t2"][FLUID]
    assert mean["flair"][FLUID] < mean["flair"][WHITE] < mean["flair"][CORTEX]
    assert mean["pd"][WHITE] < mean["pd"][CORTEX]
    assert mean["b0"][SKIN] < mean["t2"][SKIN]  # without fat
    assert mean[CT][SKIN] < mean[CT][FLUID] < mean[CT][WHITE] < mean[CT][CORTEX] < mean[CT][BONE]
    assert np.abs(mean[RANDOM][1:] - 0.5).max() < 0.12
    assert contrasts[RANDOM][:, WHITE].std() == pytest.approx(np.sqrt(1 / 12), abs=0.03)


def test_both_sides_of_a_structure_look_alike() -> None:
    for seed in range(20):
        _, means, spreads = draw_contrast(np.random.default_rng(seed), ALL)
        for left, right in OTHER_SIDE.items():
            assert means[ALL.index(left)] == means[ALL.index(right)]
            assert spreads[ALL.index(left)] == spreads[ALL.index(right)]


def test_every_kind_of_scan_comes_in_its_share() -> None:
    scans = [draw_scan(np.random.default_rng(seed), NUMBERS) for seed in range(600)]
    shows = Counter(scan.shows for scan in scans)
    assert 110 < shows["brain"] + shows["fluid"] < 190
    axes = Counter(scan.slice_axis for scan in scans)
    assert 250 < axes[ISOTROPIC] < 350
    assert axes[0] > axes[1] > 40
    assert 240 < sum(scan.mirrored for scan in scans) < 360
    assert 70 < sum(min(scan.extent_mm) < 100 for scan in scans) < 260
    assert not any(scan.bias or scan.is_rician for scan in scans if scan.contrast == CT)
    assert all(abs(np.linalg.det(np.array(scan.matrix)) - 1) < 0.9 for scan in scans)


def cube(places: np.ndarray) -> Places:
    """The same along each axis."""
    same = np.asarray(places, dtype=np.float64)
    return same, same, same


def test_a_smooth_field_is_the_same_on_any_grid_and_has_the_spread_that_is_asked_for() -> None:
    coarse, fine = (cube(np.arange(-60, 61, step)) for step in (4.0, 2.0))
    fields = [smooth_field(np.random.default_rng(1), places, 36.0, 2) for places in (coarse, fine)]
    np.testing.assert_allclose(fields[0], fields[1][:, ::2, ::2, ::2], atol=1e-5)
    far = cube(np.arange(-144, 145, 36.0))
    values = np.stack([smooth_field(np.random.default_rng(seed), far, 36.0, 3) for seed in range(8)])
    assert values.std() == pytest.approx(1.0, rel=0.05)


def test_an_image_that_shows_nothing_is_drawn_again_and_a_map_of_nothing_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_heads(tmp_path, 1) / "head_0.nii.gz"
    beside = still_scan(centre_mm=(2000.0, 0.0, 0.0))
    drawn = iter([beside, still_scan(), *[beside] * reading.TRIALS])
    monkeypatch.setattr(reading, "draw_scan", lambda rng, numbers: next(drawn))
    reader, case = SyntheticReader(Target("brain", (("brain", ()),)), NUMBERS, 0), Case("c", path, path, "g")
    assert reader.fresh(case, np.random.default_rng(0), 6.0)[1].any()
    with pytest.raises(DatasetError, match="nothing is to be seen"):
        reader.fresh(case, np.random.default_rng(0), 6.0)


def test_merged_targets_hold_what_they_are_made_of(tmp_path: Path) -> None:
    path = write_heads(tmp_path, 1) / "head_0.nii.gz"
    case, scan = Case("c", path, path, "g"), still_scan()

    def labels(*merged: tuple[int, ...]) -> np.ndarray:
        target = Target("t", tuple((str(n), numbers) for n, numbers in enumerate(merged)))
        return SyntheticReader(target, NUMBERS, 0).drawn(case, scan, 4.0)[1]

    apart, together = labels((2,), (41,), (3,), (42,)), labels((2, 41), (3, 42))
    np.testing.assert_array_equal(together, np.array([0, 1, 1, 2, 2])[apart])
    brain = SyntheticReader(Target("b", (("brain", ()),)), NUMBERS, 0).drawn(case, scan, 4.0)[1]
    assert brain[apart > 0].all()


def test_the_cases_of_one_map_are_different_images_and_each_is_the_same_whenever_it_is_read(tmp_path: Path) -> None:
    path = write_heads(tmp_path, 1) / "head_0.nii.gz"
    target = Target("brain", (("brain", ()),))
    cases = [Case(f"draw{n}", path, path, "g", SyntheticReader(target, NUMBERS, n)) for n in range(2)]
    first, second = (case.read_image() for case in cases)
    assert first.shape != second.shape or not np.array_equal(first.voxels, second.voxels)
    reading._drawn_once.cache_clear()
    np.testing.assert_array_equal(cases[0].read_image().voxels, first.voxels)
    labels, ijk_to_lps = cases[0].read_labels()
    assert labels.shape == first.shape
    np.testing.assert_array_equal(ijk_to_lps, first.ijk_to_lps)


def test_every_number_of_the_built_in_targets_has_a_tissue_and_belongs_to_one_label() -> None:
    for table in TARGETS.values():
        numbers = [n for merged in table.values() if not isinstance(merged, str) for n in merged]
        assert len(numbers) == len(set(numbers))
        assert set(numbers) <= set(TISSUE)
        # Both sides go together: no built-in target tells left from right.
        assert {OTHER_SIDE[n] for n in numbers if n in OTHER_SIDE} <= set(numbers)


def test_another_version_of_the_drawing_gives_other_images(tmp_path: Path) -> None:
    path = write_heads(tmp_path, 1) / "head_0.nii.gz"
    reader = SyntheticReader(Target("brain", (("brain", ()),)), NUMBERS, 0)
    case = Case("c", path, path, "g", reader)
    later = replace(case, reader=replace(reader, version=reader.version + 1))
    assert repr(later.reader) != repr(reader)
    assert later.read_image().shape != case.read_image().shape
