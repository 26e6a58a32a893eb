"""Patterns such as ``*.nii.gz``, which the shells of Windows hand on as they are."""

from __future__ import annotations

from collections.abc import Iterable
from glob import glob, has_magic
from pathlib import Path

from MultiTaskSegLib.runtime.errors import UsageError


def expanded(paths: Iterable[Path]) -> list[Path]:
    """The paths, each pattern replaced by what it matches, in order of names. A file that is named like one is a file.

    Raises:
        UsageError: nothing matches a pattern.
    """
    found: list[Path] = []
    for path in paths:
        if path.exists() or not has_magic(str(path)):
            found.append(path)
            continue
        matches = sorted(glob(str(path)))
        if not matches:
            raise UsageError("nothing matches the pattern", file=path, remedy="Check the folder and the ending")
        found += map(Path, matches)
    return found
