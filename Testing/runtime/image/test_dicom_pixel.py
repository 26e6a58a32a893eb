"""Pixels of DICOM images have the size that a tag states, and it is true which end of their scale is bright."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pydicom", reason="pydicom makes the DICOM files of these tests")

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import generate_uid

from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.runtime.image.image_file import read_image
from MultiTaskSegLib.runtime.image.volume import Volume
from Testing.hostile.dicom_series import dicom_slice, write_series

PIXELS = np.random.default_rng(3).integers(0, 4000, (20, 30)).astype(np.uint16)
SIZE = ["0.2", "0.3"]  # of rows and of columns
CLASSES = {
    "CT": "1.2.840.10008.5.1.4.1.1.2",
    "CR": "1.2.840.10008.5.1.4.1.1.1",
    "DX": "1.2.840.10008.5.1.4.1.1.1.1",
    "MG": "1.2.840.10008.5.1.4.1.1.1.2",
    "US": "1.2.840.10008.5.1.4.1.1.6.1",
    "OT": "1.2.840.10008.5.1.4.1.1.7",
}
UNKNOWN = "the file states no size of its voxels; 1 mm is assumed, and no result is given in millimetres"


def picture(folder: Path, modality: str, **tags: Any) -> Volume:
    """One image of a kind that states nothing of its place but these tags."""
    data = dicom_slice(PIXELS, np.eye(4), 0, generate_uid())
    for keyword in ("PixelSpacing", "SliceThickness", "ImagePositionPatient", "ImageOrientationPatient"):
        delattr(data, keyword)
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = CLASSES[modality]
    data.Modality = modality
    for keyword, value in tags.items():
        setattr(data, keyword, value)
    path = folder / "a.dcm"
    data.save_as(path, enforce_file_format=True)
    return read_image(path)


@pytest.mark.parametrize("modality", CLASSES)
@pytest.mark.parametrize("tag", ["PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"])
def test_pixels_have_the_size_that_is_stated_in_whichever_tag(tmp_path: Path, modality: str, tag: str) -> None:
    volume = picture(tmp_path, modality, **{tag: SIZE})
    assert volume.spacing_mm == pytest.approx((0.3, 0.2, 1.0))
    assert (volume.measured, volume.warnings) == ("pixel", ())
    assert volume.pixel_area_mm2 == pytest.approx(0.06)
    assert volume.voxel_volume_mm3 is None


@pytest.mark.parametrize("modality", CLASSES)
@pytest.mark.parametrize("tags", [{}, {"PixelSpacing": None}], ids=str)
def test_an_image_that_states_no_size_has_none(tmp_path: Path, modality: str, tags: dict[str, Any]) -> None:
    volume = picture(tmp_path, modality, **tags)
    assert (volume.measured, volume.warnings) == ("nothing", (UNKNOWN,))
    assert volume.voxel_volume_mm3 is None
    assert volume.pixel_area_mm2 is None


def test_a_size_of_zero_is_no_size(tmp_path: Path) -> None:
    assert picture(tmp_path, "CT", PixelSpacing=["0", "0"]).measured == "nothing"
    with pytest.raises(InputError, match="spacing along x is 0"):
        picture(tmp_path, "US", PixelSpacing=["0", "0"])  # for GDCM it is one


def test_without_a_size_the_ratio_of_the_sides_still_counts(tmp_path: Path) -> None:
    volume = picture(tmp_path, "US", PixelAspectRatio=[3, 2])  # rows are farther apart than columns
    assert volume.spacing_mm == pytest.approx((1.0, 1.5, 1.0))
    assert volume.measured == "nothing"


def test_a_slice_with_pixels_and_thickness_has_a_volume(tmp_path: Path) -> None:
    volume = picture(tmp_path, "CT", PixelSpacing=SIZE, SliceThickness="5")
    assert (volume.measured, volume.voxel_volume_mm3) == ("voxel", pytest.approx(0.3))


def test_a_size_in_a_functional_group_counts_although_it_is_one_millimetre(tmp_path: Path) -> None:
    measures = Dataset()
    measures.PixelSpacing = ["1.0", "1.0"]
    group = Dataset()
    group.PixelMeasuresSequence = Sequence([measures])
    volume = picture(tmp_path, "OT", SharedFunctionalGroupsSequence=Sequence([group]))
    assert (volume.measured, volume.warnings) == ("pixel", ())


def test_a_series_is_measured_when_every_slice_is(tmp_path: Path) -> None:
    voxels = np.stack([PIXELS, PIXELS + 1, PIXELS + 2])
    grid = np.diag([1.0, 1.0, 2.0, 1.0])
    assert read_image(write_series(tmp_path / "a", voxels, grid)).measured == "voxel"
    unknown = read_image(write_series(tmp_path / "b", voxels, grid, PixelSpacing=None))
    assert (unknown.measured, unknown.warnings) == ("nothing", (UNKNOWN,))
    np.testing.assert_array_equal(unknown.voxels, voxels)


def test_high_values_of_an_inverted_image_are_bright_and_it_says_so(tmp_path: Path) -> None:
    stored = {"PixelSpacing": SIZE, "BitsStored": 12, "HighBit": 11}
    plain = picture(tmp_path, "DX", **stored)
    for shape in ({}, {"PresentationLUTShape": "INVERSE"}, {"PresentationLUTShape": "IDENTITY"}):
        turned = picture(tmp_path, "DX", PhotometricInterpretation="MONOCHROME1", **stored, **shape)
        np.testing.assert_array_equal(turned.voxels, 4095 - plain.voxels)
        (note,) = turned.warnings
        assert "was inverted: high values are bright" in note


def test_inversion_comes_before_the_rescale_slope(tmp_path: Path) -> None:
    stored = {"PixelSpacing": SIZE, "BitsStored": 12, "HighBit": 11, "RescaleSlope": "2", "RescaleIntercept": "-1000"}
    turned = picture(tmp_path, "DX", PhotometricInterpretation="MONOCHROME1", **stored)
    np.testing.assert_array_equal(turned.voxels[0], 2.0 * (4095 - PIXELS) - 1000)


def test_a_presentation_lut_that_inverts_is_told_and_not_applied(tmp_path: Path) -> None:
    volume = picture(tmp_path, "DX", PixelSpacing=SIZE, PresentationLUTShape="INVERSE")
    np.testing.assert_array_equal(volume.voxels[0], PIXELS)
    (note,) = volume.warnings
    assert "used as stored: high values are dark" in note
    assert picture(tmp_path, "DX", PixelSpacing=SIZE, PresentationLUTShape="IDENTITY").warnings == ()


def test_measured_values_that_would_be_turned_around_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="turns its measured values around"):
        picture(tmp_path, "CT", PixelSpacing=SIZE, PhotometricInterpretation="MONOCHROME1")
