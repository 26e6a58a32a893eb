"""JPEG leaves ripples in the air around a picture; they must not decide how large the picture is taken to be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MultiTaskSegLib.runtime.image.content_window import content_window
from MultiTaskSegLib.runtime.image.image_file import read_image
from MultiTaskSegLib.runtime.pixel.block_ringing import BLOCK_PIXELS, without_ringing

INNER = np.random.default_rng(0).integers(40, 250, (37, 46)).astype(np.uint8)


def padded(before: tuple[int, int], after: tuple[int, int], air: int = 0) -> np.ndarray:
    return np.pad(INNER, list(zip(before, after, strict=True)), constant_values=air)[None]


@pytest.mark.parametrize("quality", [90, 97])
@pytest.mark.parametrize("before", [(3, 5), (9, 16), (12, 23)])
@pytest.mark.parametrize("after", [(4, 2), (19, 0), (1, 31)])
def test_a_jpeg_is_taken_to_be_as_large_as_the_picture_that_was_saved(
    tmp_path: Path, quality: int, before: tuple[int, int], after: tuple[int, int]
) -> None:
    picture = padded(before, after)
    jpeg = str(tmp_path / "a.jpg")
    sitk.WriteImage(sitk.GetImageFromArray(picture[0]), jpeg, imageIO="JPEGImageIO", compressionLevel=quality)
    voxels = read_image(tmp_path / "a.jpg").voxels
    assert content_window(voxels, float(voxels.min())) == content_window(picture, 0)


def test_only_the_ripples_are_changed() -> None:
    picture = padded((12, 23), (5, 9))
    rippled = picture.copy()
    rippled[0, 8:12, 16:75], rippled[0, 12:49, 69:72] = 3, 2
    np.testing.assert_array_equal(without_ringing(rippled), picture)
    assert rippled[0, 8, 16] == 3  # what was given stays


def test_what_is_not_surrounded_by_air_or_clear_at_its_border_stays_as_it_is() -> None:
    for picture in (
        INNER[None],
        padded((8, 16), (3, 2)),
        np.zeros((1, 9, 9), np.uint8),
        np.full((1, 3, 4), 7, np.uint8),
        # Faint noise beside faint noise is no ripple of a strong edge.
        np.pad(np.random.default_rng(1).integers(1, 4, (30, 30)), 5)[None],
    ):
        np.testing.assert_array_equal(without_ringing(picture), picture)


def test_nothing_goes_beyond_the_block_in_which_the_content_ends() -> None:
    picture = padded((2 * BLOCK_PIXELS, BLOCK_PIXELS), (0, 0))
    faint = picture.copy()
    faint[0, 5 : 2 * BLOCK_PIXELS] = 2  # faint over whole blocks: shown, however little
    np.testing.assert_array_equal(without_ringing(faint), faint)


@pytest.mark.parametrize("side", [1, 2, 7, 8, 9, 15, 16, 17])
@pytest.mark.parametrize("axis", [1, 2])
def test_pictures_of_any_size_with_content_anywhere_keep_it(side: int, axis: int) -> None:
    for place in range(side):
        picture = np.zeros((1, side, side), np.int16)
        np.moveaxis(picture, axis, 0)[place] = 100
        np.testing.assert_array_equal(without_ringing(picture), picture)
        shifted = picture - 1000
        np.testing.assert_array_equal(without_ringing(shifted), shifted)
