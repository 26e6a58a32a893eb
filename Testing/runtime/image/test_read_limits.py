"""Limits of reading, as numbers: a value just on either side of each."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.runtime.image.image_file import read_image, read_label_map
from MultiTaskSegLib.runtime.image.itk_reader import grid_matrix
from MultiTaskSegLib.runtime.image.nifti_integrity import check_nifti
from MultiTaskSegLib.runtime.image.volume import Volume
from Testing.hostile.nifti_bytes import nifti_bytes

BYTES = np.arange(6 * 8 * 10, dtype=np.uint8).reshape(6, 8, 10)
MHA = (
    "ObjectType = Image\nNDims = 3\nBinaryData = True\nCompressedData = False\nElementSpacing = 1 1 1\n"
    "DimSize = {}\nElementType = MET_UCHAR\nElementDataFile = LOCAL\n"
)
ANGLE = 0.3


def saved(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as refused:
        read_image(path)
    return str(refused.value)


@pytest.mark.parametrize("ending", ["nii", "nii.gz"])
def test_a_voxel_that_is_no_number_is_found_behind_millions_of_good_ones(tmp_path: Path, ending: str) -> None:
    # 4.8 MB of voxels: the file is read in pieces of 4 MB.
    voxels = np.full((12, 100, 1000), 100, np.float32)
    voxels[0, 0, 0] = 90
    expected = voxels.copy()
    for place in (5, 1_150_000, voxels.size - 1):
        voxels.flat[place], expected.flat[place] = np.nan, 90
    data = nifti_bytes(voxels)
    volume = read_image(saved(tmp_path / f"a.{ending}", gzip.compress(data, 1) if ending == "nii.gz" else data))
    np.testing.assert_array_equal(volume.voxels, expected)
    assert volume.warnings == ("3 NaN or infinite voxels were replaced by the smallest finite value",)


@pytest.mark.parametrize("ending", ["nii", "nrrd"])
def test_one_voxel_in_a_thousand_is_mended_and_not_one_more(tmp_path: Path, ending: str) -> None:
    voxels = np.linspace(1, 2, 20_000, dtype=np.float32).reshape(20, 20, 50)
    for bad in (20, 21):
        voxels.flat[100 : 100 + bad] = np.nan
        path = tmp_path / f"a.{ending}"
        if ending == "nii":
            path.write_bytes(nifti_bytes(voxels))
        else:
            sitk.WriteImage(sitk.GetImageFromArray(voxels), str(path))
        if bad == 20:
            assert read_image(path).warnings == (
                "20 NaN or infinite voxels were replaced by the smallest finite value",
            )
        else:
            assert "are NaN or infinite" in refusal(path)


def test_an_image_has_at_most_a_thousand_and_twenty_four_voxels_along_three_axes(tmp_path: Path) -> None:
    for depth, says in ((1024, "do not fit"), (1025, "claims")):
        header = nifti_bytes(BYTES, dim=[3, 1024, 1024, depth, 1, 1, 1, 1])
        assert says in refusal(saved(tmp_path / "a.nii.gz", gzip.compress(header)))
        mha = MHA.format(f"1024 1024 {depth}").encode() + BYTES.tobytes()
        assert says in refusal(saved(tmp_path / "a.mha", mha))


def test_a_compressed_file_can_hold_1032_times_its_size(tmp_path: Path) -> None:
    # What is behind the compressed data may be zeros: so the file has a round size.
    for rows, says in ((2000, "it holds 480 of"), (2001, "do not fit into 2000 bytes")):
        packed = gzip.compress(nifti_bytes(BYTES, dim=[2, 1032, rows, 1, 1, 1, 1, 1]))
        assert says in refusal(saved(tmp_path / "a.nii.gz", packed.ljust(2000, b"\0")))


def test_other_formats_can_hold_1032_times_their_size_of_single_bits(tmp_path: Path) -> None:
    for columns, says in ((8 * 1032, "truncated: it holds"), (8 * 1032 + 1, "do not fit into 900 bytes")):
        data = MHA.format(f"{columns} 900 1").encode() + BYTES.tobytes()
        assert says in refusal(saved(tmp_path / "a.mha", data.ljust(900, b"\0")))


def test_voxels_may_begin_where_the_header_ends_and_not_before(tmp_path: Path) -> None:
    data = nifti_bytes(BYTES, vox_offset=348)
    check_nifti(saved(tmp_path / "a.nii", data[:348] + data[352:]))
    assert "places the voxels at byte 347" in refusal(saved(tmp_path / "a.nii", nifti_bytes(BYTES, vox_offset=347)))


def test_a_kilobyte_behind_the_voxels_is_tolerated_and_no_more(tmp_path: Path) -> None:
    np.testing.assert_array_equal(read_image(saved(tmp_path / "a.nii", nifti_bytes(BYTES) + bytes(1024))).voxels, BYTES)
    assert "more voxels than its header" in refusal(saved(tmp_path / "a.nii", nifti_bytes(BYTES) + bytes(1025)))


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize(("longer_by", "is_told"), [(0.009, False), (0.011, True), (-0.009, False), (-0.011, True)])
def test_a_spacing_is_told_when_it_is_more_than_one_percent_off_the_sform(
    tmp_path: Path, axis: int, longer_by: float, is_told: bool
) -> None:
    sform_mm, header_mm = [2.0, 3.0, 4.0], [2.0, 3.0, 4.0]
    header_mm[axis] *= 1 + longer_by
    affine = np.diag([*sform_mm, 1.0])
    volume = read_image(saved(tmp_path / "a.nii", nifti_bytes(BYTES, affine, pixdim=[1, *header_mm, 1, 1, 1, 1])))
    assert volume.warnings == (
        ("the voxel spacing of the header contradicts its sform; the former is used",) if is_told else ()
    )
    assert volume.spacing_mm == pytest.approx(header_mm, rel=1e-5)


@pytest.mark.parametrize("percent", [2.0, 3.5, 5.0])
def test_an_sform_that_says_a_few_percent_more_than_the_qform_is_told_and_not_used(
    tmp_path: Path, percent: float
) -> None:
    fields = {"qform_code": 1, "pixdim": [1, 2.0, 3.0, 4.0, 1, 1, 1, 1]}
    affine = np.diag([2.0, 3.0, 4.0 * (1 + percent / 100), 1.0])
    volume = read_image(saved(tmp_path / "a.nii", nifti_bytes(BYTES, affine, **fields)))
    assert any("contradicts its sform" in warning for warning in volume.warnings)
    assert volume.spacing_mm == pytest.approx((2, 3, 4), rel=1e-5)


def test_an_orientation_that_is_not_in_use_may_hold_anything(tmp_path: Path) -> None:
    nan = float("nan")
    only_sform = nifti_bytes(BYTES, qform_code=0, quatern=[nan] * 3)
    only_qform = nifti_bytes(BYTES, qform_code=1, sform_code=0, srow=[nan] * 12)
    for data in (only_sform, only_qform):
        assert check_nifti(saved(tmp_path / "a.nii", data)).warnings == ()


def test_a_2d_file_is_not_measured_along_an_axis_it_does_not_have(tmp_path: Path) -> None:
    data = nifti_bytes(BYTES[0], pixdim=[1, 1, 1, 7, 1, 1, 1, 1])
    assert check_nifti(saved(tmp_path / "a.nii", data)).warnings == ()


@pytest.mark.parametrize(("cosine", "is_right"), [(0.9e-4, True), (1.1e-4, False)])
def test_axes_of_an_sform_are_at_right_angles_up_to_a_cosine_of_one_in_ten_thousand(
    tmp_path: Path, cosine: float, is_right: bool
) -> None:
    path = saved(tmp_path / "a.nii", nifti_bytes(BYTES, srow=[1, cosine, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0]))
    if is_right:
        assert check_nifti(path).warnings == ()
    else:
        with pytest.raises(InputError, match="sheared"):
            check_nifti(path)


@pytest.mark.parametrize(("cosine", "is_right"), [(0.9e-3, True), (1.1e-3, False)])
def test_axes_of_any_grid_are_at_right_angles_up_to_a_cosine_of_one_in_a_thousand(
    cosine: float, is_right: bool
) -> None:
    image = sitk.Image(3, 3, 3, sitk.sitkUInt8)
    turn = np.array([[np.cos(ANGLE), -np.sin(ANGLE), 0], [np.sin(ANGLE), np.cos(ANGLE), 0], [0, 0, 1]])
    skew = turn @ np.array([[1, cosine, 0], [0, np.sqrt(1 - cosine**2), 0], [0, 0, 1]])
    image.SetDirection(skew.ravel().tolist())
    if is_right:
        np.testing.assert_allclose(grid_matrix(image, Path("a"))[:3, :3], skew)
    else:
        with pytest.raises(InputError, match="sheared"):
            grid_matrix(image, Path("a"))


def test_a_voxel_has_a_place_however_small_it_is_and_flat_axes_have_none() -> None:
    voxels = BYTES.astype(np.float32)
    assert Volume(voxels, np.diag([0.9e-4, 1e-4, 1e-4, 1])).spacing_mm[0] == pytest.approx(0.9e-4)
    for scale_mm in (1e-4, 1.0, 1e4):
        flat = np.diag([scale_mm, scale_mm, scale_mm, 1])
        flat[:3, 2] = scale_mm * np.array([0.6, 0.8, 0.0])
        with pytest.raises(InputError, match="invertible"):
            Volume(voxels, flat)


@pytest.mark.parametrize(("value", "is_label"), [(2**31 - 1, True), (2**31, False), (-(2**31), False)])
def test_a_label_has_at_most_31_bits(tmp_path: Path, value: int, is_label: bool) -> None:
    labels = np.zeros((3, 4, 5), "<i8")
    labels[1, 2, 3] = value
    path = saved(tmp_path / "a.nii", nifti_bytes(labels))
    if is_label:
        assert read_label_map(path)[0][1, 2, 3] == value
    else:
        with pytest.raises(InputError, match="beyond 32 bits"):
            read_label_map(path)
