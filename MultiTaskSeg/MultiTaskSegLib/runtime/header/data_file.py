"""Data files that a detached header names. A header from elsewhere must not make us open just any file.

Followed by NRRD (``data file``) and MetaImage (``ElementDataFile``): one name, ``LIST`` with names on the lines that
follow, or a pattern such as ``slice%03d.raw 1 40 1``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from MultiTaskSegLib.runtime.errors import InputError

MAX_PARTS = 100_000
"""Most files that one image is put together from."""

NO_ORIENTATION = "the file does not state how its axes lie in the body; they are taken to run to left, back and head"

_PATTERN = re.compile(r"([^%]*%0?\d{0,2}d[^%]*?)((?:\s+-?\d+){3,4})")
_REMEDY = "Put the header and its data into one folder, or save the image as one file"


@dataclass(frozen=True)
class DataClaim:
    """What a header says about its data and ITK passes over.

    Attributes:
        data_bytes: size of the pixel data on disk, or of the whole file where they lie in it.
        mm_per_unit: how many millimetres its unit of length has; ITK reads the bare numbers.
        has_size: whether it states the size of a voxel.
        notes: what there is to know about how the image lies in the body.
    """

    data_bytes: int
    mm_per_unit: float
    has_size: bool
    notes: tuple[str, ...] = ()


def data_files(header: Path, declared: str, following: Iterable[str]) -> list[Path]:
    """The files of a detached header, each an ordinary file in its own folder or below.

    Args:
        header: path of the header.
        declared: what the header says where its data is.
        following: the lines after that, for ``LIST``.

    Raises:
        InputError: a name leads out of the folder, or to what is no ordinary file, such as a pipe, from which reading
            would never end.
    """
    names = _names(header, declared, following)
    return [_ordinary(header, name) for name in names]


def total_bytes(files: Sequence[Path]) -> int:
    """Size of all of them on disk."""
    return sum(file.stat().st_size for file in files)


def _names(header: Path, declared: str, following: Iterable[str]) -> list[str]:
    if declared.startswith("LIST"):
        names = [line.strip() for line in following if line.strip()]
    elif "%" in declared and (header.parent / declared).is_file():
        raise InputError(
            f"the name of the data file '{declared}' has a '%' in it, which stands for a number in a pattern",
            file=header,
            remedy="Rename the data file in the folder and in the header",
        )
    elif "%" in declared:
        names = _expanded(header, declared)
    else:
        names = [declared]
    if not 0 < len(names) <= MAX_PARTS:
        raise InputError(f"the header names {len(names)} data files", file=header, remedy=_REMEDY)
    return names


def _expanded(header: Path, declared: str) -> list[str]:
    match = _PATTERN.fullmatch(declared)
    first, last, step = (int(word) for word in match.group(2).split()[:3]) if match else (0, 0, 0)
    if match is None or step == 0:
        raise InputError(f"the data files '{declared}' are no pattern that is known", file=header, remedy=_REMEDY)
    numbers = range(first, last + (1 if step > 0 else -1), step)
    # The pattern holds exactly one place for a whole number, as checked above.
    return [match.group(1) % number for number in numbers[: MAX_PARTS + 1]]


def _ordinary(header: Path, name: str) -> Path:
    # Both, on every system: the file may come from another.
    for path in (PurePosixPath(name), PureWindowsPath(name)):
        if path.is_absolute() or path.drive or path.root or ".." in path.parts:
            raise InputError(
                f"the header names the data file '{name}' outside its own folder", file=header, remedy=_REMEDY
            )
    data = header.parent / name
    if name == "-" or not data.is_file():
        raise InputError(
            f"the data file '{name}' cannot be read: there is no ordinary file of that name",
            file=header,
            remedy=_REMEDY,
        )
    return data
