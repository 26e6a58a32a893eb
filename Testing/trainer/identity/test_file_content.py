"""The hash of a file is that of what it holds now, and it is read once for as long as nobody touches it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from time import time_ns

import pytest

from MultiTaskSegLib.runtime.errors import InputError
from trainer.identity import file_content
from trainer.identity.file_content import FileContents


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that were read."""
    names: list[str] = []
    plain = file_content._digest

    def noted(path: Path) -> str:
        names.append(path.name)
        return plain(path)

    monkeypatch.setattr(file_content, "_digest", noted)
    return names


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Call it to let ten seconds pass."""
    now_ns = [time.time_ns()]
    monkeypatch.setattr(file_content.time, "time_ns", lambda: now_ns[0])

    def wait() -> None:
        now_ns[0] = time_ns() + 10_000_000_000

    return wait


def test_the_same_bytes_have_the_same_hash_wherever_they_lie(tmp_path: Path) -> None:
    for name, content in (("a", b"x" * 3_000_000), ("b", b"x" * 3_000_000), ("c", b"x" * 2_999_999 + b"y")):
        (tmp_path / name).write_bytes(content)
    a, b, c = FileContents().of_all([tmp_path / name for name in "abc"])
    assert a == b != c


def test_a_folder_is_the_names_and_contents_of_its_files(tmp_path: Path) -> None:
    folder = tmp_path / "series"
    (folder / "deep").mkdir(parents=True)
    (folder / "1.dcm").write_text("a")
    (folder / "deep" / "2.dcm").write_text("b")
    plain = FileContents().of(folder)
    folder.rename(tmp_path / "moved")
    assert FileContents().of(tmp_path / "moved") == plain
    (tmp_path / "moved" / "1.dcm").rename(tmp_path / "moved" / "0.dcm")
    renamed = FileContents().of(tmp_path / "moved")
    (tmp_path / "moved" / "deep" / "2.dcm").write_text("c")
    assert len({plain, renamed, FileContents().of(tmp_path / "moved")}) == 3


def test_a_file_is_read_once_and_remembered_for_other_calls(
    tmp_path: Path, read: list[str], later: Callable[[], None]
) -> None:
    (tmp_path / "a").write_text("a")
    later()
    contents = FileContents(tmp_path / "memory.json")
    first = [contents.of(tmp_path / "a") for _ in range(3)]
    contents.keep()
    again = FileContents(tmp_path / "memory.json").of(tmp_path / "a")
    assert {*first, again} == {first[0]}
    assert read == ["a"]


def test_a_change_of_the_same_size_whose_time_is_set_back_is_seen(tmp_path: Path, later: Callable[[], None]) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    state = path.stat()
    later()
    contents = FileContents(tmp_path / "memory.json")
    before = contents.of(path)
    contents.keep()
    replaced = tmp_path / "new"
    replaced.write_text("new")
    os.replace(replaced, path)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert path.stat().st_size == state.st_size
    assert path.stat().st_mtime_ns == state.st_mtime_ns
    assert contents.of(path) != before
    assert FileContents(tmp_path / "memory.json").of(path) != before


def test_a_file_that_was_written_a_moment_ago_is_not_remembered(
    tmp_path: Path, read: list[str], later: Callable[[], None]
) -> None:
    # It could be written again before the clock of the file system ticks.
    (tmp_path / "a").write_text("a")
    contents = FileContents(tmp_path / "memory.json")
    contents.of(tmp_path / "a")
    contents.keep()
    assert not (tmp_path / "memory.json").exists()
    later()
    contents = FileContents(tmp_path / "memory.json")
    contents.of(tmp_path / "a")
    contents.keep()
    FileContents(tmp_path / "memory.json").of(tmp_path / "a")
    assert read == ["a", "a"]


def test_a_second_change_within_one_tick_of_a_coarse_clock_is_seen_now_and_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, later: Callable[[], None]
) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    # A clock that has not ticked between the two: nothing but the content tells them apart.
    stamp = file_content._stamp(path)
    monkeypatch.setattr(file_content, "_stamp", lambda file: stamp)
    contents = FileContents(tmp_path / "memory.json")
    before = contents.of(path)
    path.write_text("new")
    assert contents.of(path) != before
    later()
    contents.keep()
    assert FileContents(tmp_path / "memory.json").of(path) != before


def test_two_processes_with_one_memory_do_not_take_each_others_hashes_away(
    tmp_path: Path, read: list[str], later: Callable[[], None]
) -> None:
    for name in "ab":
        (tmp_path / name).write_text(name)
    later()
    both = [FileContents(tmp_path / "memory.json") for _ in range(2)]
    for contents, name in zip(both, "ab", strict=True):
        contents.of(tmp_path / name)
    for contents in both:
        contents.keep()
    FileContents(tmp_path / "memory.json").of_all([tmp_path / name for name in "ab"])
    assert read == ["a", "b"]


@pytest.mark.parametrize("text", ["", "[]", '{"schema": "multitaskseg-contents/1", "files": 3}', '{"schema": "x/0"}'])
def test_a_damaged_memory_is_empty(tmp_path: Path, text: str) -> None:
    (tmp_path / "memory.json").write_text(text)
    (tmp_path / "a").write_text("a")
    assert FileContents(tmp_path / "memory.json").of(tmp_path / "a") == FileContents().of(tmp_path / "a")


def test_a_memory_of_another_version_is_not_believed(tmp_path: Path, later: Callable[[], None]) -> None:
    (tmp_path / "a").write_text("a")
    later()
    contents = FileContents(tmp_path / "memory.json")
    right = contents.of(tmp_path / "a")
    contents.keep()
    kept = json.loads((tmp_path / "memory.json").read_text())
    for entry in kept["files"].values():
        entry[1] = "another way to hash"
    (tmp_path / "memory.json").write_text(json.dumps(kept | {"schema": "multitaskseg-contents/2"}))
    assert FileContents(tmp_path / "memory.json").of(tmp_path / "a") == right


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot be read \(No such file"):
        FileContents().of(tmp_path / "a")
