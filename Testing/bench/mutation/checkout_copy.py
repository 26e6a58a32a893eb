"""Copies of the checkout in which mutants are tried; the working tree is never touched."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from Testing.bench.mutation.mutant import Mutant

IMPORTED_FROM = (".", "MultiTaskSeg", "OODCheck")
PLUGINS = Path(__file__).resolve().parent / "plugin"
FIRST_TIME = 1_000_000_000


class CheckoutCopy:
    """A clone of one commit in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.writes = 0

    @classmethod
    def make(cls, repository: Path, commit: str, folder: Path) -> CheckoutCopy:
        """Clone a commit; the objects are shared with the original, so this is quick and small."""
        git = ["git", "-c", "advice.detachedHead=false"]
        subprocess.run(
            [*git, "clone", "--quiet", "--shared", "--no-checkout", str(repository), str(folder)], check=True
        )
        subprocess.run([*git, "-C", str(folder), "checkout", "--quiet", "--detach", commit], check=True)
        return cls(folder)

    @contextmanager
    def mutated(self, mutant: Mutant) -> Iterator[None]:
        """The copy with the mutant in it, for as long as the block lasts."""
        path = self.folder / mutant.file
        content = path.read_bytes()
        self._write(path, mutant.applied(content))
        try:
            yield
        finally:
            self._write(path, content)
            # Examples of a mutant that failed would be tried first on the next one.
            shutil.rmtree(self.folder / ".hypothesis", ignore_errors=True)

    def environment(self) -> dict[str, str]:
        """Variables under which every Python process sees this copy, not the checkout that is installed.

        pytest gets no options from outside: several processes would neither keep the order nor record anything.
        """
        kept = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
        paths = [str((self.folder / part).resolve()) for part in IMPORTED_FROM]
        return {**kept, "PYTHONPATH": os.pathsep.join([*paths, str(PLUGINS)]), "OMP_NUM_THREADS": "1"}

    def _write(self, path: Path, content: bytes) -> None:
        """Write with a time of its own: Python takes compiled code for current where time in seconds and size agree."""
        path.write_bytes(content)
        self.writes += 1
        os.utime(path, (FIRST_TIME + self.writes, FIRST_TIME + self.writes))
