"""Unusual but correct images are read; mended ones say so."""

from __future__ import annotations

import gzip
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MultiTaskSegLib.runtime.errors import InputError, ResourceError
from MultiTaskSegLib.runtime.image import image_file, nifti_integrity
from MultiTaskSegLib.runtime.image.image_file import read_image, read_label_map
from MultiTaskSegLib.runtime.image.itk_reader import read_itk
from MultiTaskSegLib.runtime.image.sitk_image import write_image
from Testing.hostile.nifti_bytes import nifti_bytes

VOXELS = np.random.default_rng(11).normal(100, 20, (15, 16, 17)).astype(np.float32)


def saved(path: Path, data: bytes) -> Path:
    path.write_bytes(gzip.compress(data) if path.name.endswith(".gz") else data)
    return path


def picture(path: Path, pixels: np.ndarray) -> Path:
    sitk.WriteImage(sitk.GetImageFromArray(pixels, isVector=pixels.ndim == 3), str(path))
    return path


@pytest.mark.parametrize("dtype", ["u1", "i1", "<i2", "<u2", "<i4", "<u4", "<i8", "<f4", "<f8"])
@pytest.mark.parametrize("byte_order", ["<", ">"])
def test_every_nifti_number_type_is_read(tmp_path: Path, dtype: str, byte_order: str) -> None:
    voxels = VOXELS.astype(dtype)
    path = saved(tmp_path / "a.nii.gz", nifti_bytes(voxels, byte_order=byte_order))
    volume = read_image(path)
    assert volume.voxels.dtype == np.float32
    np.testing.assert_array_equal(volume.voxels, voxels.astype(np.float32))
    assert volume.warnings == ()


def test_intensity_scaling_of_a_nifti_file_is_applied(tmp_path: Path) -> None:
    voxels = VOXELS.astype("<i2")
    path = saved(tmp_path / "a.nii", nifti_bytes(voxels, scl_slope=0.5, scl_inter=-3))
    np.testing.assert_allclose(read_image(path).voxels, voxels * 0.5 - 3)


@pytest.mark.parametrize("slope", [0.0, float("nan")])
def test_an_unset_intensity_scaling_means_none(tmp_path: Path, slope: float) -> None:
    path = saved(tmp_path / "a.nii", nifti_bytes(VOXELS, scl_slope=slope, scl_inter=slope))
    np.testing.assert_array_equal(read_image(path).voxels, VOXELS)


def test_with_a_slope_of_zero_nothing_is_added_either(tmp_path: Path) -> None:
    # nifti1.h: only if scl_slope is not 0 is scl_inter added; ITK adds it all the same.
    for slope, intercept in ((0.0, -1024.0), (0.0, 0.0), (float("nan"), 7.0)):
        path = saved(tmp_path / "a.nii", nifti_bytes(VOXELS, scl_slope=slope, scl_inter=intercept))
        np.testing.assert_allclose(read_image(path).voxels, VOXELS, atol=1e-3)


@pytest.mark.parametrize(("unit", "factor"), [(1, 1000.0), (2, 1.0), (3, 0.001)])
def test_spacing_in_metres_or_micrometres_becomes_millimetres(tmp_path: Path, unit: int, factor: float) -> None:
    path = saved(tmp_path / "a.nii", nifti_bytes(VOXELS, np.diag([2.0, 3, 4, 1]), xyzt_units=unit))
    assert read_image(path).spacing_mm == pytest.approx((2 * factor, 3 * factor, 4 * factor))


def test_frames_are_counted_before_anything_is_decoded(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.nii", nifti_bytes(np.zeros((5, 2, 3, 4), np.uint8)))
    with pytest.raises(InputError, match="4-D with 5 frames"):
        nifti_integrity.check_nifti(path)


@pytest.mark.parametrize("shape", [(1, 15, 16, 17), (1, 1, 15, 16, 17)])
def test_a_4d_file_of_one_frame_is_that_frame(tmp_path: Path, shape: tuple[int, ...]) -> None:
    voxels = VOXELS.reshape(-1)[: int(np.prod(shape))].reshape(shape)
    volume = read_image(saved(tmp_path / "a.nii.gz", nifti_bytes(voxels)))
    np.testing.assert_array_equal(volume.voxels, voxels.reshape(shape[-3:]))


def test_a_one_slice_volume_keeps_its_place(tmp_path: Path) -> None:
    affine = np.array([[0, 0, 5.0, 10], [2.0, 0, 0, 20], [0, 3.0, 0, 30], [0, 0, 0, 1]])
    volume = read_image(saved(tmp_path / "a.nii", nifti_bytes(VOXELS[:1], affine)))
    assert volume.is_planar
    np.testing.assert_allclose(volume.ijk_to_ras, affine, atol=1e-6)


def test_a_2d_nifti_file_is_one_slice_in_its_place(tmp_path: Path) -> None:
    affine = np.array([[2.0, 0, 0, 10], [0, 3.0, 0, 20], [0, 0, 5.0, 30], [0, 0, 0, 1]])
    volume = read_image(saved(tmp_path / "a.nii", nifti_bytes(VOXELS[0], affine)))
    assert volume.shape == (1, 16, 17)
    np.testing.assert_array_equal(volume.voxels[0], VOXELS[0])
    np.testing.assert_allclose(volume.ijk_to_ras[:2], affine[:2], atol=1e-6)


def test_few_bad_voxels_become_the_smallest_value_and_are_counted(tmp_path: Path) -> None:
    bad = VOXELS.copy()
    bad[3, 4, 5], bad[0, 0, 0], bad[-1, -1, -1] = np.nan, np.inf, -np.inf
    expected = np.where(np.isfinite(bad), bad, VOXELS[np.isfinite(bad)].min())
    image = sitk.GetImageFromArray(bad)
    sitk.WriteImage(image, str(tmp_path / "a.nrrd"))
    sitk.WriteImage(image, str(tmp_path / "a.mha"))
    saved(tmp_path / "a.nii.gz", nifti_bytes(bad))
    for ending in ("nrrd", "mha", "nii.gz"):
        volume = read_image(tmp_path / f"a.{ending}")
        np.testing.assert_array_equal(volume.voxels, expected)
        assert volume.warnings == ("3 NaN or infinite voxels were replaced by the smallest finite value",)


def test_without_the_scan_nan_voxels_of_a_nifti_file_would_silently_become_zero(tmp_path: Path) -> None:
    bad = VOXELS.copy()
    bad[3, 4, 5] = np.nan
    path = saved(tmp_path / "a.nii", nifti_bytes(bad))
    assert sitk.GetArrayFromImage(sitk.ReadImage(str(path)))[3, 4, 5] == 0
    assert read_image(path).voxels[3, 4, 5] == VOXELS[np.isfinite(bad)].min()


def test_the_share_of_bad_voxels_that_is_mended_ends_at_one_in_a_thousand(tmp_path: Path) -> None:
    voxels = VOXELS[:10, :10, :10].copy()
    voxels[0, 0, 0] = np.nan
    assert read_image(saved(tmp_path / "a.nii", nifti_bytes(voxels))).warnings
    voxels[0, 0, 1] = np.nan
    with pytest.raises(InputError, match="NaN or infinite"):
        read_image(saved(tmp_path / "b.nii", nifti_bytes(voxels)))


def test_values_beyond_float32_count_as_infinite(tmp_path: Path) -> None:
    voxels = VOXELS.astype("<f8")
    voxels[1, 2, 3] = 1e300
    volume = read_image(saved(tmp_path / "a.nii", nifti_bytes(voxels)))
    assert np.isfinite(volume.voxels).all()
    assert volume.warnings


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "A.JPEG"])
def test_a_grey_picture_is_one_slice_of_one_millimetre_pixels(tmp_path: Path, name: str) -> None:
    pixels = np.tile(np.arange(0, 240, 5, dtype=np.uint8), (40, 1))
    volume = read_image(picture(tmp_path / name, pixels))
    assert volume.shape == (1, 40, 48)
    np.testing.assert_allclose(volume.voxels[0], pixels, atol=0 if name == "a.png" else 6)
    np.testing.assert_array_equal(volume.ijk_to_lps, np.eye(4))


@pytest.mark.parametrize("channels", [3, 4])
def test_a_colour_file_with_equal_channels_is_grey_with_a_warning(tmp_path: Path, channels: int) -> None:
    pixels = np.repeat(np.random.default_rng(1).integers(0, 255, (20, 30, 1)), channels, axis=-1).astype(np.uint8)
    if channels == 4:
        pixels[..., 3] = 255
    volume = read_image(picture(tmp_path / "a.png", pixels))
    np.testing.assert_array_equal(volume.voxels[0], pixels[..., 0])
    assert "one channel is used" in volume.warnings[0]


def test_a_pixel_size_for_printing_is_not_believed(tmp_path: Path) -> None:
    image = sitk.GetImageFromArray(np.arange(240, dtype=np.uint8).reshape(12, 20))
    image.SetSpacing((0.2, 0.3))
    sitk.WriteImage(image, str(tmp_path / "a.png"))
    assert sitk.ReadImage(str(tmp_path / "a.png")).GetSpacing()[0] == pytest.approx(0.2)
    assert read_image(tmp_path / "a.png").spacing_mm == (1.0, 1.0, 1.0)


def test_sixteen_bit_pictures_keep_their_values(tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 65535, (20, 30)).astype(np.uint16)
    np.testing.assert_array_equal(read_image(picture(tmp_path / "a.png", pixels)).voxels[0], pixels)


@pytest.mark.parametrize("name", ["with space", "Lékař", "脳", "a.b.c", "quote'\"", "%d"])
@pytest.mark.parametrize("ending", ["nii.gz", "nrrd", "mha", "NII.GZ"])
def test_any_file_name_is_read(tmp_path: Path, name: str, ending: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    source = tmp_path / f"plain.{ending.lower()}"
    sitk.WriteImage(sitk.GetImageFromArray(VOXELS), str(source))
    path = source.rename(folder / f"{name}.{ending}")
    volume = read_image(path)
    np.testing.assert_array_equal(volume.voxels, VOXELS)
    assert volume.name == path.name


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux names files with any bytes")
def test_a_file_whose_name_is_no_text_is_refused_and_ends_nothing(tmp_path: Path) -> None:
    source = tmp_path / "plain.nrrd"
    image = sitk.GetImageFromArray(VOXELS)
    sitk.WriteImage(image, str(source))
    odd = Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), b"\xff.nrrd")))
    odd.write_bytes(source.read_bytes())
    with pytest.raises(InputError, match="no text in UTF-8"):
        read_image(odd)
    folder = odd.with_suffix("")
    folder.mkdir()
    (folder / "a").write_bytes(b"x")
    with pytest.raises(InputError, match="no text in UTF-8"):
        read_image(folder)
    with pytest.raises(ResourceError, match="no text in UTF-8"):
        write_image(image, folder / "a.nrrd")


@pytest.mark.parametrize(("header", "data"), [("a.mhd", "a.raw"), ("a.nhdr", "a.raw"), ("a.nhdr", "a.raw.gz")])
def test_detached_headers_are_read_with_their_data_file(tmp_path: Path, header: str, data: str) -> None:
    path = tmp_path / header
    sitk.WriteImage(sitk.GetImageFromArray(VOXELS), str(path), useCompression=data.endswith("gz"))
    assert (tmp_path / data).is_file()
    np.testing.assert_array_equal(read_image(path).voxels, VOXELS)
    (tmp_path / data).write_bytes((tmp_path / data).read_bytes()[:-100])
    with pytest.raises(InputError):
        read_image(path)


def test_a_detached_header_is_judged_by_the_size_of_its_data_file(tmp_path: Path) -> None:
    # More voxels than 1032 times eight times the bytes of the header: of an image of zeros they would fit into it.
    voxels = np.zeros((40, 250, 320), np.uint8)
    voxels[0, 0, 0] = 1
    sitk.WriteImage(sitk.GetImageFromArray(voxels), str(tmp_path / "a.mhd"))
    assert (tmp_path / "a.mhd").stat().st_size * 8 * 1032 < voxels.size
    assert read_image(tmp_path / "a.mhd").shape == voxels.shape


def test_a_header_that_names_a_list_of_files_is_read(tmp_path: Path) -> None:
    voxels = np.arange(2 * 100 * 120, dtype=np.uint16).reshape(2, 100, 120)
    for number, plane in enumerate(voxels):
        (tmp_path / f"{number}.raw").write_bytes(plane.tobytes())
    (tmp_path / "a.mhd").write_text(
        "ObjectType = Image\nNDims = 3\nBinaryData = True\nDimSize = 120 100 2\nElementSpacing = 1 1 1\n"
        "ElementType = MET_USHORT\nElementDataFile = LIST\n0.raw\n1.raw\n"
    )
    np.testing.assert_array_equal(read_image(tmp_path / "a.mhd").voxels, voxels)


def test_a_file_without_permission_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "a.nii", nifti_bytes(VOXELS))

    def refuse(self: Path, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(InputError, match="no permission to read") as refusal:
        read_image(path)
    assert refusal.value.file == str(path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("ending", ["nii.gz", "nrrd", "mha", "png"])
def test_a_file_whose_mode_forbids_reading_is_refused(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    sitk.WriteImage(sitk.GetImageFromArray(VOXELS[0].astype(np.uint8)), str(path))
    path.chmod(0)
    with pytest.raises(InputError, match="no permission"):
        read_image(path)


def test_a_sheared_sform_beside_a_good_qform_gives_a_warning(tmp_path: Path) -> None:
    shear = np.array([[1, 0.4, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0.0]])
    path = saved(tmp_path / "a.nii", nifti_bytes(VOXELS, srow=shear.ravel().tolist(), qform_code=1))
    volume = read_image(path)
    assert any("sheared" in text for text in volume.warnings)
    np.testing.assert_allclose(volume.ijk_to_ras, np.eye(4), atol=1e-6)


def test_a_single_slice_without_thickness_is_one_millimetre_thick(tmp_path: Path) -> None:
    volume = read_image(saved(tmp_path / "a.nii", nifti_bytes(VOXELS[:1], pixdim=[1, 1, 1, 0, 1, 1, 1, 1])))
    assert volume.spacing_mm == pytest.approx((1, 1, 1))
    assert volume.warnings == ("spacing along the single-slice axis z is 0; 1 mm is assumed",)


@pytest.mark.parametrize("sheared_by", [2e-4, 1e-3])
def test_a_slightly_sheared_sform_is_refused_in_plain_words(tmp_path: Path, sheared_by: float) -> None:
    shear = [1, sheared_by, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0]
    with pytest.raises(InputError, match="sheared"):
        read_image(saved(tmp_path / "a.nii", nifti_bytes(VOXELS, srow=shear)))


def test_an_sform_that_misses_right_angles_by_rounding_is_read(tmp_path: Path) -> None:
    affine = np.eye(4)
    affine[0, 1] = 2e-5
    assert read_image(saved(tmp_path / "a.nii", nifti_bytes(VOXELS, affine))).warnings == ()


def test_a_spacing_that_contradicts_the_sform_gives_a_warning(tmp_path: Path) -> None:
    pixdim = [1, 1, 1, 1, 1, 1, 1, 1]
    volume = read_image(saved(tmp_path / "a.nii", nifti_bytes(VOXELS, np.diag([2.0, 3, 4, 1]), pixdim=pixdim)))
    assert volume.warnings == ("the voxel spacing of the header contradicts its sform; the former is used",)


def test_a_label_map_may_be_stored_in_floating_point(tmp_path: Path) -> None:
    labels = np.random.default_rng(2).integers(0, 5, VOXELS.shape)
    found, _ = read_label_map(saved(tmp_path / "a.nii", nifti_bytes(labels.astype("<f4"))))
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, labels)


@pytest.mark.parametrize(("value", "says"), [(1.5, "1.5, which is not"), (np.nan, "NaN"), (1e12, "beyond 32 bits")])
def test_a_label_map_with_a_value_that_is_no_label_is_refused(tmp_path: Path, value: float, says: str) -> None:
    labels = np.zeros(VOXELS.shape, "<f4")
    labels[1, 2, 3] = value
    with pytest.raises(InputError, match=says):
        read_label_map(saved(tmp_path / "a.nii", nifti_bytes(labels)))


@pytest.mark.parametrize("name", ["a.jpg", "a.jpeg", "A.JPG"])
def test_a_label_map_in_jpeg_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="JPEG compression alters"):
        read_label_map(picture(tmp_path / name, np.zeros((20, 20), np.uint8)))


def test_without_the_integrity_check_half_a_nifti_file_would_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = nifti_bytes(VOXELS)
    path = saved(tmp_path / "a.nii", data[: len(data) // 2])
    with pytest.raises(InputError, match="truncated"):
        read_image(path)
    header = nifti_integrity.check_nifti(saved(tmp_path / "b.nii", data)).header
    nothing_found = nifti_integrity.NiftiContent(header, np.empty(0, np.int64))
    monkeypatch.setattr(image_file, "check_nifti", lambda _: nothing_found)
    assert (read_image(path).voxels == 0).mean() > 0.4


def test_itk_finding_another_number_of_voxels_than_the_check_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path / "a.nii", nifti_bytes(VOXELS))
    smaller = read_itk(saved(tmp_path / "b.nii", nifti_bytes(VOXELS[:4])), "NiftiImageIO")
    monkeypatch.setattr(image_file, "read_itk", lambda *_: smaller)
    with pytest.raises(InputError, match="another number of voxels"):
        read_image(path)


def test_what_itk_calls_not_orthonormal_is_called_sheared(tmp_path: Path) -> None:
    shear = [1, 0.01, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0]
    with pytest.raises(InputError, match="sheared"):
        read_itk(saved(tmp_path / "a.nii", nifti_bytes(VOXELS, srow=shear)), "NiftiImageIO")


def test_real_images_are_read_without_complaint(shared_data: Path) -> None:
    for path in sorted(shared_data.glob("Dataset*/imagesTr/*"))[::40]:
        assert read_image(path).warnings == ()
