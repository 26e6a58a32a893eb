"""Two runs on one folder: the second is refused, until the first has ended, however it did."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from MultiTaskSegLib.cohort.result.lock import FolderLock
from MultiTaskSegLib.runtime.errors import ResourceError

HOLDS = """
import sys
from pathlib import Path
from MultiTaskSegLib.cohort.result.lock import FolderLock
lock = FolderLock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_run_is_refused_and_told_who_is_at_work(tmp_path: Path):
    lock = FolderLock(tmp_path / "new")
    with pytest.raises(ResourceError, match=rf"process {os.getpid()} on .* is at work on these results"):
        FolderLock(tmp_path / "new")
    lock.release()
    FolderLock(tmp_path / "new").release()


def test_a_run_that_was_killed_holds_nothing(tmp_path: Path):
    command = [sys.executable, "-c", HOLDS, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(ResourceError, match=f"process {holder.pid}"):
            FolderLock(tmp_path)
        holder.kill()
        holder.wait()
    FolderLock(tmp_path).release()
