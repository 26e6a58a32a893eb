"""Whether a file states the size of its voxels: nothing is given in millimetres where it does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.runtime.header.data_file import NO_ORIENTATION
from MultiTaskSegLib.runtime.image.image_file import read_image
from MultiTaskSegLib.runtime.image.volume import Volume
from Testing.hostile.nifti_bytes import nifti_bytes
from Testing.runtime.header.test_length_unit import SPACE, VOXELS, mha, nrrd

UNKNOWN = "the file states no size of its voxels; 1 mm is assumed, and no result is given in millimetres"


def nifti(folder: Path, voxels: np.ndarray = VOXELS, **fields: object) -> Path:
    path = folder / "a.nii"
    path.write_bytes(nifti_bytes(voxels, **fields))
    return path


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_a_picture_has_no_size_and_needs_no_warning(tmp_path: Path, name: str) -> None:
    image = sitk.GetImageFromArray(np.arange(600, dtype=np.uint8).reshape(20, 30) % 251)
    image.SetSpacing((0.2, 0.3))
    sitk.WriteImage(image, str(tmp_path / name))
    volume = read_image(tmp_path / name)
    assert (volume.measured, volume.has_physical_size, volume.warnings) == ("nothing", False, ())
    assert volume.voxel_volume_mm3 is None
    assert volume.pixel_area_mm2 is None


def test_a_file_that_states_its_voxels_has_their_volume(tmp_path: Path) -> None:
    volumes = [read_image(nrrd(tmp_path, SPACE)), read_image(nrrd(tmp_path, "spacings: 1 2 3\n"))]
    volumes += [read_image(mha(tmp_path, "")), read_image(nifti(tmp_path, ijk_to_ras=np.diag([1.0, 2, 3, 1])))]
    for volume, unplaced in zip(volumes, ((), (NO_ORIENTATION,), (NO_ORIENTATION,), ()), strict=True):
        assert (volume.measured, volume.warnings) == ("voxel", unplaced)
        assert volume.voxel_volume_mm3 == pytest.approx(6.0)
        assert volume.pixel_area_mm2 is None  # it is not 2-D


def test_a_file_without_any_geometry_says_so(tmp_path: Path) -> None:
    bare = mha(tmp_path, "")
    bare.write_bytes(bare.read_bytes().replace(b"ElementSpacing = 1 2 3\n", b""))
    blank = {"sform_code": 0, "qform_code": 0, "xyzt_units": 0}
    for path in (nrrd(tmp_path, ""), bare, nifti(tmp_path, **blank)):
        volume = read_image(path)
        assert (volume.measured, volume.warnings) == ("nothing", (NO_ORIENTATION, UNKNOWN))
        assert volume.voxel_volume_mm3 is None


@pytest.mark.parametrize(
    "stated", [{"xyzt_units": 2}, {"qform_code": 1}, {"sform_code": 1}, {"pixdim": [1, 1, 1, 2, 1, 1, 1, 1]}]
)
def test_one_field_that_was_filled_in_is_a_geometry(tmp_path: Path, stated: dict[str, object]) -> None:
    blank = {"sform_code": 0, "qform_code": 0, "xyzt_units": 0}
    assert read_image(nifti(tmp_path, **{**blank, **stated})).measured == "voxel"


def test_a_2d_file_has_pixels_with_an_area_and_no_volume(tmp_path: Path) -> None:
    image = sitk.GetImageFromArray(VOXELS[0])
    image.SetSpacing((0.5, 3.0))
    paths = [tmp_path / "a.nrrd", tmp_path / "a.mha"]
    for path in paths:
        sitk.WriteImage(image, str(path))
    unplaced = {"sform_code": 0, "qform_code": 0}
    paths.append(nifti(tmp_path, VOXELS[0], ijk_to_ras=np.diag([0.5, 3.0, 1, 1]), **unplaced))
    for path in paths:
        volume = read_image(path)
        assert (volume.measured, volume.warnings) == ("pixel", ())
        assert volume.spacing_mm == pytest.approx((0.5, 3.0, 1.0))
        assert volume.voxel_volume_mm3 is None
        assert volume.pixel_area_mm2 == pytest.approx(1.5)


def test_one_slice_of_a_volume_is_as_thick_as_its_file_says(tmp_path: Path) -> None:
    thick = read_image(nifti(tmp_path, VOXELS[:1], ijk_to_ras=np.diag([0.5, 3.0, 4.0, 1])))
    assert (thick.measured, thick.voxel_volume_mm3) == ("voxel", pytest.approx(6.0))
    flat = read_image(nifti(tmp_path, VOXELS[:1], pixdim=[1, 1, 1, 0, 1, 1, 1, 1]))
    assert (flat.measured, flat.voxel_volume_mm3) == ("pixel", None)


@pytest.mark.parametrize(("shape", "area"), [((1, 5, 6), 6.0), ((4, 1, 6), 10.0), ((4, 5, 1), 15.0), ((4, 5, 6), None)])
def test_the_area_of_a_pixel_is_that_of_its_face_in_the_plane(shape: tuple[int, int, int], area: float | None) -> None:
    volume = Volume(np.zeros(shape, np.float32), np.diag([2.0, 3.0, 5.0, 1.0]))
    assert volume.pixel_area_mm2 == (None if area is None else pytest.approx(area))


@pytest.mark.parametrize("spacings", ["1 2 nan", "nan 2 3", "1 -2 3", "1 2 ?"])
def test_an_axis_without_spacing_is_not_one_millimetre(tmp_path: Path, spacings: str) -> None:
    for field in ("spacings", "Spacings"):
        with pytest.raises(InputError, match=r"spacing along an axis|cannot be read"):
            read_image(nrrd(tmp_path, f"{field}: {spacings}\n"))


def test_an_axis_that_holds_the_parts_of_one_value_needs_no_spacing(tmp_path: Path) -> None:
    path = nrrd(tmp_path, "")
    head = b"NRRD0005\ntype: short\ndimension: 4\nsizes: 1 6 5 4\nendian: little\nencoding: raw\n"
    path.write_bytes(head + b"kinds: vector domain domain domain\nspacings: nan 1 2 3\n\n" + VOXELS.tobytes())
    volume = read_image(path)
    assert volume.spacing_mm == pytest.approx((1, 2, 3))
    np.testing.assert_array_equal(volume.voxels, VOXELS)
    path.write_bytes(head + b"kinds: vector domain domain domain\nspacings: 1 1 nan 3\n\n" + VOXELS.tobytes())
    with pytest.raises(InputError, match="not stated"):
        read_image(path)


@pytest.mark.parametrize("fields", ["axis mins: 0 0 0\naxis maxs: 12 15 16\n", "axismaxs: 12 15 16\n"])
def test_limits_of_the_axes_are_not_one_millimetre_per_voxel(tmp_path: Path, fields: str) -> None:
    with pytest.raises(InputError, match="limits of the axes"):
        read_image(nrrd(tmp_path, fields))
    assert read_image(nrrd(tmp_path, "spacings: 1 2 3\n" + fields)).spacing_mm == pytest.approx((1, 2, 3))


@pytest.mark.parametrize("direction", ["none (0,2,0) (0,0,3)", "NONE (0,2,0) (0,0,3)", "(1,0,0) (0,NaN,0) (0,0,3)"])
def test_an_axis_without_direction_is_noticed_however_it_is_written(tmp_path: Path, direction: str) -> None:
    with pytest.raises(InputError, match=r"no direction|cannot be read"):
        read_image(nrrd(tmp_path, f"space: left-posterior-superior\nSpace Directions: {direction}\n"))


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
@pytest.mark.parametrize("ending", ["nrrd", "mha"])
def test_complex_numbers_are_refused_and_not_read_as_their_real_part(tmp_path: Path, dtype: type, ending: str) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(VOXELS + 1j * VOXELS[::-1].astype(dtype)), str(tmp_path / f"a.{ending}"))
    with pytest.raises(InputError, match=r"complex|2 values per voxel"):
        read_image(tmp_path / f"a.{ending}")


@pytest.mark.parametrize("scale", ["ElementToIntensityFunctionSlope = 2\n", "ElementToIntensityFunctionOffset = -1\n"])
def test_a_metaimage_with_scaled_intensities_is_refused(tmp_path: Path, scale: str) -> None:
    plain = "ElementToIntensityFunctionSlope = 1\nElementToIntensityFunctionOffset = 0\n"
    np.testing.assert_array_equal(read_image(mha(tmp_path, plain)).voxels, VOXELS)
    with pytest.raises(InputError, match="stored scaled"):
        read_image(mha(tmp_path, scale))
