"""Two runs on one folder: the second is refused, until the first has ended, however it did."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from MultiTaskSegLib.cohort.result.lock import lock_results
from MultiTaskSegLib.runtime.errors import ResourceError
from MultiTaskSegLib.runtime.machine import folder_lock

HOLDS = """
import sys
from pathlib import Path
from MultiTaskSegLib.cohort.result.lock import lock_results
lock = lock_results(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_run_is_refused_and_told_who_is_at_work(tmp_path: Path):
    lock = lock_results(tmp_path / "new")
    with pytest.raises(ResourceError, match=rf"process {os.getpid()} on .* is at work on these results"):
        lock_results(tmp_path / "new")
    lock.release()
    lock_results(tmp_path / "new").release()


def test_a_run_that_was_killed_holds_nothing(tmp_path: Path):
    command = [sys.executable, "-c", HOLDS, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(ResourceError, match=f"process {holder.pid}"):
            lock_results(tmp_path)
        holder.kill()
        holder.wait()
    lock_results(tmp_path).release()


def test_a_file_system_without_locks_is_refused_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def knows_none(_file: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(folder_lock, "_lock", knows_none)
    with pytest.raises(ResourceError, match="knows no locks, so that two runs could work here at once"):
        lock_results(tmp_path)
