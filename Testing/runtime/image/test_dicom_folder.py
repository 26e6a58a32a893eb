"""A DICOM series becomes the grid it was made from, whatever its files are called."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pydicom", reason="pydicom makes the DICOM files of these tests")

from pydicom import dcmread
from pydicom.dataset import Dataset

from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.runtime.image.image_file import read_image
from Testing.hostile.dicom_series import dicom_slice, write_series
from Testing.runtime.orientation import OBLIQUE_DEG, axis_matrices, corners_mm, grid

SHAPE = (7, 6, 9)
VOXELS = np.random.default_rng(3).integers(0, 4000, SHAPE).astype(np.uint16)
RIGHT_HANDED = [matrix for matrix in axis_matrices() if np.linalg.det(matrix) > 0]


@pytest.mark.parametrize("oblique", OBLIQUE_DEG)
def test_every_orientation_keeps_values_and_positions(tmp_path: Path, oblique: str) -> None:
    for number, axes in enumerate(RIGHT_HANDED):
        ijk_to_lps = grid(axes, OBLIQUE_DEG[oblique], (0.7, 0.9, 2.5))
        volume = read_image(write_series(tmp_path / str(number), VOXELS, ijk_to_lps))
        np.testing.assert_array_equal(volume.voxels, VOXELS)
        shift_mm = corners_mm(volume.ijk_to_lps, SHAPE) - corners_mm(ijk_to_lps, SHAPE)
        assert np.abs(shift_mm).max() < 1e-5


def test_names_and_instance_numbers_do_not_decide_the_order(tmp_path: Path) -> None:
    ijk_to_lps = grid(np.eye(3), OBLIQUE_DEG["oblique"], (1.0, 1.0, 3.0))
    shuffled = [f"{place}.dcm" for place in np.random.default_rng(5).permutation(SHAPE[0])]
    volume = read_image(write_series(tmp_path / "a", VOXELS, ijk_to_lps, names=shuffled, InstanceNumber=1))
    np.testing.assert_array_equal(volume.voxels, VOXELS)


def test_slices_stored_head_first_are_sorted_along_the_normal(tmp_path: Path) -> None:
    # A left-handed stack: DICOM has no such grid, so the order of slices is turned round, and the place stays.
    ijk_to_lps = grid(np.diag([1.0, 1.0, -1.0]), OBLIQUE_DEG["straight"], (1.0, 1.0, 3.0))
    volume = read_image(write_series(tmp_path / "a", VOXELS, ijk_to_lps))
    np.testing.assert_array_equal(volume.voxels, VOXELS[::-1])
    np.testing.assert_allclose(volume.ijk_to_lps[:3, 3], (ijk_to_lps @ [0, 0, SHAPE[0] - 1, 1])[:3])


def test_rescale_slope_and_intercept_are_applied_per_slice(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "a", VOXELS, np.diag([1, 1, 2.0, 1]))
    for k in range(SHAPE[0]):
        data = dcmread(folder / f"IM{k:04d}")
        data.RescaleSlope, data.RescaleIntercept = str(0.5 + k), str(-1000 + k)
        data.save_as(folder / f"IM{k:04d}")
    slope = np.arange(SHAPE[0])[:, None, None]
    expected = VOXELS * (0.5 + slope) - 1000 + slope
    np.testing.assert_allclose(read_image(folder).voxels, expected, rtol=1e-6)


def test_a_single_slice_is_an_image_of_one_slice(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "a", VOXELS[:1], grid(np.eye(3), OBLIQUE_DEG["tilted"], (0.7, 0.9, 2.5)))
    volume = read_image(folder)
    assert volume.shape == (1, *SHAPE[1:])
    assert volume.spacing_mm == pytest.approx((0.7, 0.9, 2.5))
    np.testing.assert_array_equal(read_image(folder / "IM0000").voxels, volume.voxels)


def test_an_inverted_image_gives_one_warning(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "a", VOXELS, np.diag([1, 1, 2.0, 1]), PhotometricInterpretation="MONOCHROME1")
    (warning,) = read_image(folder).warnings
    assert "MONOCHROME1" in warning


def test_an_inverted_slice_among_others_is_told(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "a", VOXELS, np.diag([1, 1, 2.0, 1]))
    data = dcmread(folder / "IM0006")
    data.PhotometricInterpretation = "MONOCHROME1"
    data.save_as(folder / "IM0006")
    (warning,) = read_image(folder).warnings
    assert "MONOCHROME1" in warning


def test_series_without_a_description_are_told_apart_by_the_end_of_their_number(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "a", VOXELS[:2], np.eye(4), SeriesDescription="")
    write_series(folder, VOXELS[:2], np.eye(4), names=["B0", "B1"], SeriesDescription="")
    ends = [str(dcmread(folder / name).SeriesInstanceUID)[-8:] for name in ("IM0000", "B0")]
    with pytest.raises(InputError) as refused:
        read_image(folder)
    assert all(f"'series {end}' (2 files)" in str(refused.value) for end in ends)


def test_descriptions_in_another_character_set_do_no_harm(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "a", VOXELS, np.diag([1, 1, 2.0, 1]), SeriesDescription="phantom")
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes().replace(b"phantom", b"ph\xe4ntom"))
    np.testing.assert_array_equal(read_image(folder).voxels, VOXELS)


def test_other_files_in_the_folder_are_passed_over(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "a", VOXELS, np.diag([1, 1, 2.0, 1]))
    (folder / "readme.txt").write_text("about this series")
    (folder / "DICOMDIR").write_bytes(bytes(200))
    report = dicom_slice(VOXELS[0], np.eye(4), 0, "1.2.3", SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11", Modality="SR")
    report.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.88.11"
    for keyword in ("PixelData", "Rows", "Columns"):
        delattr(report, keyword)
    report.save_as(folder / "REPORT", enforce_file_format=True)
    np.testing.assert_array_equal(read_image(folder).voxels, VOXELS)


def test_two_series_are_refused_by_name_and_count(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "a", VOXELS, np.eye(4), SeriesDescription="T1 sag")
    names = [f"B{k}" for k in range(SHAPE[0])]
    write_series(folder, VOXELS, np.eye(4), names=names, skip=(6,), SeriesDescription="FLAIR")
    with pytest.raises(InputError, match=r"2 series: 'T1 sag' \(7 files\), 'FLAIR' \(6 files\)"):
        read_image(folder)


def test_a_gap_is_refused_between_the_files_that_enclose_it(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "a", VOXELS, np.diag([1, 1, 2.5, 1]), skip=(3,))
    with pytest.raises(InputError, match=r"5 mm between IM0002 and IM0004, 2\.5 mm elsewhere"):
        read_image(folder)


def test_rounded_positions_are_no_gap(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "a", VOXELS, np.diag([1, 1, 2.5, 1]))

    def rounded(data: Dataset, k: int) -> None:
        data.ImagePositionPatient = [0, 0, round(2.5 * k + 0.004 * (-1) ** k, 3)]

    for k in range(SHAPE[0]):
        data = dcmread(folder / f"IM{k:04d}")
        rounded(data, k)
        data.save_as(folder / f"IM{k:04d}")
    assert read_image(folder).spacing_mm[2] == pytest.approx(2.5, abs=0.002)
