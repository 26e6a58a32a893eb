"""What the network saw of an image, the same in every copy: the last digits of a header decide nothing."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from MultiTaskSegLib.runtime.image.input_frame import InputFrame, input_frame
from MultiTaskSegLib.runtime.image.profile import Intensity, Profile
from MultiTaskSegLib.runtime.image.volume import Measured, Volume
from Testing.runtime.image.test_geometry import PLANES, stored_otherwise
from Testing.runtime.orientation import axis_matrices, grid

PERCENT = Intensity("percentile", 1.0, 99.0)
TILTS_DEG = ((0.0, 0.0, 0.0), (0.5, 3.0, 11.0), (-13.0, 0.0, 11.0), (44.0, 3.0, 0.0))


def frames(
    shape: tuple[int, int, int], spacing_mm: tuple[float, ...], plane: str, profile: Profile
) -> list[InputFrame]:
    """Of copies that are tilted, stored in other orders, and written in single precision."""
    voxels = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    found = []
    for tilt_deg, axes in product(TILTS_DEG, axis_matrices()[::13]):
        stored = stored_otherwise(Volume(voxels, grid(PLANES[plane], tilt_deg, spacing_mm)), axes)
        for matrix in (stored.ijk_to_lps, stored.ijk_to_lps.astype(np.float32).astype(np.float64)):
            found.append(input_frame(Volume(stored.voxels, matrix), profile))
    return found


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize(
    ("shape", "spacing_mm"),
    [((5, 15, 19), (1.0, 1.0, 3.0)), ((7, 15, 19), (0.7, 0.7, 2.1)), ((5, 7, 15), (1.5, 1.5, 4.5))],
)
def test_slices_exactly_three_times_as_thick_as_pixels_lie_alike_in_every_copy(
    plane: str, shape: tuple[int, int, int], spacing_mm: tuple[float, ...]
) -> None:
    profile = Profile("p", "spacing", PERCENT, spacing_zyx_mm=(2.0, 1.0, 1.0))
    assert {frame.window.shape for frame in frames(shape, spacing_mm, plane, profile)} == {shape}


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("wanted_mm", [1.0, 1.5, 2.0])
def test_half_a_voxel_goes_to_the_same_side_in_every_copy(plane: str, wanted_mm: float) -> None:
    profile = Profile("p", "spacing", PERCENT, spacing_zyx_mm=(wanted_mm,) * 3)
    for shape, spacing_mm in (
        ((9, 15, 17), (1.0, 1.0, 1.0)),
        ((5, 15, 25), (1.5, 1.5, 3.0)),
        ((5, 15, 25), (0.9,) * 3),
    ):
        assert len({frame.grid_shape for frame in frames(shape, spacing_mm, plane, profile)}) == 1


def test_half_a_pixel_of_a_picture_goes_to_the_same_side_in_every_copy() -> None:
    profile = Profile("p", "fit", PERCENT, matrix=50)
    # 33 x 100 pixels are 16.5 x 50.
    assert len({frame.grid_shape for frame in frames((1, 33, 100), (0.7, 0.7, 1.0), "axial", profile)}) == 1


@pytest.mark.parametrize("plane", PLANES)
def test_voxels_at_the_limit_of_coarseness_are_told_alike_in_every_copy(plane: str) -> None:
    profile = Profile("p", "spacing", PERCENT, spacing_zyx_mm=(1.5, 1.5, 1.5))
    assert not any(frame.is_coarse for frame in frames((5, 14, 18), (1.5, 1.5, 3.0), plane, profile))


@pytest.mark.parametrize(
    ("plane", "spacing_mm", "orientation", "seen_mm"),
    [
        ("axial", (2.0, 1.0, 9.0), "LPS", [1.5, 1.5, 4.5]),
        ("coronal", (2.0, 1.0, 9.0), "LIP", [1.5, 1.5, 4.5]),
        ("sagittal", (2.0, 1.0, 9.0), "PIR", [1.5, 1.5, 4.5]),
        # Without thick slices there is no plane of acquisition: X, Y and Z are those of the body.
        ("coronal", (2.0, 1.0, 2.5), "LPS", [1.5, 1.5, 1.5]),
    ],
)
def test_the_record_tells_the_orientation_and_spacing_that_were_reached(
    plane: str, spacing_mm: tuple[float, ...], orientation: str, seen_mm: list[float]
) -> None:
    profile = Profile("p", "spacing", PERCENT, spacing_zyx_mm=(1.5, 1.5, 1.5))
    records = [frame.as_dict() for frame in frames((5, 14, 18), spacing_mm, plane, profile)]
    assert {record["orientation"] for record in records} == {orientation}
    for record in records:
        assert record["size"] == records[0]["size"]
        np.testing.assert_allclose(record["spacing_mm"], seen_mm, rtol=1e-4)
        assert record["trained_spacing_mm"] == [1.5, 1.5, 1.5]


@pytest.mark.parametrize("grid_mm", [(0.7, 0.9, 1.3), (3.0, 2.0, 7.0), (0.1, 40.0, 1.5)])
def test_the_grid_is_as_large_as_the_image_at_the_spacing_that_was_reached(grid_mm: tuple[float, ...]) -> None:
    profile = Profile("p", "spacing", PERCENT, spacing_zyx_mm=(1.5, 1.0, 2.0))
    for frame in frames((5, 14, 18), grid_mm, "axial", profile):
        extent_mm = np.multiply(frame.window.shape, frame.spacing_zyx_mm)
        assert (abs(extent_mm / frame.reached_spacing_zyx_mm - frame.grid_shape) <= 0.5 + 1e-3)[extent_mm > 2].all()


@pytest.mark.parametrize(
    ("measured", "spacing_mm", "image_mm"),
    [
        ("voxel", [1.4, 1.4, 3.0], [0.7, 1.4, 3.0]),
        ("pixel", [1.4, 1.4, None], [0.7, 1.4, None]),
        ("nothing", None, None),
    ],
)
def test_a_picture_is_told_in_millimetres_only_where_they_are_known(
    measured: Measured, spacing_mm: list[float | None] | None, image_mm: list[float | None] | None
) -> None:
    voxels = np.random.default_rng(0).normal(size=(1, 50, 40)).astype(np.float32)
    volume = Volume(voxels, np.diag([0.7, 1.4, 3.0, 1.0]), measured=measured)
    assert input_frame(volume, Profile("p", "fit", PERCENT, matrix=50)).as_dict() == {
        "orientation": "LPS",
        "size": [20, 50, 1],
        "spacing_mm": spacing_mm,
        "image_spacing_mm": image_mm,
        "trained_spacing_mm": None,
    }
