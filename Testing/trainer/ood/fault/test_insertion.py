"""Insertions: what lies in the mask is foreign, what lies outside is untouched."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.runtime.image.volume import Volume
from trainer.ood.fault.canonical_image import canonical_image
from trainer.ood.fault.insertion import Patch, apply_patch, apply_streak, draw_patch, draw_streak, patch_weight

FORMS = {
    "volume": ((24, 30, 36), (1.0, 1.0, 1.0)),
    "thick": ((8, 40, 36), (1.5, 1.5, 8.0)),
    "planar": ((1, 48, 44), (1.0, 1.0, 1.0)),
}


def image(form: str, seed: int = 0, mean: float = 500.0) -> Volume:
    shape, spacing = FORMS[form]
    voxels = np.random.default_rng(seed).normal(mean, 50, shape).astype(np.float32)
    return Volume(voxels, np.diag([*spacing, 1.0]), f"image {seed}")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("seed", range(4))
def test_a_patch_changes_the_mask_and_nothing_else(form: str, seed: int) -> None:
    known, foreign = image(form), image("volume" if form == "thick" else form, 1, -70.0)
    patch = draw_patch(np.random.default_rng(seed), known, foreign)
    assert patch == draw_patch(np.random.default_rng(seed), known, foreign)
    inserted, mask = apply_patch(patch, known, foreign)
    assert mask.shape == known.shape
    assert mask.dtype == np.bool_
    np.testing.assert_array_equal(inserted.voxels[~mask], known.voxels[~mask])
    assert (inserted.voxels[mask] != known.voxels[mask]).mean() > 0.95
    assert 0 < mask.mean() < 0.15


def test_a_ball_has_its_radius_in_millimetres() -> None:
    known = canonical_image(
        Volume(np.random.default_rng(0).random((20, 40, 40)).astype(np.float32), np.diag([1, 1, 2, 1.0]))
    )
    weight = patch_weight(Patch("ball", (10, 20, 20), (0, 0, 0), 8.0), known)
    assert (weight > 0).sum() * 2.0 == pytest.approx(4 / 3 * np.pi * 8**3, rel=0.05)
    assert weight[10, 20, 20] == weight[10, 20, 25] == weight[13, 20, 20] == 1
    assert weight[10, 20, 27] == pytest.approx(0.5)
    assert weight[13, 20, 20] > weight[13, 20, 25] > weight[13, 20, 26] == 0
    box = patch_weight(Patch("box", (10, 20, 20), (0, 0, 0), 8.0), known)
    assert (box > 0).sum() == 7 * 15 * 15


@pytest.mark.parametrize("form", FORMS)
def test_a_patch_of_the_image_itself_at_its_own_place_changes_only_the_scale(form: str) -> None:
    known = image(form)
    middle = tuple(n // 2 for n in canonical_image(known).values.shape)
    inserted, mask = apply_patch(Patch("box", middle, middle, 7.0), known, known)
    np.testing.assert_allclose(inserted.voxels[mask], known.voxels[mask], atol=0.5)


def test_the_values_of_a_patch_are_brought_to_the_range_that_it_covers() -> None:
    known = image("volume")
    foreign = replace(image("volume", 2), voxels=image("volume", 2).voxels * 40 - 9000)
    inserted, mask = apply_patch(Patch("box", (12, 15, 18), (12, 15, 18), 8.0), known, foreign)
    for share in (5, 50, 95):
        assert np.percentile(inserted.voxels[mask], share) == pytest.approx(
            np.percentile(known.voxels[mask], share), abs=15
        )


def test_a_patch_in_air_can_be_seen() -> None:
    voxels = np.zeros((24, 30, 36), np.float32)
    voxels[:, :10] = np.random.default_rng(0).normal(500, 50, (24, 10, 36))
    known = Volume(voxels, np.eye(4))
    inserted, mask = apply_patch(Patch("ball", (12, 22, 18), (12, 15, 18), 5.0), known, image("volume"))
    assert inserted.voxels[mask].std() > 20


def test_foreign_content_keeps_its_size_in_millimetres() -> None:
    # Stripes along x of 8 mm in both, at 1 mm and at 2 mm per voxel.
    spacing = np.diag([2.0, 2.0, 2.0, 1.0])
    x_fine, x_coarse = np.arange(40.0), np.arange(20.0) * 2
    wave = [
        np.broadcast_to(np.sin(2 * np.pi * x / 8), (n, n, n)).astype(np.float32)
        for n, x in ((40, x_fine), (20, x_coarse))
    ]
    known, foreign = Volume(wave[0], np.eye(4)), Volume(wave[1], spacing)
    inserted, mask = apply_patch(Patch("box", (20, 20, 20), (10, 10, 10), 8.0), known, foreign)
    # Samples of the coarse wave: -1, 0, 1 at every second voxel; between them straight lines.
    assert np.corrcoef(inserted.voxels[mask], known.voxels[mask])[0, 1] > 0.95


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("seed", range(3))
def test_a_streak_is_local_and_changes_the_mask_only(form: str, seed: int) -> None:
    known = image(form)
    metal = draw_streak(np.random.default_rng(seed), known)
    assert metal == draw_streak(np.random.default_rng(seed), known)
    inserted, mask = apply_streak(metal, known)
    np.testing.assert_array_equal(inserted.voxels[~mask], known.voxels[~mask])
    least = 0.05 * canonical_image(known).span
    assert np.abs(inserted.voxels - known.voxels)[mask].min() >= 0.99 * least
    assert mask[metal.centre_zyx]
    assert 0 < mask.mean() < 0.2


def test_another_seed_gives_another_place() -> None:
    known, foreign = image("volume"), image("volume", 1)
    patches = {draw_patch(np.random.default_rng(seed), known, foreign).centre_zyx for seed in range(6)}
    streaks = {draw_streak(np.random.default_rng(seed), known).centre_zyx for seed in range(6)}
    assert len(patches) > 3
    assert len(streaks) > 3


def test_the_mask_is_on_the_grid_as_stored() -> None:
    known = image("volume")
    turned = Volume(np.ascontiguousarray(known.voxels.transpose(2, 1, 0)), known.ijk_to_lps[:, [2, 1, 0, 3]])
    metal = draw_streak(np.random.default_rng(2), known)
    (one, mask), (other, turned_mask) = apply_streak(metal, known), apply_streak(metal, turned)
    np.testing.assert_array_equal(turned_mask.transpose(2, 1, 0), mask)
    np.testing.assert_array_equal(other.voxels.transpose(2, 1, 0), one.voxels)


def test_constant_images_are_refused() -> None:
    flat = Volume(np.ones((5, 6, 7), np.float32), np.eye(4))
    with pytest.raises(InputError):
        draw_streak(np.random.default_rng(0), flat)
    for pair in ((flat, image("volume")), (image("volume"), flat)):
        with pytest.raises(InputError):
            draw_patch(np.random.default_rng(0), *pair)
