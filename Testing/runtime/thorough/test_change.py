"""Oracles of the changes of an image: what stays, what moves by how much, and that storage plays no part."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.quality.image_agreement import further_looks
from MultiTaskSegLib.runtime.thorough.change import Change, changes_of

NARROW = Change("narrow", stretch_lps=(0.5, 1.0, 3.0))
BRIGHTER = Change("brighter", exponent=0.5)


def ramp(shape: tuple[int, int, int] = (5, 6, 8), spacing_mm: tuple[float, float, float] = (1.0, 2.0, 4.0)) -> Volume:
    voxels = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    return Volume(voxels, np.diag([*spacing_mm, 1.0]), "ramp")


def test_a_stretch_multiplies_voxel_sizes_and_leaves_voxels_and_origin() -> None:
    volume = ramp()
    changed = NARROW.of(volume, [False])
    assert changed.spacing_mm == pytest.approx((0.5, 2.0, 12.0))
    assert changed.voxels is volume.voxels
    np.testing.assert_array_equal(changed.ijk_to_lps[:, 3], volume.ijk_to_lps[:, 3])


def test_a_stretch_goes_along_the_axes_of_the_body_however_the_image_is_stored() -> None:
    volume = ramp()
    axes = [2, 0, 1]  # i, j and k of the other storage are k, i and j of this one
    matrix = volume.ijk_to_lps[:, [*axes, 3]]
    turned = Volume(np.ascontiguousarray(volume.voxels.transpose(1, 2, 0)), matrix, "turned")
    by_axis = dict(zip("LPS", np.asarray(NARROW.of(volume, [False]).spacing_mm), strict=True))
    stored = NARROW.of(turned, [False]).spacing_mm
    assert stored == pytest.approx((by_axis["S"], by_axis["L"], by_axis["P"]))


def test_an_oblique_image_is_stretched_along_its_own_axes() -> None:
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]]
    volume = replace(ramp(), ijk_to_lps=turn @ ramp().ijk_to_lps)
    changed = NARROW.of(volume, [False])
    assert changed.spacing_mm == pytest.approx((0.5, 2.0, 12.0))
    directions = [one.ijk_to_lps[:3, :3] / np.asarray(one.spacing_mm) for one in (volume, changed)]
    np.testing.assert_allclose(directions[0], directions[1], atol=1e-12)


def test_a_contrast_keeps_order_and_ends_and_follows_the_power_between_the_percentiles() -> None:
    volume = ramp((10, 10, 10))
    changed = BRIGHTER.of(volume, [False]).voxels.ravel()
    low, high = np.percentile(volume.voxels, (0.5, 99.5))
    before = volume.voxels.ravel()
    inside = (before > low) & (before < high)
    expected = low + (high - low) * np.sqrt((before[inside] - low) / (high - low))
    np.testing.assert_allclose(changed[inside], expected, rtol=1e-5)
    np.testing.assert_array_equal(changed[~inside], before[~inside])
    assert (np.diff(changed) >= 0).all()


def test_the_image_itself_is_never_written_to() -> None:
    volume = ramp()
    before = volume.voxels.copy()
    for change in (*changes_of(volume, [False]), BRIGHTER, NARROW):
        change.of(volume, [False])
    np.testing.assert_array_equal(volume.voxels, before)


def test_values_in_hounsfield_units_stay_and_those_of_the_other_channel_do_not() -> None:
    volume = replace(ramp(), further=(ramp().voxels + 3,))
    changed = BRIGHTER.of(volume, [True, False])
    np.testing.assert_array_equal(changed.voxels, volume.voxels)
    assert not np.array_equal(changed.further[0], volume.further[0])


def test_a_part_is_changed_as_the_whole_is() -> None:
    whole = ramp((10, 10, 10))
    block = np.s_[2:6, 3:9, 1:7]
    part = replace(whole, voxels=np.ascontiguousarray(whole.voxels[block]), whole=whole)
    changed = BRIGHTER.of(part, [False])
    assert changed.whole is not None
    np.testing.assert_array_equal(changed.voxels, changed.whole.voxels[block])
    np.testing.assert_array_equal(changed.whole.voxels, BRIGHTER.of(whole, [False]).voxels)


def test_a_constant_image_stays_as_it_is() -> None:
    volume = replace(ramp(), voxels=np.full((5, 6, 8), 7.0, np.float32))
    np.testing.assert_array_equal(BRIGHTER.of(volume, [False]).voxels, volume.voxels)


@pytest.mark.parametrize("shape", [(5, 6, 8), (1, 6, 8), (6, 1, 8), (6, 8, 1)])
def test_every_change_changes_how_the_network_sees_an_image(shape: tuple[int, int, int]) -> None:
    volume = ramp(shape)
    changes = changes_of(volume, [False])
    assert len(changes) == len({change.name for change in changes}) == further_looks(volume.is_planar)
    seen_axes = [axis for axis, count in enumerate(reversed(shape)) if count > 1]
    for change in changes:
        changed = change.of(volume, [False])
        assert changed.is_planar == volume.is_planar
        ratios = np.asarray(changed.spacing_mm)[seen_axes] / np.asarray(volume.spacing_mm)[seen_axes]
        # A picture has no size: of a stretch only the proportions count.
        is_stretched = ratios.max() / ratios.min() > 1.05 if volume.is_planar else abs(np.log(ratios)).max() > 0.05
        assert is_stretched or not np.array_equal(changed.voxels, volume.voxels)


def test_where_values_mean_something_only_stretches_are_left() -> None:
    volume = ramp((1, 6, 8))
    assert len(changes_of(volume, [True])) == 2
    for change in changes_of(volume, [True]):
        assert change.exponent == 1.0
        assert change.of(volume, [True]).voxels is volume.voxels
