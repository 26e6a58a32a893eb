"""Tries the cases of a row that are not in its journal yet: here, or in a process that may crash."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from Testing.hostile.campaign.catalogue import trial
from Testing.hostile.campaign.journal import Journal, Settings
from Testing.hostile.campaign.progress import Progress
from Testing.hostile.campaign.trial import Ground, NotHere, Trial
from trainer.report.source_commit import source_commit

LONGEST = 300
REPOSITORY = Path(__file__).resolve().parents[3]


def run_apart(name: str, out: Path, stream: TextIO) -> None:
    """Try a row in processes of its own; a case in which one dies is a failure, and the next goes on after it.

    Raises:
        RuntimeError: a process ends without having begun a case.
    """
    journal = Journal(out, name)
    wanted = set(Settings.kept(out).chosen(trial(name).cases()))
    while not wanted <= set(journal.done()):
        before, begun = len(journal.done()), journal.begun()
        ended = _ended([name, str(out)], stream)
        died_in = journal.open_case()
        # A run that was interrupted has left a case open: a process that has begun none did not die in it.
        if died_in is not None and journal.begun() > begun:
            journal.add({"case": died_in, "failure": f"its process ended with {ended}", "seconds": 0.0})
        elif ended and len(journal.done()) > before:
            # A crash while all is cleaned up is one, too.
            last = list(journal.done().values())[-1]
            journal.add({**last, "failure": last["failure"] or f"its process ended with {ended} after it"})
        if len(journal.done()) == before:
            raise RuntimeError(f"{name}: a process ended with {ended} before any case")


def _ended(words: list[str], stream: TextIO) -> int:
    """The exit code of a process of this module."""
    command = [sys.executable, "-m", "Testing.hostile.campaign.row_run", *words]
    return subprocess.run(command, cwd=REPOSITORY, stderr=stream, check=False).returncode


def run_here(name: str, out: Path, stream: TextIO) -> None:
    """Try a row in this process."""
    row, journal = trial(name), Journal(out, name)
    chosen = Settings.kept(out).chosen(row.cases())
    journal.add({"commit": source_commit()})
    done = journal.done()
    progress = Progress(name, len(chosen), len(done.keys() & set(chosen)), stream)
    with _grounds() as grounds:
        for case in chosen:
            if case not in done:
                journal.add({"begun": case})
                journal.add({"case": case, **tried(row, case, grounds)})
                progress.one()
    progress.end()


def tried(row: Trial, case: str, grounds: Path) -> dict[str, object]:
    """How a case ended: ``failure``, ``absent`` and ``seconds``; where there is any, what was ``counted``."""
    kept, folder = grounds / "kept", Path(tempfile.mkdtemp(dir=grounds))
    kept.mkdir(exist_ok=True)
    failure, absent, start = "", "", time.perf_counter()
    ground = Ground(folder, kept)
    try:
        row.attempt(case, ground)
    except NotHere as reason:
        absent = str(reason)
    # Whatever comes out of a case is what the campaign is there to find.
    except (Exception, SystemExit) as error:
        said = " ".join(f"{type(error).__name__}: {error}".split())
        failure = said.replace(str(folder), "FOLDER").replace(str(kept), "KEPT")[:LONGEST]
    seconds = time.perf_counter() - start
    shutil.rmtree(folder, ignore_errors=True)
    counted = {"counted": ground.counted} if ground.counted else {}
    return {"failure": failure, "absent": absent, "seconds": round(seconds, 3), **counted}


@contextmanager
def _grounds() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="campaign-", ignore_cleanup_errors=True) as name:
        yield Path(name)


if __name__ == "__main__":
    run_here(sys.argv[1], Path(sys.argv[2]), sys.stderr)
