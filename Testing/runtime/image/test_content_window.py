"""Air around an image goes, whatever is in it stays, and everything can be put back."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.runtime.image.content_window import content_window
from MultiTaskSegLib.runtime.image.preparation import prepare
from MultiTaskSegLib.runtime.image.profile import Intensity, Profile
from MultiTaskSegLib.runtime.image.volume import Volume

MR = Profile("mr", "spacing", Intensity("percentile", 1.0, 99.0), spacing_zyx_mm=(1.5, 1.1, 0.9))
CT = Profile("ct", "spacing", Intensity("range", -100.0, 300.0), spacing_zyx_mm=(1.5, 1.1, 0.9))
PICTURE = Profile("fit", "fit", Intensity("percentile", 1.0, 99.0), matrix=32)


def scan(shape: tuple[int, int, int] = (7, 9, 11), seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(10, 200, shape).astype(np.float32)


@pytest.mark.parametrize("before, after", list(product([(0, 0, 0), (3, 1, 0), (0, 5, 2)], repeat=2)))
def test_the_box_is_what_lies_within_the_padding(before: tuple[int, ...], after: tuple[int, ...]) -> None:
    inner = scan()
    padded = np.pad(inner, list(zip(before, after, strict=True)), constant_values=-7.0)
    window = content_window(padded, -7.0)
    assert (window.start, window.shape, window.whole) == (before, inner.shape, padded.shape)
    np.testing.assert_array_equal(window.cut(padded), inner)
    np.testing.assert_array_equal(window.embed(inner, -7.0), padded)


def test_one_voxel_above_air_keeps_its_plane() -> None:
    array = np.zeros((5, 6, 7), dtype=np.float32)
    array[2, 3, 4] = 1e-6
    window = content_window(array, 0.0)
    assert (window.start, window.shape) == ((2, 3, 4), (1, 1, 1))


def test_air_within_an_image_stays() -> None:
    array = scan()
    array[3] = 0.0
    assert content_window(array, 0.0).shape == array.shape


def test_where_there_is_nothing_but_air_everything_stays_and_is_refused() -> None:
    array = np.full((3, 4, 5), 8.0, dtype=np.float32)
    assert content_window(array, 8.0).shape == array.shape
    with pytest.raises(InputError, match="constant"):
        prepare(Volume(array, np.eye(4)), MR)


@pytest.mark.parametrize("profile, air", [(MR, 0.0), (CT, -1000.0), (CT, -3024.0)])
@pytest.mark.parametrize("padding", [((0, 5), (0, 0), (0, 0)), ((3, 2), (7, 1), (0, 13)), ((1, 1), (1, 1), (1, 1))])
def test_padding_changes_nothing_of_what_the_network_sees(
    profile: Profile, air: float, padding: tuple[tuple[int, int], ...]
) -> None:
    plain = scan((9, 12, 14)) if profile is MR else scan((9, 12, 14)) * 4 - 500
    plain[0, 0, 0] = min(air, float(plain.min()))
    padded = np.pad(plain, padding, constant_values=air)
    spacing = np.diag([0.9, 1.1, 3.0, 1.0])
    expected, found = (prepare(Volume(v.astype(np.float32), spacing), profile) for v in (plain, padded))
    np.testing.assert_array_equal(found.voxels, expected.voxels)
    marks = np.arange(1, expected.canonical_shape[0] * 12 * 14 + 1).reshape(expected.canonical_shape)
    inside = tuple(slice(b, b + n) for (b, _), n in zip(padding, plain.shape, strict=True))
    np.testing.assert_array_equal(found.restore(marks, -5)[inside], expected.restore(marks, -5))
    assert (np.delete(found.restore(marks, -5).ravel(), []) == -5).sum() == padded.size - marks.size


def test_a_frame_of_black_around_a_picture_changes_nothing() -> None:
    picture = scan((1, 20, 30))
    picture[0, 0, 0] = 0.0
    framed = np.pad(picture, ((0, 0), (4, 9), (40, 0)))
    expected, found = (prepare(Volume(v, np.eye(4)), PICTURE) for v in (picture, framed))
    np.testing.assert_array_equal(found.voxels, expected.voxels)
