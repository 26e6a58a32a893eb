"""A folder becomes cases: each image once, each series once, nothing that a run has written, always the same names."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from MultiTaskSegLib.cohort.source.case import Case, require_distinct
from MultiTaskSegLib.cohort.source.case_tree import cases_of
from MultiTaskSegLib.cohort.source.dicom_tree import gathered
from MultiTaskSegLib.runtime.errors import InputError, UsageError


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x" * 200)
    return root


def names_of(cases: list[Case]) -> list[str]:
    return [case.identity for case in cases]


def test_image_files_at_any_depth_are_named_by_their_path_and_nothing_hidden_is(tmp_path: Path):
    touch(
        tmp_path, "b/scan.nii.gz", "a/scan.nii.gz", "a/deep/er/x.nrrd", ".hidden/y.nii", "a/._scan.nii.gz", "notes.txt"
    )
    assert names_of(cases_of(tmp_path)) == ["a/scan.nii.gz", "a/deep/er/x.nrrd", "b/scan.nii.gz"]


def test_results_of_a_run_are_no_images_though_they_lie_in_the_folder(tmp_path: Path):
    touch(tmp_path, "scan.nii.gz", "out/cohort.json", "out/cases/scan/segmentation.nii.gz")
    assert names_of(cases_of(tmp_path)) == ["scan.nii.gz"]


def test_of_a_bids_dataset_the_images_of_its_subjects_are_cases(tmp_path: Path):
    touch(
        tmp_path, "dataset_description.json", "sub-01/ses-1/anat/sub-01_T1w.nii.gz", "sub-02/anat/sub-02_T1w.nii.gz",
        "derivatives/x/sub-01/anat/sub-01_dseg.nii.gz", "sourcedata/a.nii.gz", "code/b.nii.gz", "top.nii.gz",
    )  # fmt: skip
    found = names_of(cases_of(tmp_path))
    assert found == ["sub-01/ses-1/anat/sub-01_T1w.nii.gz", "sub-02/anat/sub-02_T1w.nii.gz"]


def test_a_pattern_chooses_cases_and_one_that_matches_none_is_refused(tmp_path: Path):
    touch(tmp_path, "a/sub-01_T1w.nii.gz", "a/sub-01_bold.nii.gz")
    assert names_of(cases_of(tmp_path, only="*_T1w.nii.gz")) == ["a/sub-01_T1w.nii.gz"]
    with pytest.raises(UsageError, match="no case matches"):
        cases_of(tmp_path, only="*_T2w.nii.gz")


def test_an_empty_folder_and_one_that_is_not_there_are_refused_in_words(tmp_path: Path):
    with pytest.raises(InputError, match="no image in this folder"):
        cases_of(touch(tmp_path, "notes.txt"))
    with pytest.raises(InputError, match="no such folder or list"):
        cases_of(tmp_path / "gone")


def test_a_folder_that_cannot_be_read_is_not_passed_over(tmp_path: Path):
    if not hasattr(os, "geteuid") or os.geteuid() == 0:
        pytest.skip("root may read everything")
    touch(tmp_path, "a.nii.gz", "locked/b.nii.gz")
    (tmp_path / "locked").chmod(0)
    try:
        with pytest.raises(InputError, match="cannot be read"):
            cases_of(tmp_path)
    finally:
        (tmp_path / "locked").chmod(0o700)


def test_linked_folders_are_walked_through_and_circles_end(tmp_path: Path):
    folder, archive = touch(tmp_path / "scans", "a.nii.gz"), touch(tmp_path / "archive", "deep/b.nii.gz")
    (folder / "linked").symlink_to(archive, target_is_directory=True)
    (archive / "deep" / "round").symlink_to(archive, target_is_directory=True)
    (archive / "back").symlink_to(folder, target_is_directory=True)
    assert names_of(cases_of(folder)) == ["a.nii.gz", "linked/deep/b.nii.gz"]


def test_a_link_that_leads_nowhere_stops_no_other(tmp_path: Path):
    touch(tmp_path, "a.nii.gz")
    (tmp_path / "README").symlink_to("nowhere")
    assert {case.identity: bool(case.problem) for case in cases_of(tmp_path)} == {"README": True, "a.nii.gz": False}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no named pipes")
def test_a_pipe_is_no_image_and_is_not_waited_for(tmp_path: Path):
    os.mkfifo(touch(tmp_path, "a.nii.gz") / "pipe")
    assert names_of(cases_of(tmp_path)) == ["a.nii.gz"]


def test_names_of_results_differ_where_those_of_cases_do_and_stay_when_others_come():
    alike = ["a/b_c.nii", "a_b/c.nii", "A/b_c.nii", "a/b c.nii", "ä/b.nii", "a/b.nii", "//", ""]
    folders = [Case(name, Path()).folder_name for name in alike]
    assert len({name.casefold() for name in folders}) == len(alike)
    assert all(name.isascii() and "/" not in name and len(name) < 80 for name in folders)
    assert Case("x" * 5000, Path()).folder_name != Case("x" * 5001, Path()).folder_name


def test_two_cases_of_one_name_are_refused_with_both_places():
    with pytest.raises(UsageError, match=r"'x'.*one.*two"):
        require_distinct([Case("x", Path("one")), Case("x", Path("two"))])


class Series:
    """Writes slices of DICOM series."""

    def __init__(self, root: Path) -> None:
        self.pydicom = pytest.importorskip("pydicom", reason="pydicom writes the DICOM files of these tests")
        self.root = root

    def write(self, name: str, uid: str, k: int = 0, **tags: str) -> Path:
        from Testing.hostile.dicom_series import dicom_slice

        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.full((4, 4), 100 + k, np.uint16)
        dicom_slice(pixels, np.diag([1.0, 1.0, 2.0, 1.0]), k, uid, **tags).save_as(path, enforce_file_format=True)
        return path


def test_each_dicom_series_is_one_case_however_its_files_lie(tmp_path: Path):
    series = Series(tmp_path)
    for k in range(2):
        series.write(f"alone/{k}.dcm", "1.1", k)
        series.write(f"mixed/a{k}", "1.2", k)
        series.write(f"mixed/b{k}", "1.3", k)
        series.write(f"spread{k}/x.dcm", "1.4", k)
    found = {case.identity: case for case in cases_of(tmp_path)}
    assert list(found) == ["1.1", "1.2", "1.3", "1.4"]
    assert (found["1.1"].image, found["1.1"].files) == (tmp_path / "alone", ())
    assert [file.name for file in found["1.2"].files] == ["a0", "a1"]
    assert [file.name for file in found["1.3"].files] == ["b0", "b1"]
    assert [file.parent.name for file in found["1.4"].files] == ["spread0", "spread1"]
    with gathered(found["1.4"]) as place:
        assert sorted(file.read_bytes() for file in place.iterdir()) == sorted(
            file.read_bytes() for file in found["1.4"].files
        )
    assert not place.exists()


def test_copies_of_a_series_are_cases_of_their_own(tmp_path: Path):
    series = Series(tmp_path)
    first = series.write("a/0.dcm", "1.1")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "0.dcm").write_bytes(first.read_bytes())
    assert names_of(cases_of(tmp_path)) == ["1.1", "1.1 in b"]


def test_reports_and_segmentations_are_no_scans_and_do_not_hide_them(tmp_path: Path):
    series = Series(tmp_path)
    scan = series.write("a/0.dcm", "1.1")
    series.write("a/seg.dcm", "1.2", Modality="SEG")
    (found,) = cases_of(tmp_path)
    assert (found.identity, found.files) == ("1.1", (scan,))


def test_a_damaged_dicom_file_is_left_to_the_reader_of_its_series_or_is_a_case_that_fails(tmp_path: Path):
    series = Series(tmp_path)
    damaged = b"\0" * 128 + b"DICM" + b"\x02\x00\x10\x00UI\xff\x00"
    series.write("a/0.dcm", "1.1")
    (tmp_path / "a" / "bad.dcm").write_bytes(damaged)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "bad.dcm").write_bytes(damaged)
    assert [(case.identity, case.image.name, case.files) for case in cases_of(tmp_path)] == [
        ("1.1", "a", ()),
        ("b/bad.dcm", "bad.dcm", ()),
    ]
