"""The user's own model files: which folder they lie in, by what names they are known, and how one comes into it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from glob import escape
from pathlib import Path

from MultiTaskSegLib.runtime.errors import Cancelled, ResourceError
from MultiTaskSegLib.runtime.machine.atomic_file import PREFIX, atomic_path
from MultiTaskSegLib.runtime.model.file_header import header_manifest

ENDING = ".mts.safetensors"
ANY_ENDING = ".safetensors"
VARIABLE = "MULTITASKSEG_MODELS"
COPIED_BYTES = 16 * 2**20  # at a time; in between it is seen whether anybody still wants the copy
NAME_BYTES = 200  # of 255 that systems take; a number, the ending and the name of the unfinished file need the others
FORBIDDEN = '<>:"/\\|?*'  # in names of files on one system or another


def model_folder(environment: Mapping[str, str] | None = None, platform: str = sys.platform) -> Path:
    """Where the user's models lie; it need not be there yet.

    The variable ``MULTITASKSEG_MODELS`` names it; by default it is one where the system keeps data of programs.

    Raises:
        ResourceError: the system does not say where the user's folder is.
    """
    known = os.environ if environment is None else environment
    if chosen := known.get(VARIABLE):
        try:
            return Path(chosen).expanduser().absolute()
        except RuntimeError as error:
            raise ResourceError(
                f"{VARIABLE} names the folder of a user who is not there", file=chosen, remedy="Set it to a folder"
            ) from error
    if platform == "win32" and known.get("LOCALAPPDATA"):
        return Path(known["LOCALAPPDATA"]) / "MultiTaskSeg" / "models"
    try:
        home = Path(known["HOME"]) if known.get("HOME") else Path.home()
    except RuntimeError as error:
        raise ResourceError("the system names no folder of the user", remedy=f"Set {VARIABLE} to a folder") from error
    if platform == "win32":
        return home / "AppData" / "Local" / "MultiTaskSeg" / "models"
    if platform == "darwin":
        return home / "Library" / "Application Support" / "MultiTaskSeg" / "models"
    data = known.get("XDG_DATA_HOME", "")
    # The standard says that a path that is not absolute is to be passed over.
    return (Path(data) if os.path.isabs(data) else home / ".local" / "share") / "MultiTaskSeg" / "models"


def user_models(folder: Path, taken: Collection[str] = ()) -> dict[str, Path]:
    """The model files of a folder by name; a name that is ``taken``, or that another file has, gets a number.

    Raises:
        ResourceError: the folder cannot be read.
    """
    try:
        # What a link leads to may be gone or barred: the list tells it, and the others must not be hidden with it.
        files = sorted(path for path in folder.iterdir() if path.name.endswith(ANY_ENDING) and not os.path.isdir(path))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise ResourceError(
            f"the folder of models cannot be read ({error.strerror})", file=folder, remedy=f"Set {VARIABLE} to another"
        ) from error
    found: dict[str, Path] = {}
    for path in files:
        if not path.name.startswith("."):  # such as a copy under way
            found[_free(model_name(path), {*taken, *found})] = path
    return found


def model_name(path: Path) -> str:
    """The name of a model file without its ending.

    >>> model_name(Path("heart.mts.safetensors"))
    'heart'
    """
    return path.name.removesuffix(ENDING) if path.name.endswith(ENDING) else path.name.removesuffix(ANY_ENDING)


def free_file(folder: Path, name: str, taken: Collection[str] = ()) -> Path:
    """Where a new model of that name goes: no file is there, and the list of models knows nobody by the name."""
    stem = "".join("_" if letter in FORBIDDEN or not letter.isprintable() else letter for letter in name).strip(" .")
    stem = stem.encode("utf-8", "replace")[:NAME_BYTES].decode("utf-8", "ignore").rstrip(" .")
    names = {*taken, *user_models(folder, taken)}
    return folder / f"{_free(stem or 'model', names)}{ENDING}"


def add_model_file(
    source: Path,
    folder: Path,
    taken: Collection[str] = (),
    tell: Callable[[float], object] = lambda _share: None,
    is_unwanted: Callable[[], bool] = lambda: False,
    settle: Callable[[], object] = lambda: None,
) -> Path:
    """Copy a model file into a folder, whole or not at all; where it is. One that lies there already stays.

    Args:
        source: the file.
        folder: where to, mostly `model_folder`.
        taken: names that the copy may not have.
        tell: told the share that is done.
        is_unwanted: asked from time to time whether to stop.
        settle: see `atomic_path`.

    Raises:
        ModelError: the file is no model, or cut off.
        ResourceError: it cannot be read or written.
        Cancelled: the copy is not wanted any more.
    """
    header_manifest(source)
    if source.resolve().parent == folder.resolve():
        return source
    path, done = free_file(folder, model_name(source), taken), 0
    try:
        whole = max(source.stat().st_size, 1)
        with source.open("rb") as original, atomic_path(path, settle) as temporary, temporary.open("wb") as copy:
            while block := original.read(COPIED_BYTES):
                if is_unwanted():
                    raise Cancelled("the copy was cancelled", file=source)
                copy.write(block)
                done += len(block)
                tell(done / whole)
    except OSError as error:
        raise ResourceError(f"the model file cannot be read ({error.strerror})", file=source) from error
    return path


def remove_leftovers(path: Path) -> None:
    """Remove what a program that was ended while it wrote ``path`` has left beside it."""
    for part in path.parent.glob(f"{PREFIX}*-{escape(path.name)}"):
        with suppress(OSError):
            part.unlink()


def _free(name: str, taken: Collection[str]) -> str:
    """The name, with a number where somebody has it; Windows and macOS do not tell names apart by case."""
    known = {other.casefold() for other in taken}
    number, free = 1, name
    while free.casefold() in known:
        number += 1
        free = f"{name}_{number}"
    return free
