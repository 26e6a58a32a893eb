"""Files appear whole or not at all, whatever happens half-way."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from MultiTaskSegLib.runtime.errors import ResourceError
from MultiTaskSegLib.runtime.machine.atomic_file import atomic_path, staged_files
from MultiTaskSegLib.worker_process import worker_environment

SIZE = 400_000
WRITE_HALF_AND_WAIT = """
import sys, time
from pathlib import Path
from MultiTaskSegLib.runtime.machine.atomic_file import atomic_path, staged_files
target = Path(sys.argv[2])
if sys.argv[1] == "atomic_path":
    place = atomic_path(target)
else:
    place = staged_files(target.parent)
with place as path:
    if path.is_dir():
        path = path / target.name
    with path.open("wb") as stream:
        stream.write(b"new" * 1000)
        stream.flush()
        print("half", flush=True)
        time.sleep(60)
"""


def replace_by(way: str, target: Path, content: bytes) -> None:
    """Put `content` under `target` in one of the two ways."""
    if way == "atomic_path":
        with atomic_path(target) as temporary:
            temporary.write_bytes(content)
    else:
        with staged_files(target.parent) as stage:
            (stage / target.name).write_bytes(content)


WAYS = pytest.mark.parametrize("way", ["atomic_path", "staged_files"])


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


@pytest.mark.parametrize(
    "error",
    [
        lambda stage: ResourceError("cannot write", file=stage / "a.nii.gz", remedy="Free disk space"),
        lambda stage: OSError(errno.ENOSPC, "No space left on device", str(stage / "a.nii.gz")),
    ],
)
def test_a_full_disk_names_the_place_that_was_asked_for_and_not_the_one_aside(
    tmp_path: Path, error: Callable[[Path], Exception]
) -> None:
    def fill() -> None:
        with staged_files(tmp_path) as stage:
            raise error(stage)

    with pytest.raises(ResourceError) as refused:
        fill()
    assert refused.value.file == str(tmp_path / "a.nii.gz")
    assert ".mts-partial-" not in str(refused.value)


def test_an_error_about_another_file_keeps_its_name(tmp_path: Path) -> None:
    def fail() -> None:
        with staged_files(tmp_path):
            raise ResourceError("damaged", file="elsewhere/model")

    with pytest.raises(ResourceError) as refused:
        fail()
    assert refused.value.file == "elsewhere/model"


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


@WAYS
@pytest.mark.skipif(os.name == "nt", reason="sends a signal")
def test_a_process_that_is_killed_while_it_writes_leaves_the_old_file_whole(tmp_path: Path, way: str) -> None:
    target = tmp_path / "model"
    target.write_bytes(b"old")
    command = [sys.executable, "-c", WRITE_HALF_AND_WAIT, way, str(target)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=worker_environment()) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "half\n"
        finally:
            process.kill()
        assert process.wait() == -signal.SIGKILL
    assert target.read_bytes() == b"old"


@WAYS
def test_a_reader_never_sees_a_part_of_a_file_that_is_replaced_meanwhile(tmp_path: Path, way: str) -> None:
    target, is_over = tmp_path / "model", threading.Event()
    target.write_bytes(b"0" * SIZE)
    seen: set[tuple[int, int]] = set()

    def read() -> None:
        """Length of whatever lies there, and how often its first byte occurs."""
        while not is_over.is_set():
            content = target.read_bytes()
            seen.add((len(content), content.count(content[:1])))

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(1, 31):
        replace_by(way, target, b"%d" % (number % 10) * SIZE)
    is_over.set()
    reader.join()
    assert seen == {(SIZE, SIZE)}


@WAYS
@pytest.mark.skipif(os.name == "nt", reason="Windows does not replace a file that is open")
def test_who_has_the_old_file_open_reads_it_to_its_end(tmp_path: Path, way: str) -> None:
    target = tmp_path / "model"
    target.write_bytes(b"old and whole")
    with target.open("rb", buffering=0) as stream:
        start = stream.read(3)
        replace_by(way, target, b"NEW, AND SHORT")
        assert start + stream.read() == b"old and whole"
    assert target.read_bytes() == b"NEW, AND SHORT"


@WAYS
@pytest.mark.skipif(os.name == "nt", reason="Windows cannot open a folder")
def test_bytes_are_on_the_disk_before_the_old_file_goes_and_the_new_name_after(
    tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[tuple[str, int]] = []
    fsync, replace = os.fsync, os.replace

    def spied_fsync(descriptor: int) -> None:
        steps.append(("on the disk", os.fstat(descriptor).st_ino))
        fsync(descriptor)

    def spied_replace(source: Path, target: Path) -> None:
        steps.append(("in its place", os.stat(source).st_ino))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", spied_fsync)
    monkeypatch.setattr(os, "replace", spied_replace)
    replace_by(way, tmp_path / "model", b"content")
    file, folder = (tmp_path / "model").stat().st_ino, tmp_path.stat().st_ino
    assert steps == [("on the disk", file), ("in its place", file), ("on the disk", folder)]


def test_all_staged_files_are_on_the_disk_before_the_first_moves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda descriptor: [steps.append("flush"), fsync(descriptor)])
    monkeypatch.setattr(os, "replace", lambda *paths: [steps.append("move"), replace(*paths)])
    with staged_files(tmp_path) as stage:
        (stage / "a").write_text("a")
        (stage / "b").write_text("b")
    assert steps[:4] == ["flush", "flush", "move", "move"]


@pytest.mark.skipif(os.name == "nt", reason="Windows cannot open a folder")
def test_a_drive_that_cannot_flush_folders_still_takes_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync = os.fsync

    def of_files_only(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", of_files_only)
    replace_by("atomic_path", tmp_path / "model", b"content")
    assert (tmp_path / "model").read_bytes() == b"content"


def test_bytes_that_do_not_reach_the_disk_do_not_replace_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "model"
    target.write_bytes(b"old")

    def fail(_descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(ResourceError, match="Input/output error"):
        replace_by("atomic_path", target, b"new")
    assert os.listdir(tmp_path) == ["model"]
    assert target.read_bytes() == b"old"


def test_what_a_killed_run_has_left_goes_a_day_later_and_nothing_else(tmp_path: Path) -> None:
    day_s = 24 * 3600
    for name, age_s in (("old", day_s + 60), ("young", day_s - 60)):
        (tmp_path / f".mts-partial-{name}").mkdir()
        (tmp_path / f".mts-partial-{name}" / "labels.nii").write_text("half")
        (tmp_path / f".mts-partial-{name}-report.json").write_text("half")
        for path in (tmp_path / f".mts-partial-{name}", tmp_path / f".mts-partial-{name}-report.json"):
            os.utime(path, (time.time() - age_s,) * 2)
    (tmp_path / "mine.txt").write_text("mine")
    os.utime(tmp_path / "mine.txt", (0, 0))
    with staged_files(tmp_path) as stage:
        (stage / "report.json").write_text("whole")
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"mine.txt", "report.json", ".mts-partial-young", ".mts-partial-young-report.json"}


@pytest.mark.parametrize("is_used", [False, True])
def test_a_folder_that_was_made_goes_with_what_failed_unless_somebody_uses_it(tmp_path: Path, is_used: bool) -> None:
    folder = tmp_path / "new"

    def write() -> None:
        with staged_files(folder) as stage:
            (stage / "file").write_text("half")
            if is_used:
                (folder / "note").write_text("mine")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert [path.name for path in tmp_path.rglob("*")] == (["new", "note"] if is_used else [])
