"""Two processes at one folder: the second is refused, until the first has ended, however it did."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from MultiTaskSegLib.runtime.errors import ResourceError
from MultiTaskSegLib.runtime.machine import folder_lock
from MultiTaskSegLib.runtime.machine.folder_lock import FolderIsHeld, FolderLock

NAME = ".lock"
HOLDS = """
import os, sys, time
from pathlib import Path
from MultiTaskSegLib.runtime.machine.folder_lock import FolderLock
lock = FolderLock(Path(sys.argv[1]), ".lock", "it")
if sys.argv[2] == "with a fork" and os.fork() == 0:
    print(os.getpid(), flush=True)
    time.sleep(60)
if sys.argv[2] == "alone":
    print(0, flush=True)
sys.stdin.read()
"""


def taken(folder: Path) -> FolderLock:
    return FolderLock(folder, NAME, "it")


def test_a_folder_is_free_again_when_it_was_let_go_and_nobody_is_said_to_have_left_it(tmp_path: Path) -> None:
    first = taken(tmp_path / "new")
    with pytest.raises(FolderIsHeld, match=rf"process {os.getpid()} on .+ \(since .+\) is at work on it: .*new\. Wait"):
        taken(tmp_path / "new")
    first.release()
    second = taken(tmp_path / "new")
    assert (second.left_by, second.is_held) == ("", True)
    second.release()


@pytest.mark.parametrize(
    "kind", ["alone", pytest.param("with a fork", marks=pytest.mark.skipif(os.name == "nt", reason="sends a signal"))]
)
def test_who_was_killed_holds_nothing_though_a_process_it_had_forked_lives_on(kind: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDS, str(tmp_path), kind]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        fork = int(holder.stdout.readline())
        with pytest.raises(FolderIsHeld, match=f"process {holder.pid}"):
            taken(tmp_path)
        holder.kill()
        holder.wait()
        try:
            lock = taken(tmp_path)
            assert f"process {holder.pid} on " in lock.left_by
            lock.release()
        finally:
            if fork:
                os.kill(fork, 9)


def test_a_file_system_without_locks_is_not_taken_for_another_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def knows_none(_file: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(folder_lock, "_lock", knows_none)
    lock = taken(tmp_path)
    assert not lock.is_held
    lock.release()


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match="cannot write"):
        taken(tmp_path / "file" / "folder")
