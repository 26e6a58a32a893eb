"""Runs what the pages say, each page in a folder of its own that has everything the page names."""

from __future__ import annotations

import io
import os
import shlex
import shutil
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from Testing.house.source_tree import REPOSITORY
from Testing.pages.exceptions import STATUS
from Testing.pages.plan import Planned
from Testing.pages.promises import LEAVES, SAME, SAYS

ROOTS = (REPOSITORY, REPOSITORY / "MultiTaskSeg", REPOSITORY / "OODCheck")
MODULES = {
    "multitaskseg": "MultiTaskSegLib.runtime.cli",
    "multitaskseg-trainer": "trainer",
    "torchrun": "torch.distributed.run",
}
MAINS = {"multitaskseg": "MultiTaskSegLib.runtime.cli", "multitaskseg-trainer": "trainer.cli"}
LIMIT_S = 1800.0
# As shells report a program that is not there, and ``timeout`` one that does not end.
NOT_FOUND, TOO_LONG = 127, 124


@dataclass(frozen=True)
class Outcome:
    """How a command ended.

    Attributes:
        status: its exit status.
        said: what it printed, errors too.
    """

    status: int
    said: str


@dataclass(frozen=True)
class Done:
    """A command that was run.

    Attributes:
        planned: for which command of which page.
        text: what was run.
        seconds: how long it took.
        faults: what is not as the page says, in words; empty where all is.
        said: what it printed.
    """

    planned: Planned
    text: str
    seconds: float
    faults: tuple[str, ...]
    said: str


Runner = Callable[[str, Path], Outcome]
Stamps = dict[str, tuple[int, int]]


def walk(page: Iterable[Planned], folder: Path, run: Runner) -> Iterator[Done]:
    """Run the commands of a page, one after the other, in a folder.

    Args:
        page: its commands.
        folder: with what the page names.
        run: how.
    """
    for one in page:
        for text in one.runs:
            before = stamps(text, folder)
            began_s = time.perf_counter()
            outcome = run(text, folder)
            seconds = time.perf_counter() - began_s
            yield Done(one, text, seconds, tuple(faults(text, outcome, folder, before)), outcome.said)


def stamps(text: str, folder: Path) -> Stamps:
    """Of the files that a command leaves those that are there already: their inodes and times."""
    paths = {name: folder / name for name in (*LEAVES.get(text, ()), *SAME.get(text, ()))}
    return {name: (path.stat().st_ino, path.stat().st_mtime_ns) for name, path in paths.items() if path.is_file()}


def faults(text: str, outcome: Outcome, folder: Path, before: Stamps) -> Iterator[str]:
    """What is not as a page says; a file of an earlier command does not count as written."""
    wanted = STATUS[text][0] if text in STATUS else 0
    if outcome.status != wanted:
        yield f"ends with {outcome.status}, not {wanted}"
    after = stamps(text, folder)
    yield from (f"{name} was not written" for name in before if after.get(name) == before[name])
    yield from (f"{name} is not there" for name in LEAVES.get(text, ()) if not (folder / name).is_file())
    yield from (f"{name} is not as it was" for name in SAME.get(text, ()) if not _is_same(folder / name, name))
    yield from (f"does not say {words!r}" for words in SAYS.get(text, ()) if words not in outcome.said)


def _is_same(path: Path, name: str) -> bool:
    """Whether a page is that of this checkout."""
    return path.read_text(encoding="utf-8") == (REPOSITORY / name).read_text(encoding="utf-8")


def as_process(text: str, folder: Path) -> Outcome:
    """Run a command as a process of its own in a folder, with the programs of this checkout; no shell takes part."""
    words = [*_program(shlex.split(text))]
    try:
        run = subprocess.run(
            words, cwd=folder, env=environment(folder), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, timeout=LIMIT_S, check=False,
        )  # fmt: skip
    except OSError as error:
        return Outcome(NOT_FOUND, str(error))
    except subprocess.TimeoutExpired as error:
        return Outcome(TOO_LONG, f"{error}\n{(error.stdout or b'').decode('utf-8', 'replace')}")
    return Outcome(run.returncode, run.stdout.decode("utf-8", "replace"))


def in_process(text: str, folder: Path) -> Outcome:
    """Run a command of this project's programs in this process, which need not start anew; others as a process."""
    words = shlex.split(text)
    if words[:3] == ["python", "-m", "trainer"]:
        words[:3] = ["multitaskseg-trainer"]
    if words[0] not in MAINS:
        return as_process(text, folder)
    said, before = io.StringIO(), (Path.cwd(), dict(os.environ))
    main = import_module(MAINS[words[0]]).main
    os.chdir(folder)
    os.environ.update(environment(folder))
    try:
        with redirect_stdout(said), redirect_stderr(said):
            status = _status(main, words[1:])
    finally:
        os.chdir(before[0])
        os.environ.clear()
        os.environ.update(before[1])
    return Outcome(status, said.getvalue())


def _status(main: Callable[[list[str]], int], words: list[str]) -> int:
    """Of a program that may end itself, as where words are not understood."""
    try:
        return main(words)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except Exception:
        # What a process would end with; the walk goes on.
        sys.stderr.write(traceback.format_exc())
        return 1


def _program(words: list[str]) -> Iterator[str]:
    """The program that a name means here."""
    first = words[0]
    if first in MODULES:
        yield from (sys.executable, "-m", MODULES[first])
    elif first in ("python", "python3"):
        yield sys.executable
    else:
        yield shutil.which(first) or first
    yield from words[1:]


def environment(folder: Path) -> dict[str, str]:
    """Of a process: finds this checkout's packages, and neither models nor data of whoever walks."""
    path = os.pathsep.join(str(root) for root in ROOTS)
    own = {"PYTHONPATH": path, "PYTHONIOENCODING": "utf-8", "OMP_NUM_THREADS": "1", "MULTITASKSEG_BACKEND": "torch"}
    return {**os.environ, **own, "MULTITASKSEG_MODELS": str(folder / "models"), "MULTITASKSEG_DATA": str(folder)}
