"""Files of a results folder, or of the zip file that nnU-Net exports: listed and opened, never unpacked at large."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Protocol

from MultiTaskSegLib.runtime.errors import ModelError, ResourceError
from MultiTaskSegLib.runtime.nnunet.zip_directory import WRONG_NUMBERS, zip_directory

MAX_FILES = 200_000
MAX_ENTRIES = 1_000_000
MAX_DEPTH = 8
MAX_TEXT_BYTES = 64 * 2**20
MAX_CHECKPOINT_BYTES = 8 * 2**30
# Weights hardly shrink when packed; what shrinks more was made to fill the disk.
MAX_RATIO = 50
# Other ways of packing may ask for gigabytes of memory to unpack a byte.
PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
DAMAGES = (zipfile.BadZipFile, EOFError, zlib.error, RuntimeError, NotImplementedError, *WRONG_NUMBERS)
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
        """Relative paths of the files that matter; links to folders are not followed.

        Raises:
            ModelError: a folder cannot be read, there are too many entries, or a file is a link that leads elsewhere.
        """
        found: list[PurePosixPath] = []
        folders, count = [(self.path, 0)], 0
        while folders:
            folder, depth = folders.pop()
            entries = _entries(folder)
            count += len(entries)
            if count > MAX_ENTRIES:
                raise ModelError(
                    f"the folder holds more than {MAX_ENTRIES} files",
                    file=self.path,
                    remedy="Give the folder Trainer__Plans__Configuration of one model",
                )
            for entry, is_folder in entries:
                if is_folder and depth < MAX_DEPTH:
                    folders.append((entry, depth + 1))
                elif entry.name in WANTED and entry.is_file():
                    found.append(self._inside(entry))
        return sorted(found)

    def _inside(self, entry: Path) -> PurePosixPath:
        """The relative path of a file."""
        if not entry.resolve().is_relative_to(self.path.resolve()):
            raise ModelError(
                "the file is a link that leads out of the folder", file=entry, remedy="Put the file itself there"
            )
        return PurePosixPath(entry.relative_to(self.path).as_posix())

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
            with path.open("rb") as file, zip_directory(file) as archive:
                members = archive.infolist()
                size_bytes = path.stat().st_size
        except (OSError, *DAMAGES) as error:
            raise ModelError("the zip file is damaged", file=path, remedy="Copy or export it again") from error
        if len(members) > MAX_FILES:
            raise ModelError(f"the zip file has {len(members)} parts", file=path)
        for name in (member.filename for member in members):
            parts = PurePosixPath(name.replace("\\", "/")).parts
            if name.startswith(("/", "\\")) or ".." in parts or any(":" in part for part in parts):
                raise ModelError(f"the zip file has a name that leads elsewhere ({name!r})", file=path)
        files = [member for member in members if not member.is_dir()]
        self._members = {PurePosixPath(member.filename): member for member in files}
        if len(self._members) != len(files):
            raise ModelError("the zip file has two parts of one name", file=path)
        if sum(member.compress_size for member in files) > size_bytes:
            raise ModelError("the zip file has parts that lie on top of each other", file=path)

    def files(self) -> list[PurePosixPath]:
        """Relative paths of the files that matter."""
        return sorted(name for name in self._members if name.name in WANTED and len(name.parts) <= MAX_DEPTH)

    def text(self, name: PurePosixPath) -> bytes:
        """What a small file holds.

        Raises:
            ModelError: it is too large or damaged.
        """
        with self._packed(name) as file:
            try:
                return _limited(file.read(MAX_TEXT_BYTES + 1), f"{self.path}/{name}")
            except (OSError, *DAMAGES) as error:
                raise self._damaged(name) from error

    @contextmanager
    def open(self, name: PurePosixPath) -> Iterator[IO[bytes]]:
        """A file to read and to seek in: an unpacked copy in a temporary file, which is gone afterwards.

        Raises:
            ModelError: it is damaged, or would become far larger than it is.
            ResourceError: there is no room for the copy.
        """
        member = self._members[name]
        if member.file_size > MAX_CHECKPOINT_BYTES or member.file_size > MAX_RATIO * max(member.compress_size, 1):
            raise ModelError(
                f"{name} claims to hold {member.file_size / 1e9:.1f} GB, which no network does", file=self.path
            )
        with tempfile.TemporaryFile() as copy:
            with self._packed(name) as file:
                try:
                    shutil.copyfileobj(file, copy, 2**20)
                except DAMAGES as error:
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
        member = self._members[name]
        if member.compress_type not in PACKINGS:
            raise ModelError(
                f"{name} in the zip file is packed in an unusual way", file=self.path, remedy="Export it again"
            )
        with ExitStack() as opened:
            try:
                archive = opened.enter_context(zip_directory(opened.enter_context(self.path.open("rb"))))
                file = opened.enter_context(archive.open(member))
            except (OSError, *DAMAGES) as error:
                raise self._damaged(name) from error
            yield file

    def _damaged(self, name: PurePosixPath) -> ModelError:
        return ModelError(f"{name} in the zip file is damaged or encrypted", file=self.path, remedy="Export it again")


def results_source(path: Path) -> ResultsFolder | ResultsZip:
    """The folder or zip file at a path.

    Raises:
        ModelError: it is neither.
    """
    try:
        if path.is_dir():
            return ResultsFolder(path)
        is_file = path.is_file()
        if is_file and _is_zip(path):
            return ResultsZip(path)
    except OSError as error:
        raise ModelError(f"the folder cannot be read ({error.strerror})", file=path) from error
    what = "the file is no zip file" if is_file else "there is no such folder or zip file"
    raise ModelError(what, file=path, remedy="Give a results folder of nnU-Net v2 or its exported zip file")


def _is_zip(path: Path) -> bool:
    try:
        return zipfile.is_zipfile(path)
    except zipfile.BadZipFile:
        return True


def _entries(folder: Path) -> list[tuple[Path, bool]]:
    """What lies in a folder, and whether it is a folder itself and no link."""
    try:
        return [(entry, entry.is_dir() and not entry.is_symlink()) for entry in sorted(folder.iterdir())]
    except OSError as error:
        raise ModelError(f"the folder cannot be read ({error.strerror})", file=folder) from error


def _limited(content: bytes, name: str | Path) -> bytes:
    if len(content) > MAX_TEXT_BYTES:
        raise ModelError("the file is too large for what it should be", file=name)
    return content
