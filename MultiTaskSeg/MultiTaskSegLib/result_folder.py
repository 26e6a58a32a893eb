"""Folders with the results of image files: none is written over that somebody may have worked in. No torch here."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

from MultiTaskSegLib.runtime.machine.result_record import digest_of

CHECKSUMS = "checksums.sha256"  # as the program sha256sum writes and checks it


def write_checksums(folder: str | Path) -> None:
    """Note what the files of a folder hold, so that it can be seen later whether they were changed.

    Raises:
        OSError: a file cannot be read or written.
    """
    lines = [f"{digest_of(file)}  {file.name}\n" for file in _files(Path(folder)) if file.name != CHECKSUMS]
    # With the line ends of Windows the program would look for names that end in a carriage return.
    (Path(folder) / CHECKSUMS).write_text("".join(lines), encoding="utf-8", newline="\n")


def is_untouched(folder: str | Path) -> bool:
    """Whether a folder holds a result as it was written, and nothing else.

    Raises:
        OSError: a file cannot be read.
    """
    folder = Path(folder)
    if not (folder / CHECKSUMS).is_file():
        return False
    lines = (folder / CHECKSUMS).read_text(encoding="utf-8").splitlines()
    noted = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    found = {file.name: digest_of(file) for file in _files(folder) if file.name != CHECKSUMS}
    return found == noted


def is_taken(folder: str | Path) -> bool:
    """Whether there is anything in a folder, or a file in its place."""
    folder = Path(folder)
    return folder.exists() and (not folder.is_dir() or next(_files(folder), None) is not None)


def free_folder(folder: str | Path, claimed: set[str]) -> Path:
    """The folder, or the first of ``FOLDER_2``, ``FOLDER_3`` ... with nothing in it, that is not claimed.

    ``claimed`` has the names of folders beside it as `claim` gives them.
    """
    folder = Path(folder)
    numbered = (folder.with_name(f"{folder.name}_{number}") for number in itertools.count(2))
    places = itertools.chain([folder], numbered)
    return next(place for place in places if claim(place) not in claimed and not is_taken(place))


def claim(folder: Path) -> str:
    """The same for folders that some file system takes for one."""
    return folder.name.casefold()


def _files(folder: Path) -> Iterator[Path]:
    """What is in a folder, also in those below, without what systems hide in it (``.DS_Store``)."""
    return (entry for entry in sorted(folder.rglob("*")) if entry.is_file() and not entry.name.startswith("."))
