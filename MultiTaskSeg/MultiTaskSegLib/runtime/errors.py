"""Typed errors. Each message says what is wrong, with which file, and what to do about it, on one line."""

from __future__ import annotations

from pathlib import Path

# Names and values out of a file must not move the cursor of a terminal, nor turn what follows around, which hides the
# true ending of a name: controls, separators of lines, overrides and isolates of the direction of writing.
BEYOND_ASCII = (*range(127, 160), *range(0x2028, 0x202F), *range(0x2066, 0x206A))
_CONTROLS = dict.fromkeys((*range(32), *BEYOND_ASCII), "?")
NOT_FINITE = "the model makes numbers of this image that are not finite"
NOT_FINITE_REMEDY = "Check the values of the image, or get the model file again"


class MtsError(Exception):
    """Base of every error that MultiTaskSeg raises on purpose.

    >>> str(InputError("3 of 10 voxels are NaN", file="scan.nii.gz", remedy="Export the scan again"))
    '3 of 10 voxels are NaN: scan.nii.gz. Export the scan again.'
    """

    exit_code = 4

    def __init__(self, what: str, *, file: str | Path | None = None, remedy: str = "") -> None:
        self.what = what
        self.file = None if file is None else str(file)
        self.remedy = remedy
        super().__init__(self._line())

    def _line(self) -> str:
        # A dot for a folder would be lost before the full stop.
        file = Path(self.file).absolute() if self.file in (".", "..") else self.file
        parts = [self.what if file is None else f"{self.what}: {file}", self.remedy]
        text = ". ".join(part.rstrip(". ") for part in parts if part) + "."
        return printable(" ".join(text.split()))


def printable(text: str) -> str:
    r"""Without letters that move the cursor of a terminal or turn its text around: names of files may hold any.

    >>> printable("scan\x1b[2J\n.nii \u202egpj")
    'scan?[2J?.nii ?gpj'
    """
    return text.translate(_CONTROLS)


class InputError(MtsError):
    """An image cannot be used."""


class DatasetError(MtsError):
    """A training dataset cannot be used."""


class ModelError(MtsError):
    """A model file is damaged, unknown or does not fit."""


class ResourceError(MtsError):
    """Memory, disk or a device is missing."""


class Cancelled(MtsError):
    """The user stopped the run."""


class UsageError(MtsError):
    """The command line or configuration asks for something that does not exist."""

    exit_code = 2


def system_error_sentence(error: OSError, where: str = "standard output") -> str:
    """What to tell about a refusal of the system, such as a full disk.

    Args:
        error: with the words of the system.
        where: it was, if the error names no file.
    """
    words = (error.strerror or type(error).__name__).lower()
    return f"{words}: {error.filename or where}. Check the path, access rights and free disk space."
