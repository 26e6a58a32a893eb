"""DICOM images that are not what they seem: mosaics, sizes in regions, rounded positions, grey stored as colour."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pydicom", reason="pydicom makes the DICOM files of these tests")

from pydicom import dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit, UltrasoundImageStorage

from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.runtime.image.content_window import content_window
from MultiTaskSegLib.runtime.image.image_file import read_image
from Testing.hostile.dicom_frames import item, saved
from Testing.hostile.dicom_series import dicom_slice, write_series

VOXELS = np.random.default_rng(3).integers(0, 250, (9, 6, 8)).astype(np.uint16)


def ultrasound(*regions: Any, **tags: Any) -> Any:
    """A picture without pixel spacing."""
    data = dicom_slice(VOXELS[0], np.eye(4), 0, "1.2", SOPClassUID=UltrasoundImageStorage, Modality="US")
    data.file_meta.MediaStorageSOPClassUID = UltrasoundImageStorage
    for keyword in ("PixelSpacing", "SliceThickness", "ImageOrientationPatient", "ImagePositionPatient"):
        delattr(data, keyword)
    data.SequenceOfUltrasoundRegions = list(regions)
    for keyword, value in tags.items():
        setattr(data, keyword, value)
    return data


def region(x_cm: float, y_cm: float, unit: int = 3, spatial_format: int = 1) -> Any:
    """A region of an ultrasound picture; unit 3 is centimetres, format 1 is 2-D."""
    return item(
        RegionSpatialFormat=spatial_format,
        PhysicalUnitsXDirection=unit,
        PhysicalUnitsYDirection=unit,
        PhysicalDeltaX=x_cm,
        PhysicalDeltaY=y_cm,
    )


def coloured(planes: np.ndarray, photometric: str) -> Any:
    """One picture uint8 ``(Y, X, 3)``."""
    data = dicom_slice(VOXELS[0], np.eye(4), 0, "1.2", SamplesPerPixel=3, PhotometricInterpretation=photometric)
    data.PlanarConfiguration, data.BitsAllocated, data.BitsStored, data.HighBit = 0, 8, 8, 7
    data.PixelData = np.ascontiguousarray(planes, dtype=np.uint8).tobytes()
    return data


@pytest.mark.parametrize("kind", ["file", "series"])
def test_a_mosaic_is_refused_in_words(tmp_path: Path, kind: str) -> None:
    tags = {"ImageType": ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]}
    folder = write_series(tmp_path / "a", VOXELS[: 1 if kind == "file" else 3], np.eye(4), **tags)
    with pytest.raises(InputError, match="mosaic"):
        read_image(folder)


def test_the_regions_of_an_ultrasound_picture_give_its_pixel_size(tmp_path: Path) -> None:
    curve = region(9.0, 9.0, unit=4, spatial_format=3)  # seconds, of a waveform beside the picture
    volume = read_image(saved(tmp_path / "a.dcm", ultrasound(region(0.03, 0.02), region(-0.03, 0.02), curve)))
    assert volume.spacing_mm[:2] == pytest.approx((0.3, 0.2))
    assert (volume.measured, volume.warnings) == ("pixel", ())


@pytest.mark.parametrize(
    "regions", [(), (region(0.03, 0.02, unit=4),), (region(0.03, 0.02), region(0.05, 0.05)), (region(0.0, 0.02),)]
)
def test_an_ultrasound_picture_without_one_pixel_size_says_that_1_mm_is_assumed(tmp_path: Path, regions: Any) -> None:
    volume = read_image(saved(tmp_path / "a.dcm", ultrasound(*regions)))
    assert volume.measured == "nothing"
    assert "1 mm is assumed" in volume.warnings[-1]


@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL"])
def test_grey_that_is_stored_as_colour_is_read_as_grey(tmp_path: Path, photometric: str) -> None:
    others = VOXELS[0] if photometric == "RGB" else np.full_like(VOXELS[0], 128)
    volume = read_image(saved(tmp_path / "a.dcm", coloured(np.stack([VOXELS[0], others, others], -1), photometric)))
    np.testing.assert_array_equal(volume.voxels[0], VOXELS[0])
    assert any("stored in colour but grey" in warning for warning in volume.warnings)


@pytest.mark.parametrize("is_jpeg", [True, False])
def test_a_picture_in_jpeg_is_as_large_as_without(tmp_path: Path, is_jpeg: bool) -> None:
    pillow = pytest.importorskip("PIL.Image", reason="Pillow writes the pictures of these tests")
    inner = np.random.default_rng(0).integers(80, 250, (37, 46))
    picture = np.pad(inner, ((13, 5), (11, 9))).astype(np.uint8)
    data = dicom_slice(picture, np.eye(4), 0, "1.2", BitsAllocated=8, BitsStored=8, HighBit=7)
    data.PixelData = picture.tobytes()
    if is_jpeg:
        jpeg = BytesIO()
        pillow.fromarray(picture).save(jpeg, "jpeg", quality=95)
        data.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
        data.PixelData = encapsulate([jpeg.getvalue()])
        data["PixelData"].VR = "OB"
    voxels = read_image(saved(tmp_path / "a.dcm", data)).voxels
    assert content_window(voxels, 0.0) == content_window(picture[None], 0)


def test_one_coloured_pixel_is_enough_to_refuse(tmp_path: Path) -> None:
    planes = np.repeat(VOXELS[0][..., None], 3, axis=-1)
    planes[2, 3, 1] += 1
    with pytest.raises(InputError, match="colour"):
        read_image(saved(tmp_path / "a.dcm", coloured(planes, "RGB")))


def rounded(folder: Path, step_mm: float, decimals: int, skip: tuple[int, ...] = (), shear: float = 0.0) -> Path:
    """A series whose positions are written with few decimals."""
    grid = np.diag([1.2, 1.2, step_mm, 1.0])
    grid[0, 2] = shear
    for path in write_series(folder, VOXELS, grid, skip=skip).iterdir():
        data = dcmread(path)
        data.ImagePositionPatient = [f"{float(value):.{decimals}f}" for value in data.ImagePositionPatient]
        data.save_as(path)
    return folder


@pytest.mark.parametrize("step_mm", [0.625, 1.25, 2.33])
def test_positions_rounded_to_a_tenth_are_read_with_an_even_step_and_a_note(tmp_path: Path, step_mm: float) -> None:
    volume = read_image(rounded(tmp_path / "a", step_mm, 1))
    np.testing.assert_array_equal(volume.voxels, VOXELS)
    assert volume.spacing_mm[2] == pytest.approx(step_mm, abs=0.1 / 8)
    assert abs(volume.ijk_to_lps[2, 3]) < 0.1
    assert "rounded to 0.1 mm" in volume.warnings[0]


def test_even_positions_with_one_decimal_need_no_note(tmp_path: Path) -> None:
    volume = read_image(rounded(tmp_path / "a", 1.5, 1))
    assert volume.warnings == ()
    assert volume.spacing_mm[2] == pytest.approx(1.5)


@pytest.mark.parametrize("faults", [{"skip": (1,)}, {"skip": (4,)}, {"skip": (7,)}, {"shear": 0.2}, {"decimals": 0}])
def test_rounding_hides_no_missing_slice_and_no_tilt(tmp_path: Path, faults: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"unevenly spaced|tilt"):
        read_image(rounded(tmp_path / "a", **{"step_mm": 1.25, "decimals": 1, **faults}))


def without(folder: Path, keyword: str, places: range) -> Path:
    """A series of which some slices lack an element."""
    for place, path in enumerate(sorted(folder.iterdir())):
        data = dcmread(path)
        if place in places:
            delattr(data, keyword)
        data.save_as(path)
    return folder


@pytest.mark.parametrize("count", [1, 4])
def test_slices_that_do_not_say_where_they_lie_are_called_that(tmp_path: Path, count: int) -> None:
    folder = without(write_series(tmp_path / "a", VOXELS[:4], np.eye(4)), "ImagePositionPatient", range(count))
    # One slice at the origin lies where GDCM puts those without a position.
    with pytest.raises(InputError, match=f"{count} of 4 slices do not say where they lie"):
        read_image(folder)


def test_a_series_without_an_orientation_says_how_it_was_taken(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "a", VOXELS[:4], np.diag([1.0, 1.0, 3.0, 1.0]))
    assert read_image(folder).warnings == ()
    (warning,) = read_image(without(folder, "ImageOrientationPatient", range(2, 3))).warnings
    assert "does not state how its axes lie" in warning


@pytest.mark.parametrize("name", ["IM0001", "scan.ima", "a.dcm"])
@pytest.mark.parametrize("has_preamble", [True, False])
def test_a_dicom_file_is_known_by_what_it_holds(tmp_path: Path, name: str, has_preamble: bool) -> None:
    path = saved(tmp_path / "image.dcm", dicom_slice(VOXELS[0], np.eye(4), 0, "1.2"))
    content = path.read_bytes()
    (tmp_path / name).write_bytes(content if has_preamble else content[132:])
    np.testing.assert_array_equal(read_image(tmp_path / name).voxels[0], VOXELS[0])


def test_an_x_ray_stored_inverted_is_said_to_be_bright_where_it_is(tmp_path: Path) -> None:
    plain = saved(tmp_path / "a.dcm", dicom_slice(VOXELS[0], np.eye(4), 0, "1.2"))
    turned = dicom_slice(65535 - VOXELS[0], np.eye(4), 0, "1.2", PhotometricInterpretation="MONOCHROME1")
    volume = read_image(saved(tmp_path / "b.dcm", turned))
    np.testing.assert_array_equal(volume.voxels, read_image(plain).voxels)
    assert "high values are bright" in volume.warnings[0]
