"""Folders of results: which images a folder holds, where results go, and what was changed by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from MultiTaskSegLib.image_folder import image_paths, output_folders
from MultiTaskSegLib.result_folder import free_folder, is_taken, is_untouched, write_checksums
from MultiTaskSegLib.runtime.errors import InputError


def files(folder: Path, *names: str) -> list[Path]:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return [folder / name for name in names]


@pytest.mark.parametrize(
    ("names", "folders"),
    [
        (("sub-01/ct.nii.gz", "sub-02/ct.nii.gz"), ["sub-01_ct", "sub-02_ct"]),
        (("a/x/ct.nii", "b/x/ct.nii"), ["x_ct.nii", "x_ct.nii_2"]),
        (("P1.nii.gz", "q/p1.nii.gz"), ["images_P1", "q_p1"]),
        (("P1.nii.gz", "p1.nrrd", "t1.nrrd"), ["P1.nii.gz", "p1.nrrd", "t1"]),
        (("Caf\u00e9.nii", "q/Cafe\u0301.nii"), ["images_Caf\u00e9", "q_Cafe\u0301"]),
        (("a/b.nii", "c/b.nii", "a_b.nrrd"), ["a_b", "c_b", "images_a_b"]),
    ],
)
def test_no_two_images_share_a_folder_on_any_file_system(tmp_path, names, folders):
    found = output_folders(files(tmp_path / "images", *names), tmp_path / "out")
    assert len({folder.name.casefold() for folder in found}) == len(names)
    assert [folder.name for folder in found[:2]] == folders[:2]


def test_no_image_needs_no_folder(tmp_path):
    assert output_folders([], tmp_path) == []


def test_what_systems_hide_in_folders_is_no_image(tmp_path):
    files(tmp_path, "scan.nii.gz", "._scan.nii.gz", ".DS_Store")
    files(tmp_path / "series", ".DS_Store", "._IM0")
    (tmp_path / "series" / "IM0").write_bytes(bytes(128) + b"DICM")
    files(tmp_path, ".hidden/scan.nii.gz")
    assert [path.name for path in image_paths(tmp_path)] == ["scan.nii.gz", "series"]


def test_a_folder_of_nothing_but_hidden_files_holds_no_image(tmp_path):
    files(tmp_path, "._scan.nii.gz")
    with pytest.raises(InputError, match="no image"):
        image_paths(tmp_path)


def result(folder: Path) -> Path:
    files(folder, "segmentation.nii.gz", "report.json")
    write_checksums(folder)
    return folder


def test_a_result_as_it_was_written_is_untouched(tmp_path):
    folder = result(tmp_path / "ct")
    (folder / ".DS_Store").write_bytes(b"Bud1")
    assert is_untouched(folder)


@pytest.mark.parametrize("change", ["edited", "added", "removed", "renamed", "without checksums", "added below"])
def test_a_result_that_somebody_worked_in_is_not_taken_for_untouched(tmp_path, change):
    folder = result(tmp_path / "ct")
    segmentation = folder / "segmentation.nii.gz"
    if change == "edited":
        segmentation.write_bytes(b"corrected by hand")
    elif change == "added":
        files(folder, "corrected.nii.gz")
    elif change == "added below":
        files(folder, "mine/corrected.nii.gz")
    elif change == "removed":
        segmentation.unlink()
    elif change == "renamed":
        segmentation.rename(folder / "final.nii.gz")
    else:
        (folder / "checksums.sha256").unlink()
    assert not is_untouched(folder)


def test_a_taken_folder_gets_a_neighbour_with_the_next_free_number(tmp_path):
    assert free_folder(tmp_path / "ct", set()) == tmp_path / "ct"
    (tmp_path / "ct").mkdir()
    assert not is_taken(tmp_path / "ct")
    result(tmp_path / "ct")
    result(tmp_path / "ct_2")
    assert free_folder(tmp_path / "ct", set()) == tmp_path / "ct_3"
    assert free_folder(tmp_path / "ct", {"ct_3"}) == tmp_path / "ct_4"


def test_checksums_have_the_line_ends_that_sha256sum_reads_on_every_system(tmp_path, line_ends_of_windows):
    files(tmp_path, "a", "b")
    write_checksums(tmp_path)
    assert (tmp_path / "checksums.sha256").read_bytes().count(b"\n") == 2
    assert b"\r" not in (tmp_path / "checksums.sha256").read_bytes()
    assert is_untouched(tmp_path)
