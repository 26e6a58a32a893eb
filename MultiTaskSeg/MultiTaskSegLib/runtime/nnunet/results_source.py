"""Files of a results folder, or of the zip file that nnU-Net exports: listed and opened, never unpacked at large."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Protocol

from MultiTaskSegLib.runtime.errors import ModelError, ResourceError

MAX_FILES = 200_000
MAX_DEPTH = 8
MAX_TEXT_BYTES = 64 * 2**20
MAX_CHECKPOINT_BYTES = 8 * 2**30
# Weights hardly shrink when packed; what shrinks more was made to fill the disk.
MAX_RATIO = 50
WANTED = ("plans.json", "dataset.json", "summary.json", "checkpoint_final.pth", "checkpoint_best.pth")


class ResultsSource(Protocol):
    """Where a trained model lies."""

    @property
    def path(self) -> Path:
        """The folder or zip file."""

    def files(self) -> list[PurePosixPath]:
        """Relative paths of the files that matter (`WANTED`)."""

    def text(self, name: PurePosixPath) -> bytes:
        """What a small file holds."""

    def open(self, name: PurePosixPath) -> AbstractContextManager[IO[bytes]]:
        """A file to read and to seek in."""


class ResultsFolder:
    """A folder.

    Raises:
        ModelError: it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def files(self) -> list[PurePosixPath]:
        """Relative paths of the files that matter; links to other places are followed nowhere."""
        found = []
        folders = [(self.path, 0)]
        while folders:
            folder, depth = folders.pop()
            for entry in sorted(_entries(folder)):
                if entry.is_dir() and not entry.is_symlink() and depth < MAX_DEPTH:
                    folders.append((entry, depth + 1))
                elif entry.name in WANTED and entry.is_file():
                    found.append(PurePosixPath(entry.relative_to(self.path).as_posix()))
        return sorted(found)

    def text(self, name: PurePosixPath) -> bytes:
        """What a small file holds.

        Raises:
            ModelError: it is too large or cannot be read.
        """
        with self.open(name) as file:
            return _limited(file.read(MAX_TEXT_BYTES + 1), self.path / name)

    @contextmanager
    def open(self, name: PurePosixPath) -> Iterator[IO[bytes]]:
        """A file to read and to seek in.

        Raises:
            ModelError: it cannot be read.
        """
        try:
            file = (self.path / name).open("rb")
        except OSError as error:
            raise ModelError(f"the file cannot be read ({error.strerror})", file=self.path / name) from error
        with file:
            yield file


class ResultsZip:
    """A zip file of ``nnUNetv2_export_model_to_zip``.

    Raises:
        ModelError: it is damaged, or has names that lead out of a folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with zipfile.ZipFile(path) as archive:
                members = archive.infolist()
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise ModelError("the zip file is damaged", file=path, remedy="Copy or export it again") from error
        if len(members) > MAX_FILES:
            raise ModelError(f"the zip file has {len(members)} parts", file=path)
        self._members = {member.filename: member for member in members}
        for name in self._members:
            parts = PurePosixPath(name.replace("\\", "/")).parts
            if name.startswith(("/", "\\")) or ".." in parts or any(":" in part for part in parts):
                raise ModelError(f"the zip file has a name that leads elsewhere ({name!r})", file=path)
        if len(self._members) != len(members):
            raise ModelError("the zip file has two parts of one name", file=path)

    def files(self) -> list[PurePosixPath]:
        """Relative paths of the files that matter."""
        names = [PurePosixPath(name) for name in self._members]
        return sorted(name for name in names if name.name in WANTED and len(name.parts) <= MAX_DEPTH)

    def text(self, name: PurePosixPath) -> bytes:
        """What a small file holds.

        Raises:
            ModelError: it is too large or damaged.
        """
        with self._packed(name) as file:
            try:
                return _limited(file.read(MAX_TEXT_BYTES + 1), f"{self.path}/{name}")
            except (zipfile.BadZipFile, EOFError, OSError) as error:
                raise self._damaged(name) from error

    @contextmanager
    def open(self, name: PurePosixPath) -> Iterator[IO[bytes]]:
        """A file to read and to seek in: an unpacked copy in a temporary file, which is gone afterwards.

        Raises:
            ModelError: it is damaged, or would become far larger than it is.
            ResourceError: there is no room for the copy.
        """
        member = self._members[str(name)]
        if member.file_size > MAX_CHECKPOINT_BYTES or member.file_size > MAX_RATIO * max(member.compress_size, 1):
            raise ModelError(
                f"{name} claims to hold {member.file_size / 1e9:.1f} GB, which no network does", file=self.path
            )
        with tempfile.TemporaryFile() as copy:
            with self._packed(name) as file:
                try:
                    shutil.copyfileobj(file, copy, 2**20)
                except (zipfile.BadZipFile, EOFError) as error:
                    raise self._damaged(name) from error
                except OSError as error:
                    raise ResourceError(
                        f"{name} cannot be unpacked ({error.strerror or error})",
                        file=self.path,
                        remedy="Free disk space for temporary files",
                    ) from error
            copy.seek(0)
            yield copy

    @contextmanager
    def _packed(self, name: PurePosixPath) -> Iterator[IO[bytes]]:
        try:
            with zipfile.ZipFile(self.path) as archive, archive.open(str(name)) as file:
                yield file
        except (zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
            raise self._damaged(name) from error

    def _damaged(self, name: PurePosixPath) -> ModelError:
        return ModelError(f"{name} in the zip file is damaged or encrypted", file=self.path, remedy="Export it again")


def results_source(path: Path) -> ResultsFolder | ResultsZip:
    """The folder or zip file at a path.

    Raises:
        ModelError: it is neither.
    """
    if path.is_dir():
        return ResultsFolder(path)
    if path.is_file() and zipfile.is_zipfile(path):
        return ResultsZip(path)
    what = "the file is no zip file" if path.is_file() else "there is no such folder or zip file"
    raise ModelError(what, file=path, remedy="Give a results folder of nnU-Net v2 or its exported zip file")


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise ModelError(f"the folder cannot be read ({error.strerror})", file=folder) from error


def _limited(content: bytes, name: str | Path) -> bytes:
    if len(content) > MAX_TEXT_BYTES:
        raise ModelError("the file is too large for what it should be", file=name)
    return content
