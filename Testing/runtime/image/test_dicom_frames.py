"""The frames of one DICOM file get the checks that the files of a series get."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pydicom", reason="pydicom makes the DICOM files of these tests")

from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    NuclearMedicineImageStorage,
    RTDoseStorage,
)

from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.runtime.image.image_file import read_image
from Testing.hostile.dicom_frames import enhanced, film, item, multi_frame, saved
from Testing.runtime.orientation import OBLIQUE_DEG, grid

VOXELS = np.random.default_rng(3).integers(0, 4000, (7, 6, 9)).astype(np.uint16)
GRID = grid(np.eye(3), OBLIQUE_DEG["oblique"], (0.7, 0.9, 2.5))
ORDERS = {
    "as they lie": [0, 1, 2, 3, 4, 5, 6],
    "head first": [6, 5, 4, 3, 2, 1, 0],
    "interleaved": [0, 2, 4, 6, 1, 3, 5],
}


@pytest.mark.parametrize("syntax", [None, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
@pytest.mark.parametrize("order", ORDERS)
def test_frames_lie_where_they_say_in_whatever_order_they_are_stored(tmp_path: Path, order: str, syntax: str) -> None:
    data = enhanced(VOXELS[ORDERS[order]], GRID, ORDERS[order])
    data.file_meta.TransferSyntaxUID = syntax or data.file_meta.TransferSyntaxUID
    path = saved(tmp_path / "a.dcm", data)
    for given in (path, tmp_path):
        volume = read_image(given)
        np.testing.assert_array_equal(volume.voxels, VOXELS)
        np.testing.assert_allclose(volume.ijk_to_lps, GRID, atol=1e-6)
        assert (volume.measured, volume.warnings) == ("voxel", ())


@pytest.mark.parametrize("places", [[0, 1, 2, 3, 0, 1, 2], [0, 0, 1, 1, 2, 2, 3]])
def test_two_time_points_in_one_file_are_refused(tmp_path: Path, places: list[int]) -> None:
    path = saved(tmp_path / "a.dcm", enhanced(VOXELS, GRID, places))
    with pytest.raises(InputError, match=r"same position \(frame 1 and frame"):
        read_image(path)


def test_frames_beyond_the_number_that_is_stated_are_not_dropped(tmp_path: Path) -> None:
    data = enhanced(VOXELS, GRID, list(range(7)))
    del data.NumberOfFrames
    with pytest.raises(InputError, match="places to 7 frames but says that it holds one"):
        read_image(saved(tmp_path / "a.dcm", data))


def test_a_missing_frame_is_noticed(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.dcm", enhanced(VOXELS[:6], GRID, [0, 1, 2, 4, 5, 6]))
    with pytest.raises(InputError, match="unevenly spaced: 5 mm between frame 3 and frame 4"):
        read_image(path)


@pytest.mark.parametrize("kind", ["orientations", "pixel spacings", "scaled differently"])
def test_frames_that_are_no_single_volume_are_refused(tmp_path: Path, kind: str) -> None:
    data = enhanced(VOXELS, GRID, range(7))
    last = data.PerFrameFunctionalGroupsSequence[-1]
    if kind == "orientations":
        last.PlaneOrientationSequence[0].ImageOrientationPatient = [0, 1, 0, 0, 0, 1]
    elif kind == "pixel spacings":
        last.PixelMeasuresSequence = [item(PixelSpacing=["2", "2"])]
    else:
        last.PixelValueTransformationSequence = [item(RescaleIntercept="0", RescaleSlope="3", RescaleType="US")]
    with pytest.raises(InputError, match=f"no single volume.*{kind}"):
        read_image(saved(tmp_path / "a.dcm", data))


def test_a_single_frame_is_a_slice_where_it_says_and_as_thick(tmp_path: Path) -> None:
    volume = read_image(saved(tmp_path / "a.dcm", enhanced(VOXELS[:1], GRID, [4])))
    np.testing.assert_allclose(volume.ijk_to_lps, GRID @ np.array(np.eye(4) + 4 * np.outer([0, 0, 1, 0], [0, 0, 0, 1])))
    assert volume.measured == "voxel"


@pytest.mark.parametrize(
    ("tags", "says"),
    [
        ({}, "7 frames over time, 33 ms apart"),
        ({"FrameTime": None, "FrameTimeVector": [0] + 6 * [40], "FrameIncrementPointer": 0x00181065}, "over time"),
        ({"FrameTime": None, "FrameIncrementPointer": None}, "does not say where they lie"),
    ],
)
def test_a_film_is_no_volume(tmp_path: Path, tags: dict[str, object], says: str) -> None:
    with pytest.raises(InputError, match=says):
        read_image(saved(tmp_path / "a.dcm", film(VOXELS, **tags)))


def test_planes_of_dose_are_slices_at_their_offsets(tmp_path: Path) -> None:
    plane = {
        "Modality": "RTDOSE",
        "FrameIncrementPointer": 0x3004000C,
        "PixelSpacing": ["2", "1.5"],
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "ImagePositionPatient": [3, 4, 5],
        "DoseGridScaling": "1",
    }
    offsets = [3.0 * k for k in range(7)]
    data = multi_frame(VOXELS, RTDoseStorage, GridFrameOffsetVector=offsets, **plane)
    volume = read_image(saved(tmp_path / "a.dcm", data))
    np.testing.assert_array_equal(volume.voxels, VOXELS)
    np.testing.assert_allclose(volume.ijk_to_lps, [[1.5, 0, 0, 3], [0, 2, 0, 4], [0, 0, 3, 5], [0, 0, 0, 1]])
    data.GridFrameOffsetVector = [*offsets[:-1], 40.0]
    with pytest.raises(InputError, match="unevenly spaced"):
        read_image(saved(tmp_path / "a.dcm", data))


def test_only_a_whole_stack_of_nuclear_slices_is_a_volume(tmp_path: Path) -> None:
    tags = {"Modality": "NM", "FrameIncrementPointer": 0x00540080, "PixelSpacing": ["2", "1.5"]}
    tags |= {"SpacingBetweenSlices": "4", "SliceThickness": "4"}
    one = multi_frame(VOXELS, NuclearMedicineImageStorage, SliceVector=list(range(1, 8)), **tags)
    assert read_image(saved(tmp_path / "a.dcm", one)).shape == VOXELS.shape
    gated = multi_frame(VOXELS, NuclearMedicineImageStorage, SliceVector=[1, 2, 3, 1, 2, 3, 1], **tags)
    with pytest.raises(InputError, match="7 frames"):
        read_image(saved(tmp_path / "a.dcm", gated))


def test_a_file_cut_off_among_its_frames_places_is_refused(tmp_path: Path) -> None:
    whole = saved(tmp_path / "a.dcm", enhanced(VOXELS, GRID, range(7))).read_bytes()
    for share in (0.2, 0.5, 0.9):
        (tmp_path / "a.dcm").write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(InputError):
            read_image(tmp_path / "a.dcm")
