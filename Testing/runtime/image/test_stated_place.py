"""What a header states about place and size counts, and what it does not state is said in words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.runtime.header.data_file import NO_ORIENTATION
from MultiTaskSegLib.runtime.header.nifti_grid import contradiction, qform_to_lps
from MultiTaskSegLib.runtime.image.image_file import read_image, read_label_map
from MultiTaskSegLib.runtime.image.preparation import prepare
from MultiTaskSegLib.runtime.image.profile import Intensity, Profile
from MultiTaskSegLib.runtime.image.volume import Volume
from Testing.runtime.header.test_length_unit import SPACE, mha, nrrd
from Testing.runtime.orientation import OBLIQUE_DEG, grid

nib = pytest.importorskip("nibabel", reason="nibabel writes the NIfTI files of these tests")

VOXELS = np.random.default_rng(3).normal(100, 20, (9, 6, 4)).astype(np.float32)  # i, j, k
RAS = np.diag([-1.0, -1.0, 1.0, 1.0]) @ grid(np.eye(3), OBLIQUE_DEG["oblique"], (0.7, 0.9, 5.0))


def nifti(path: Path, voxels: np.ndarray, qform: np.ndarray | None, sform: np.ndarray | None, codes=(1, 1)) -> Path:
    image = nib.Nifti1Image(voxels, sform if qform is None else qform)
    image.set_qform(qform, 0 if qform is None else codes[0])
    image.set_sform(sform, 0 if sform is None else codes[1])
    nib.save(image, path)
    return path


def moved(matrix: np.ndarray, by_mm: float) -> np.ndarray:
    """The grid further along x."""
    return matrix + by_mm * np.outer([1, 0, 0, 0], [0, 0, 0, 1])


@pytest.mark.parametrize("codes", [(1, 1), (1, 2), (1, 4), (2, 1), (4, 2)])
def test_two_orientations_that_contradict_each_other_are_told_with_the_one_that_is_used(
    tmp_path: Path, codes: tuple[int, int]
) -> None:
    turn = np.array([[0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    for other in (moved(RAS, 30), turn @ RAS):
        volume = read_image(nifti(tmp_path / "a.nii.gz", VOXELS, RAS, other, codes))
        (warning,) = volume.warnings
        used = {"qform": RAS, "sform": other}
        said = next(name for name in used if f"the {name} is used" in warning)
        np.testing.assert_allclose(volume.ijk_to_ras, used[said], atol=1e-4)


@pytest.mark.parametrize(("by_mm", "is_told"), [(0.0, False), (0.06, False), (0.08, True)])
def test_two_orientations_may_differ_by_a_tenth_of_a_voxel(tmp_path: Path, by_mm: float, is_told: bool) -> None:
    volume = read_image(nifti(tmp_path / "a.nii", VOXELS, RAS, moved(RAS, by_mm)))
    assert len(volume.warnings) == is_told


def test_the_grid_of_a_quaternion_is_that_of_nibabel() -> None:
    for axes in (np.eye(3), np.diag([1.0, 1.0, -1.0]), np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])):
        header = nib.Nifti1Header()
        affine = np.eye(4)
        affine[:3, :3], affine[:3, 3] = RAS[:3, :3] @ axes, (3, -4, 5)
        header.set_qform(affine, 1)
        fields = [float(header[name]) for name in ("quatern_b", "quatern_c", "quatern_d")]
        fields += [float(header[f"qoffset_{axis}"]) for axis in "xyz"]
        found = qform_to_lps(fields, header["pixdim"].tolist())
        np.testing.assert_allclose(np.diag([-1.0, -1, 1, 1]) @ found, header.get_qform(), atol=1e-5)
        assert contradiction(found, found, found, (9, 6, 4)) == ""


@pytest.mark.parametrize("stated", [(True, True), (True, False), (False, True)])
@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_a_2d_nifti_keeps_its_place_and_its_thickness(tmp_path: Path, ending: str, stated: tuple[bool, bool]) -> None:
    sides = [np.eye(3), np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]), np.array([[0, 0, -1.0], [1, 0, 0], [0, 1, 0]])]
    for axes in sides:
        affine = RAS.copy()
        affine[:3, :3] = RAS[:3, :3] @ axes
        given = [affine if is_stated else None for is_stated in stated]
        flat = read_image(nifti(tmp_path / f"a{ending}", VOXELS[..., 0], *given))
        slab = read_image(nifti(tmp_path / f"b{ending}", VOXELS[..., :1], *given))
        np.testing.assert_array_equal(flat.voxels, slab.voxels)
        np.testing.assert_allclose(flat.ijk_to_ras, affine, atol=1e-4)
        np.testing.assert_array_equal(flat.ijk_to_lps, slab.ijk_to_lps)
        assert (flat.measured, flat.voxel_volume_mm3) == ("voxel", pytest.approx(0.7 * 0.9 * 5.0))
        labels, matrix = read_label_map(nifti(tmp_path / f"c{ending}", np.rint(VOXELS[..., 0]), *given))
        np.testing.assert_array_equal(labels[0].T, np.rint(VOXELS[..., 0]))
        np.testing.assert_array_equal(matrix, flat.ijk_to_lps)


def test_a_2d_nifti_that_is_damaged_is_named_in_the_refusal(tmp_path: Path) -> None:
    path = nifti(tmp_path / "a.nii", VOXELS[..., 0], RAS, RAS)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(InputError, match=r"truncated.*a\.nii"):
        read_image(path)


@pytest.mark.parametrize(
    ("fields", "notes"),
    [
        (SPACE, ()),
        ("spacings: 1 2 3\n", (NO_ORIENTATION,)),
        (SPACE.replace("left-posterior-superior", "scanner-xyz"), (NO_ORIENTATION,)),
        (SPACE.replace("left-posterior-superior", "3D-right-handed"), (NO_ORIENTATION,)),
        (SPACE.replace("left-posterior-superior", "RAS"), ()),
    ],
)
def test_an_nrrd_without_the_space_of_a_body_says_so(tmp_path: Path, fields: str, notes: tuple[str, ...]) -> None:
    volume = read_image(nrrd(tmp_path, fields))
    assert volume.warnings == notes
    assert volume.spacing_mm == pytest.approx((1, 2, 3))


def test_a_metaimage_or_nifti_without_orientation_says_so(tmp_path: Path) -> None:
    assert read_image(mha(tmp_path, "")).warnings == (NO_ORIENTATION,)
    assert read_image(mha(tmp_path, "TransformMatrix = 1 0 0 0 1 0 0 0 1\n")).warnings == ()
    image = nib.Nifti1Image(VOXELS, None)
    image.header.set_zooms((1, 2, 3))
    image.header.set_xyzt_units("mm")
    nib.save(image, tmp_path / "a.nii")
    assert read_image(tmp_path / "a.nii").warnings == (NO_ORIENTATION,)


def test_a_metaimage_that_ends_early_says_how_much_is_there(tmp_path: Path) -> None:
    path = mha(tmp_path, "")
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(InputError, match=r"truncated: it holds \d+ of \d+ bytes"):
        read_image(path)
    header, data = whole.replace(b"LOCAL", b"a.raw").split(b"a.raw\n")
    (tmp_path / "a.raw").write_bytes(data[:-1])
    (tmp_path / "a.mhd").write_bytes(header + b"a.raw\n")
    with pytest.raises(InputError, match="truncated"):
        read_image(tmp_path / "a.mhd")
    (tmp_path / "a.raw").write_bytes(data)
    assert read_image(tmp_path / "a.mhd").shape == read_image(path.with_name("a.mhd")).shape


@pytest.mark.parametrize("is_there", [True, False])
def test_a_percent_sign_in_the_name_of_a_data_file_is_told_by_that_name(tmp_path: Path, is_there: bool) -> None:
    path = mha(tmp_path, "")
    header, data = path.read_bytes().replace(b"LOCAL", b"scan 100%.raw").split(b"100%.raw\n")
    (tmp_path / "a.mhd").write_bytes(header + b"100%.raw\n")
    if is_there:
        (tmp_path / "scan 100%.raw").write_bytes(data)
    with pytest.raises(InputError, match=r"scan 100%\.raw"):
        read_image(tmp_path / "a.mhd")


def test_an_image_in_metres_is_refused_by_its_field_of_view_and_not_as_constant() -> None:
    profile = Profile("p", "spacing", Intensity("percentile", 1.0, 99.0), spacing_zyx_mm=(1.0, 1.0, 1.0))
    volume = Volume(VOXELS.T.copy(), np.diag([1e-3, 1e-3, 1e-3, 1.0]), "metres.nii")
    with pytest.raises(
        InputError, match=r"voxel size of 0\.001 x 0\.001 x 0\.001 mm the field of view is 0\.009 x 0\.006"
    ):
        prepare(volume, profile)
    constant = Volume(np.ones((4, 6, 9), np.float32), np.eye(4))
    with pytest.raises(InputError, match="constant"):
        prepare(constant, profile)


def test_a_folder_that_is_given_as_a_dot_is_called_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pydicom", reason="pydicom makes the DICOM files of these tests")
    from Testing.hostile.dicom_series import write_series

    write_series(tmp_path / "patient", VOXELS.T.astype(np.uint16), np.diag([1, 1, 2.0, 1]))
    monkeypatch.chdir(tmp_path / "patient")
    assert read_image(Path(".")).name == "patient"
