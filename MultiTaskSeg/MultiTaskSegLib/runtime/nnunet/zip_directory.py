"""The directory of a zip file, read without more memory than a sound one needs."""

from __future__ import annotations

import struct
import zipfile
from typing import IO, Any, cast

# That of the largest checkpoint has some megabytes; Python makes ten times as much of it.
MAX_DIRECTORY_BYTES = 32 * 2**20
# What Python raises where a file tells places and sizes that no file has.
WRONG_NUMBERS = (struct.error, ValueError, OverflowError, IndexError, MemoryError)


def zip_directory(file: IO[bytes]) -> zipfile.ZipFile:
    """A zip file opened for reading.

    Args:
        file: readable and seekable; it stays open.

    Raises:
        zipfile.BadZipFile: it is damaged, or its directory is larger than any needs to be.
        OSError: it cannot be read.
        NotImplementedError: it is of a kind that Python does not know.
    """
    limited = _Limited(file)
    archive = zipfile.ZipFile(cast("IO[bytes]", limited))
    limited.has_directory = True
    return archive


class _Limited:
    """A file of which no large piece is read at once before its directory is known."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.has_directory = file, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def read(self, size: int = -1) -> bytes:
        """So many bytes."""
        if self.has_directory:
            return self._file.read(size)
        content = self._file.read(MAX_DIRECTORY_BYTES + 1 if size < 0 else min(size, MAX_DIRECTORY_BYTES + 1))
        if len(content) > MAX_DIRECTORY_BYTES:
            raise zipfile.BadZipFile("the directory is too large")
        return content
