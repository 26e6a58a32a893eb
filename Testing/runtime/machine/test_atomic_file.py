"""Files appear whole or not at all, whatever happens half-way."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from MultiTaskSegLib.runtime.errors import ResourceError
from MultiTaskSegLib.runtime.machine.atomic_file import atomic_path, staged_files


def test_a_file_appears_with_its_content_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "new folder" / "model.mts.safetensors"
    with atomic_path(target) as temporary:
        assert temporary.parent == target.parent
        assert temporary.name.endswith(target.name)
        temporary.write_text("whole")
        assert not target.exists()
    assert target.read_text() == "whole"
    assert os.listdir(target.parent) == [target.name]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, MemoryError])
def test_a_failure_leaves_the_previous_file_and_no_temporary(tmp_path: Path, error: type[BaseException]) -> None:
    target = tmp_path / "file.txt"
    target.write_text("previous")

    def fail() -> None:
        with atomic_path(target) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert target.read_text() == "previous"
    assert os.listdir(tmp_path) == ["file.txt"]


def test_a_full_disk_is_a_resource_error_that_names_the_file(tmp_path: Path) -> None:
    target = tmp_path / "file.txt"

    def fill() -> None:
        with atomic_path(target):
            raise OSError(28, "No space left on device")

    with pytest.raises(ResourceError, match=r"No space left on device.*file\.txt"):
        fill()
    assert os.listdir(tmp_path) == []


def test_a_folder_that_is_a_file_is_a_resource_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError), atomic_path(tmp_path / "file" / "inside"):
        pytest.fail("the block must not run")
    with pytest.raises(ResourceError), staged_files(tmp_path / "file"):
        pytest.fail("the block must not run")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no file modes")
def test_a_result_can_be_read_by_others_like_any_new_file(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "atomic") as temporary:
        temporary.write_text("")
    (tmp_path / "plain").write_text("")
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("atomic", "plain")}
    assert len(modes) == 1


def test_staged_files_arrive_together_and_replace_earlier_ones(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    (tmp_path / "other").write_text("stays")
    with staged_files(tmp_path) as stage:
        (stage / "a").write_text("new a")
        (stage / "b").write_text("new b")
        assert (tmp_path / "a").read_text() == "old"
    found = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert found == {"a": "new a", "b": "new b", "other": "stays"}


def test_a_failure_while_staging_leaves_everything_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")

    def fail() -> None:
        with staged_files(tmp_path) as stage:
            (stage / "a").write_text("half")
            raise ValueError

    with pytest.raises(ValueError):
        fail()
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a": "old"}
