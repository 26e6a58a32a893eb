"""One training at a time writes to one output; a training that ended, however it did, holds it no more."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TextIO

from MultiTaskSegLib.runtime.errors import MtsError, UsageError
from MultiTaskSegLib.runtime.machine.folder_lock import FolderIsHeld, FolderLock
from trainer.distributed.ranks import ALONE, Ranks
from trainer.report.note import write_note
from trainer.report.run_folder import LOCK_FILE, RunFolder

# Of a machine that was lost a file server learns late, and only then frees what that machine had locked.
RESTART_WAIT_S = 150.0
PAUSE_S = 1.0


@contextmanager
def held(
    folder: Path, work: str = "this training", stream: TextIO | None = None, wait_s: float = 0.0
) -> Iterator[None]:
    """Within the block no other process that asks, here or on a machine that sees the folder, works on it.

    Args:
        folder: it is made where it is not there.
        work: what is done there.
        stream: for what is to be told; standard error by default.
        wait_s: how long to wait for who holds it.

    Raises:
        FolderIsHeld: another process works on it; the message says which one.
        ResourceError: nothing can be written there.
    """
    lock = _taken(folder, work, stream, wait_s)
    try:
        if not lock.is_held:
            holder = f", as {lock.left_by} perhaps does" if lock.left_by else ""
            words = f"knows no locks: see to it that nothing else writes to this output{holder}"
            write_note(f"the file system of {folder} {words}", stream)
        elif lock.left_by:
            write_note(f"{lock.left_by} was at work on {work} and ended without a word; it is taken over", stream)
        yield
    finally:
        lock.release()


@contextmanager
def run_held(folder: RunFolder, ranks: Ranks = ALONE, stream: TextIO | None = None) -> Iterator[None]:
    """Like `held`, of a training: its first process holds the folder for all, and a refusal ends all of them.

    Processes that are started again wait a while for those that were there before them.

    Args:
        folder: of the run.
        ranks: the processes of the training.
        stream: for what is to be told.

    Raises:
        FolderIsHeld, ResourceError: see `held`.
        UsageError: the processes of the training were given different outputs.
    """
    _require_one_output(folder.path, ranks)
    # What another process refuses must not have cost an earlier run anything: all are here before.
    ranks.wait()
    with ExitStack() as stack:
        refused: list[MtsError] = []

        def take() -> bool:
            """By the first process: whether nobody else holds it."""
            is_restarted = ranks.may_go_on and not ranks.run_names.isdisjoint(folder.run_names())
            try:
                stack.enter_context(held(folder.path, stream=stream, wait_s=RESTART_WAIT_S if is_restarted else 0.0))
            except MtsError as error:
                refused.append(error)
            return not refused

        is_ours = ranks.agreed(take)
        if refused:
            raise refused[0]
        if not is_ours:
            raise SystemExit(MtsError.exit_code)  # the first process says why
        yield


def _require_one_output(folder: Path, ranks: Ranks) -> None:
    """Tasks of a cluster may well be trainings of their own, and are not to be taken for one."""
    # One path means two outputs in two working directories; and machines may see their working directory under two
    # paths, but what is in it under the numbers that its file server has given it.
    path, given = str(folder.resolve()), (str(folder), folder.stat().st_ino)
    first, first_given = ranks.agreed(lambda: (path, given))
    if path != first and given != first_given:
        raise UsageError(
            f"process {ranks.rank} writes to another output than process 0, {first}",
            file=path,
            remedy="Give all the same -o; trainings of their own need an environment without RANK, WORLD_SIZE and "
            "SLURM_STEP_NUM_TASKS (env -u SLURM_STEP_NUM_TASKS ...)",
        )


def _taken(folder: Path, work: str, stream: TextIO | None, wait_s: float) -> FolderLock:
    deadline_s, is_told = time.monotonic() + wait_s, False
    while True:
        try:
            return FolderLock(folder, LOCK_FILE, work)
        except FolderIsHeld as error:
            if time.monotonic() >= deadline_s:
                raise
            if not is_told:
                write_note(f"{error.what}; as this is a restart, it is waited for, {wait_s:.0f} s at most", stream)
                is_told = True
            time.sleep(PAUSE_S)
