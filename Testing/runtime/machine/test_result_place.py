"""A result never replaces what it was made from, and a folder that cannot be is refused before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from MultiTaskSegLib.runtime.errors import InputError, ResourceError
from MultiTaskSegLib.runtime.machine.atomic_file import atomic_path, require_folder, staged_files
from MultiTaskSegLib.runtime.machine.result_place import require_result_place


def test_an_image_with_the_name_of_a_result_is_not_replaced(tmp_path: Path) -> None:
    image = tmp_path / "uncertainty.nii.gz"
    image.touch()
    with pytest.raises(InputError, match="would overwrite the image"):
        require_result_place(tmp_path, ["report.json", image.name], [image])
    require_result_place(tmp_path, ["report.json"], [image])
    require_result_place(tmp_path / "new", [image.name], [image])


def test_a_link_to_the_image_and_a_file_of_an_image_folder_are_not_replaced_either(tmp_path: Path) -> None:
    image, out = tmp_path / "scan.nii.gz", tmp_path / "out"
    image.touch()
    out.mkdir()
    (out / "segmentation.nii.gz").symlink_to(image)
    with pytest.raises(InputError, match="would overwrite"):
        require_result_place(out, ["segmentation.nii.gz"], [image])
    with pytest.raises(InputError, match="would overwrite"):
        require_result_place(tmp_path, ["scan.nii.gz"], [tmp_path])


def test_earlier_results_are_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "scan.nii.gz").touch()
    (tmp_path / "segmentation.nii.gz").touch()
    require_result_place(tmp_path, ["segmentation.nii.gz"], [tmp_path / "scan.nii.gz"])


@pytest.mark.parametrize("below", ["", "a", "a/b"])
def test_a_file_in_the_place_of_a_folder_is_called_that_and_not_a_full_disk(tmp_path: Path, below: str) -> None:
    (tmp_path / "notes").write_text("mine")
    folder = tmp_path / "notes" / below if below else tmp_path / "notes"

    def write(way: str) -> None:
        if way == "atomic_path":
            with atomic_path(folder / "x.json"):
                pass
        elif way == "staged_files":
            with staged_files(folder):
                pass
        else:
            require_folder(folder)

    for way in ("atomic_path", "staged_files", "require_folder"):
        with pytest.raises(ResourceError, match="a file is in the place of the folder") as refusal:
            write(way)
        assert "disk space" not in str(refusal.value)
        assert refusal.value.file == str(tmp_path / "notes") or way != "require_folder"
    assert (tmp_path / "notes").read_text() == "mine"


def test_a_file_of_a_series_that_a_system_takes_for_the_result_is_not_replaced(tmp_path: Path) -> None:
    series, out = tmp_path / "series", tmp_path / "out"
    series.mkdir()
    out.mkdir()
    (series / "REPORT.JSON").write_text("mine")
    # So it looks where names that differ in case alone are one file.
    (out / "report.json").hardlink_to(series / "REPORT.JSON")
    with pytest.raises(InputError, match="would overwrite the image"):
        require_result_place(out, ["report.json"], [series])


def test_a_folder_in_the_place_of_a_file_is_called_that(tmp_path: Path) -> None:
    (tmp_path / "x.json").mkdir()
    (tmp_path / "x.json" / "mine").touch()
    with pytest.raises(ResourceError, match="a folder is in the place of the file"), atomic_path(tmp_path / "x.json"):
        pass


def test_folders_that_are_not_there_yet_can_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in (tmp_path, tmp_path / "a" / "b", Path("c"), Path(".")):
        require_folder(folder)
    assert list(tmp_path.iterdir()) == []
