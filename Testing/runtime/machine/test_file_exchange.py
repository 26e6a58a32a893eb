"""All files of a result are replaced or none, also where another program holds one of them."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from MultiTaskSegLib.runtime.errors import ResourceError
from MultiTaskSegLib.runtime.machine import atomic_file, file_exchange
from MultiTaskSegLib.runtime.machine.atomic_file import atomic_path, staged_files

NAMES = ("a", "b", "c")


class HeldFile:
    """`os.replace` of a system that does not replace a file that is open, for the first ``times`` tries."""

    def __init__(self, name: str, times: int) -> None:
        self.name, self.times, self.replace = name, times, os.replace

    def __call__(self, source: Path, target: Path) -> None:
        if Path(target).name == self.name and self.times > 0:
            self.times -= 1
            raise PermissionError(errno.EACCES, "used by another process", str(source), None, str(target))
        self.replace(source, target)


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting must not take long here."""
    monkeypatch.setattr(file_exchange, "PAUSE_S", 0.001)
    monkeypatch.setattr(file_exchange, "PATIENCE_S", 0.02)


def write_all(folder: Path) -> None:
    """A new version of every file."""
    with staged_files(folder) as stage:
        for name in NAMES:
            (stage / name).write_text("new")


def contents(folder: Path) -> dict[str, str]:
    """What lies in a folder."""
    return {path.name: path.read_text() for path in folder.iterdir()}


@pytest.mark.parametrize("held", NAMES)
@pytest.mark.parametrize("present", [(), ("a",), ("b", "c"), NAMES])
@pytest.mark.parametrize("knows_links", [True, False])
def test_where_one_file_stays_open_none_is_replaced(
    tmp_path: Path, held: str, present: tuple[str, ...], knows_links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_link(*_paths: Path) -> None:
        raise OSError(errno.ENOTSUP, "no links on this disk")

    for name in present:
        (tmp_path / name).write_text("old")
    if not knows_links:
        monkeypatch.setattr(os, "link", no_link)
    monkeypatch.setattr(os, "replace", HeldFile(held, 10**6))
    with pytest.raises(ResourceError, match=rf"open in another program.*{held}.*Close it"):
        write_all(tmp_path)
    assert contents(tmp_path) == dict.fromkeys(present, "old")


def test_a_file_that_is_open_for_a_moment_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        (tmp_path / name).write_text("old")
    monkeypatch.setattr(os, "replace", HeldFile("b", 3))
    write_all(tmp_path)
    assert contents(tmp_path) == dict.fromkeys(NAMES, "new")
    monkeypatch.setattr(os, "replace", HeldFile("a", 3))
    with atomic_path(tmp_path / "a") as temporary:
        temporary.write_text("newer")
    assert (tmp_path / "a").read_text() == "newer"


def test_a_folder_in_the_place_of_a_file_leaves_the_others_as_they_were(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    (tmp_path / "b").mkdir()
    with pytest.raises(ResourceError):
        write_all(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]
    assert (tmp_path / "a").read_text() == "old"


def test_a_path_that_is_too_long_for_windows_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    error = FileNotFoundError(errno.ENOENT, "No such file or directory")
    long, short = Path("C:/" + "long name/" * 23), Path("C:/short")
    assert "longer" not in str(atomic_file._unwritable(long, error))
    monkeypatch.setattr(atomic_file.os, "name", "nt")
    assert "longer than Windows allows" in str(atomic_file._unwritable(long, error))
    assert "longer" not in str(atomic_file._unwritable(short, error))
