"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from MultiTaskSegLib.runtime.errors import ResourceError
from MultiTaskSegLib.runtime.machine.file_exchange import exchange, exchange_all

# No other program's, so that nobody else's files are taken for leftovers.
PREFIX = ".mts-partial-"
# A process that is killed cannot clean up. What it leaves goes with the next result that is written there, once it is
# too old to belong to a run under way.
LEFTOVER_S = 24 * 3600.0
WINDOWS_CHARACTERS = 260  # of a path, with the zero at its end
TEMPORARY_CHARACTERS = 48  # that the longest name of a result and of its temporary folder add


@contextmanager
def atomic_path(path: str | Path, settle: Callable[[], object] = lambda: None) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` with the same ending; rename it to ``path`` when the block succeeds.

    An error or a full disk leaves what was under ``path`` before, and no temporary file; a crash or a power cut leaves
    the file before or the file after, whole.

    Args:
        path: the file.
        settle: is called when all is on the disk, right before it takes its place; what it raises keeps it away.

    Raises:
        ResourceError: the file cannot be written.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=PREFIX, suffix="-" + path.name)
        os.close(handle)
    except OSError as error:
        raise _unwritable(path, error) from error
    temporary = Path(name)
    try:
        yield temporary
        _flush(temporary)
        settle()
        exchange(temporary, path)
        _flush_folder(path.parent)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        # Where a scanner holds it, the temporary file stays; that must not hide what went wrong.
        with suppress(PermissionError):
            temporary.unlink(missing_ok=True)


@contextmanager
def staged_files(directory: str | Path, settle: Callable[[], object] = lambda: None) -> Iterator[Path]:
    """Yield an empty folder; when the block succeeds, its files move into ``directory`` together.

    A file that another program has open is waited for; where it stays open, none of the files is replaced. A directory
    that was not there goes again when the block fails. ``settle`` is that of `atomic_path`.

    Raises:
        ResourceError: the directory cannot be written, or one of the files cannot be replaced.
    """
    directory = Path(directory)
    try:
        with _folder_for(directory):
            _remove_leftovers(directory)
            with tempfile.TemporaryDirectory(dir=directory, prefix=PREFIX, ignore_cleanup_errors=True) as name:
                with named_after_target(Path(name), directory):
                    yield Path(name)
                files = sorted(Path(name).iterdir())
                for file in files:
                    _flush(file)
                aside = Path(tempfile.mkdtemp(dir=name))
                settle()
                exchange_all(files, directory, aside)
                _flush_folder(directory)
    except OSError as error:
        raise _unwritable(Path(error.filename2 or directory), error) from error


@contextmanager
def _folder_for(directory: Path) -> Iterator[None]:
    """The folder is there; one that was not goes again where the block fails, unless somebody's files are in it."""
    is_new = not directory.exists()
    directory.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        if is_new:
            with suppress(OSError):
                directory.rmdir()
        raise


@contextmanager
def named_after_target(aside: Path, target: Path) -> Iterator[None]:
    """Within, errors about files in a folder ``aside`` name the place in ``target`` where these files were to go.

    Raises:
        ResourceError: a file cannot be written.
    """

    def place(file: str | Path | None) -> Path:
        """Where a file was to go."""
        inside = file is not None and Path(file).is_relative_to(aside)
        return target / Path(file).relative_to(aside) if file is not None and inside else Path(file or target)

    try:
        yield
    except ResourceError as error:
        raise ResourceError(error.what, file=place(error.file), remedy=error.remedy) from error
    except OSError as error:
        raise _unwritable(place(error.filename2 or error.filename), error) from error


def _remove_leftovers(directory: Path) -> None:
    for path in directory.glob(f"{PREFIX}*"):
        with suppress(OSError):
            if time.time() - path.lstat().st_mtime < LEFTOVER_S:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()


def _flush(path: Path) -> None:
    """Make sure that the bytes are on the disk before the old file is given up."""
    with path.open("rb+") as stream:
        os.fsync(stream.fileno())
    # mkstemp makes files private; the result should be readable like any other output.
    umask = os.umask(0)
    os.umask(umask)
    path.chmod(0o666 & ~umask)


def _flush_folder(path: Path) -> None:
    """Make sure that the new name is on the disk, too: it is kept in the folder, not in the file."""
    # Windows and some network drives cannot do this; the file is in its place all the same.
    with suppress(OSError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def require_folder(path: str | Path) -> None:
    """Refuse a folder for results that can never be made, before anything is computed for it.

    Raises:
        ResourceError: it or a folder above it is a file.
    """
    path = Path(path)
    there = next((place for place in (path, *path.absolute().parents) if place.exists()), path)
    if there.exists() and not there.is_dir():
        raise _in_the_way(there)


def require_place(path: str | Path) -> None:
    """Refuse a file that can never be written, before anything is computed for it.

    Raises:
        ResourceError: a folder has its name, or nothing can be written where it is to lie.
    """
    path = Path(path)
    if path.is_dir():
        raise _unwritable(path, IsADirectoryError())
    require_folder(path.parent)
    there = next(place for place in path.absolute().parents if place.exists())
    try:
        with tempfile.TemporaryFile(dir=there, prefix=PREFIX):
            pass
    except OSError as error:
        raise _unwritable(path, error) from error


def _in_the_way(path: Path) -> ResourceError:
    return ResourceError(
        "a file is in the place of the folder for results", file=path, remedy="Give the name of a folder"
    )


def _unwritable(path: Path, error: OSError) -> ResourceError:
    if isinstance(error, FileExistsError | NotADirectoryError):
        return _in_the_way(Path(error.filename or path))
    if isinstance(error, IsADirectoryError):
        return ResourceError("a folder is in the place of the file", file=path, remedy="Give another name")
    if isinstance(error, PermissionError) and error.filename2 is not None:
        return ResourceError(
            "the file cannot be replaced, for it is open in another program or protected; everything is as it was",
            file=path,
            remedy="Close it there and start again",
        )
    if os.name == "nt" and len(str(path)) + TEMPORARY_CHARACTERS >= WINDOWS_CHARACTERS:
        return ResourceError(
            "cannot write: the path is longer than Windows allows",
            file=path,
            remedy="Choose a folder with a shorter path, or enable long paths in Windows",
        )
    return ResourceError(
        f"cannot write ({error.strerror or error})", file=path, remedy="Check permissions and free disk space"
    )
