"""How even, straight and alike the slices of a DICOM series must be, as numbers: a value on either side of each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pydicom", reason="pydicom makes the DICOM files of these tests")

from pydicom import dcmread

from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.runtime.image.image_file import read_image, read_label_map
from Testing.hostile.dicom_series import write_series

VOXELS = np.random.default_rng(3).integers(0, 4000, (5, 6, 9)).astype(np.uint16)
STEP_MM = 2.5


def moved(folder: Path, last_step_mm: float) -> Path:
    """A straight series whose last slice lies `last_step_mm` behind the one before."""
    write_series(folder, VOXELS, np.diag([1, 1, STEP_MM, 1]))
    data = dcmread(folder / "IM0004")
    data.ImagePositionPatient = [0, 0, f"{3 * STEP_MM + last_step_mm:.6f}"]
    data.save_as(folder / "IM0004")
    return folder


def tilted(folder: Path, shift_mm: float, step_mm: float) -> Path:
    """Every slice shifted against the one before, along a row."""
    grid = np.diag([1, 1, step_mm, 1.0])
    grid[0, 2] = shift_mm
    return write_series(folder, VOXELS, grid)


def with_pixel_size(folder: Path, last_mm: float) -> Path:
    """Pixels of 1 mm, and in the last slice rows `last_mm` apart."""
    write_series(folder, VOXELS, np.diag([1, 1, STEP_MM, 1]))
    data = dcmread(folder / "IM0004")
    data.PixelSpacing = [f"{last_mm:.6f}", "1"]
    data.save_as(folder / "IM0004")
    return folder


@pytest.mark.parametrize("percent", [1.9, -1.9])
def test_steps_between_slices_may_differ_by_nearly_two_percent(tmp_path: Path, percent: float) -> None:
    volume = read_image(moved(tmp_path, STEP_MM * (1 + percent / 100)))
    np.testing.assert_array_equal(volume.voxels, VOXELS)
    # The first and the last slice keep their places; those between share the difference.
    assert volume.spacing_mm[2] == pytest.approx(STEP_MM * (1 + percent / 400), rel=1e-5)


@pytest.mark.parametrize("percent", [2.1, 5.0, -2.1, -5.0])
def test_steps_that_differ_by_more_than_two_percent_are_refused(tmp_path: Path, percent: float) -> None:
    with pytest.raises(InputError, match=r"unevenly spaced.*between IM0003 and IM0004"):
        read_image(moved(tmp_path, STEP_MM * (1 + percent / 100)))


@pytest.mark.parametrize(("step_mm", "says"), [(0.0009, "same position"), (0.0011, "unevenly spaced")])
def test_slices_less_than_a_micrometre_apart_are_the_same_slice(tmp_path: Path, step_mm: float, says: str) -> None:
    with pytest.raises(InputError, match=says):
        read_image(moved(tmp_path, step_mm))


@pytest.mark.parametrize(
    ("step_mm", "straight_mm", "tilted_mm"),
    # A hundredth of a millimetre is rounding; of thick slices it is a thousandth of the step.
    [(2.5, 0.009, 0.011), (20.0, 0.019, 0.021)],
)
def test_slices_are_shifted_from_a_hundredth_of_a_millimetre_or_a_thousandth_of_the_step_on(
    tmp_path: Path, step_mm: float, straight_mm: float, tilted_mm: float
) -> None:
    np.testing.assert_array_equal(read_image(tilted(tmp_path / "a", straight_mm, step_mm)).voxels, VOXELS)
    with pytest.raises(InputError, match="gantry tilt"):
        read_image(tilted(tmp_path / "b", tilted_mm, step_mm))


def test_pixels_are_of_one_size_up_to_a_micrometre(tmp_path: Path) -> None:
    np.testing.assert_array_equal(read_image(with_pixel_size(tmp_path / "a", 1.0009)).voxels, VOXELS)
    with pytest.raises(InputError, match="different orientations or pixel spacings"):
        read_image(with_pixel_size(tmp_path / "b", 1.0011))


@pytest.mark.parametrize(("thickness", "mm"), [("2.5", 2.5), ("0", 1.0), ("-3", 1.0)])
def test_a_single_slice_is_as_thick_as_it_says_unless_that_is_no_thickness(
    tmp_path: Path, thickness: str, mm: float
) -> None:
    folder = write_series(tmp_path, VOXELS[:1], np.diag([1, 1, STEP_MM, 1]), SliceThickness=thickness)
    volume = read_image(folder)
    assert volume.spacing_mm == pytest.approx((1.0, 1.0, mm))
    assert np.linalg.det(volume.ijk_to_lps[:3, :3]) > 0


@pytest.mark.parametrize("angle", [0.0, 0.4])
def test_a_single_slice_is_as_thick_as_it_says_however_far_apart_slices_were_taken(
    tmp_path: Path, angle: float
) -> None:
    tilted = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    grid = np.eye(4)
    grid[:3, :3] = tilted * [0.5, 0.75, 6.0]
    folder = write_series(tmp_path, VOXELS[:1], grid, SliceThickness="2.5", SpacingBetweenSlices="6")
    volume = read_image(folder)
    assert volume.spacing_mm == pytest.approx((0.5, 0.75, 2.5))
    np.testing.assert_allclose(volume.ijk_to_lps[:3, 2], 2.5 * tilted[:, 2], atol=1e-6)


@pytest.mark.parametrize("distance_mm", ["1e-200", "5e-324", "1e200"])
def test_a_lone_slice_is_as_thick_as_it_says_whatever_distance_it_names(tmp_path: Path, distance_mm: str) -> None:
    tags = {"SpacingBetweenSlices": distance_mm, "SliceThickness": "4"}
    write_series(tmp_path, VOXELS[:1], np.diag([1, 1, STEP_MM, 1]), **tags)
    matrix = np.diag([1.0, 1.0, 4.0, 1.0])
    np.testing.assert_allclose(read_image(tmp_path / "IM0000").ijk_to_lps, matrix)
    np.testing.assert_allclose(read_label_map(tmp_path / "IM0000")[1], matrix)


@pytest.mark.parametrize("read", [read_image, read_label_map])
def test_a_lone_slice_of_no_thickness_at_all_is_refused_as_image_and_as_label_map(
    tmp_path: Path, read: Callable[[Path], object]
) -> None:
    tags = {"SpacingBetweenSlices": "1e-200", "SliceThickness": ""}
    write_series(tmp_path, VOXELS[:1], np.diag([1, 1, STEP_MM, 1]), **tags)
    with pytest.raises(InputError, match="not an invertible 4x4 matrix"):
        read(tmp_path / "IM0000")
