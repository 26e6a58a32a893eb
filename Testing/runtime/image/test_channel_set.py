"""Several images of one body become the channels of one volume."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.runtime.image.channel_set import joined
from MultiTaskSegLib.runtime.image.volume import Volume


def ramp(shape: tuple[int, int, int], ijk_to_lps: np.ndarray, name: str = "") -> Volume:
    """An image whose value is a linear function of the place in the world, so that linear interpolation is exact."""
    k, j, i = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    places_mm = np.stack([i, j, k, np.ones_like(i)], axis=-1) @ ijk_to_lps.T
    return Volume((places_mm[..., :3] @ [1.0, 2.0, -3.0]).astype(np.float32), ijk_to_lps, name)


GRID = np.diag([1.0, 1.5, 2.0, 1.0])
GRID[:3, 3] = (-5, 3, 8)


def test_images_on_one_grid_are_taken_as_they_are() -> None:
    first, second = ramp((4, 5, 6), GRID), ramp((4, 5, 6), GRID)
    both = joined([first, second])
    assert both.channel_count == 2
    assert both.warnings == ()
    assert both.channels[0] is first.voxels
    assert both.channels[1] is second.voxels


def test_one_image_stays_what_it_is() -> None:
    only = ramp((4, 5, 6), GRID)
    assert joined([only]).channels == (only.voxels,)


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
@pytest.mark.parametrize("flips", [(False, False, False), (True, False, True)])
def test_the_same_image_stored_in_another_order_has_the_same_voxels(axes, flips) -> None:
    first = ramp((4, 5, 6), GRID)
    rng = np.random.default_rng(3)
    image = replace(first, voxels=rng.normal(size=first.shape).astype(np.float32))
    turned = image.voxels.transpose(axes)
    affine = image.ijk_to_lps.copy()
    affine[:, :3] = image.ijk_to_lps[:, [2 - axis for axis in reversed(axes)]]
    for axis, flip in enumerate(flips):
        if flip:
            turned = np.flip(turned, axis)
            column = 2 - axis
            affine[:, 3] += affine[:, column] * (turned.shape[axis] - 1)
            affine[:, column] *= -1
    both = joined([first, Volume(np.ascontiguousarray(turned), affine)])
    np.testing.assert_array_equal(both.further[0], image.voxels)


def test_a_ramp_on_an_oblique_finer_grid_is_the_same_ramp_on_the_first_grid() -> None:
    first = ramp((6, 8, 8), GRID, "T1")
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]]
    fine = turn @ np.diag([0.8, 0.8, 1.1, 1.0])
    fine[:3, 3] = (-12, -8, 2)
    both = joined([first, ramp((24, 44, 44), fine, "FLAIR")], ["T1", "FLAIR"])
    assert both.warnings == ("FLAIR lies on another grid than T1 and was brought onto it",)
    np.testing.assert_allclose(both.further[0], first.voxels, atol=0.1)


def test_what_another_image_does_not_show_has_its_lowest_value_and_is_told() -> None:
    first = ramp((4, 6, 8), np.eye(4))
    half = ramp((4, 6, 4), np.eye(4))
    both = joined([first, half], ["T1", "FLAIR"])
    np.testing.assert_array_equal(both.further[0][..., :4], first.voxels[..., :4])
    assert (both.further[0][..., 4:] == half.voxels.min()).all()
    assert both.warnings[-1] == "FLAIR covers 50 % of the field of view of T1"


def test_images_of_different_places_are_refused() -> None:
    away = np.eye(4)
    away[0, 3] = 100
    with pytest.raises(InputError, match="FLAIR covers 0 % of the field of view of T1"):
        joined([ramp((4, 6, 8), np.eye(4)), ramp((4, 6, 8), away)], ["T1", "FLAIR"])


def test_pictures_without_a_size_must_have_as_many_pixels() -> None:
    first = replace(ramp((1, 6, 8), np.eye(4)), measured="nothing")
    away = np.eye(4)
    away[0, 3] = 100
    assert joined([first, ramp((1, 6, 8), away)]).channel_count == 2
    with pytest.raises(InputError, match="no physical size"):
        joined([first, ramp((1, 6, 9), np.eye(4))])


def test_noise_on_a_fine_grid_is_averaged_rather_than_picked() -> None:
    rng = np.random.default_rng(0)
    fine = Volume(rng.normal(size=(32, 32, 32)).astype(np.float32), np.diag([0.25, 0.25, 0.25, 1.0]))
    coarse = np.eye(4)
    coarse[:3, 3] = 0.375
    both = joined([ramp((8, 8, 8), coarse), fine])
    assert both.further[0].std() < 0.3


def test_warnings_of_every_image_are_kept_with_its_name() -> None:
    first = replace(ramp((4, 5, 6), GRID), warnings=("one voxel was mended",))
    second = replace(ramp((4, 5, 6), GRID), warnings=("two voxels were mended",))
    both = joined([first, second], ["T1", "FLAIR"])
    assert both.warnings == ("one voxel was mended", "FLAIR: two voxels were mended")


def test_a_channel_of_another_size_is_refused() -> None:
    with pytest.raises(InputError, match="one channel has shape"):
        Volume(np.zeros((2, 3, 4), np.float32), np.eye(4), further=(np.zeros((2, 3, 5), np.float32),))


def test_channels_of_channels_are_refused() -> None:
    both = joined([ramp((4, 5, 6), GRID), ramp((4, 5, 6), GRID)])
    with pytest.raises(InputError, match="several channels"):
        joined([ramp((4, 5, 6), GRID), both])
