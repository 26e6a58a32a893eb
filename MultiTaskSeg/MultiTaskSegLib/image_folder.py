"""Which images a folder holds, and where their results go. No torch here."""

from __future__ import annotations

import itertools
import os
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.runtime.header.dicom_element import looks_like_dicom

DICOM_ENDING = ".dcm"  # slices of a volume, not volumes: they count by folder


def image_paths(folder: str | Path) -> list[Path]:
    """Image files of a folder by name, and the DICOM folders that it holds, at any depth, or is.

    Raises:
        InputError: there is no such folder, it cannot be read, or it holds no image.
    """
    from MultiTaskSegLib.runtime.image.image_file import image_ending  # SimpleITK, which takes a moment to load

    folder = Path(folder)
    if not folder.is_dir():
        raise InputError("there is no such folder", file=folder, remedy="Choose a folder with images")
    try:
        entries = sorted(_seen(folder), key=lambda entry: entry.name.lower())
        found = [place for place in _folders(folder) if _holds_dicom(place)]
        found += [entry for entry in entries if entry.is_file() and image_ending(entry) not in ("", DICOM_ENDING)]
    except OSError as error:
        raise InputError(f"the folder cannot be read ({error.strerror})", file=folder, remedy="Check it") from error
    if not found:
        raise InputError("there is no image in this folder", file=folder, remedy="Choose a folder with images")
    return sorted(found, key=lambda entry: entry.name.lower())


def output_folders(images: Sequence[Path], output: str | Path) -> list[Path]:
    """One folder in ``output`` per image, no two of them alike on any file system.

    It is named like the image without its ending; with its ending, or with the image's own folder before it, where
    several would be alike; with a number where that does not help either.

    >>> [path.as_posix() for path in output_folders([Path("sub-01/ct"), Path("sub-02/ct"), Path("sub-02/t1")], "out")]
    ['out/sub-01_ct', 'out/sub-02_ct', 'out/t1']
    """
    levels = list(zip(*(_names(image) for image in images), strict=True))
    counts = [Counter(map(_folded, names)) for names in levels]
    taken: set[str] = set()
    folders = []
    for names in zip(*levels, strict=True):
        alone = [name for count, name in zip(counts, names, strict=True) if count[_folded(name)] == 1]
        folders.append(Path(output) / _free_name([*alone, names[-1]], taken))
    return folders


def _names(image: Path) -> list[str]:
    """What the folder of an image may be called, the shortest first."""
    from MultiTaskSegLib.runtime.image.image_file import image_ending

    ending = "" if image.is_dir() else image_ending(image)
    stem, folder = image.name[: len(image.name) - len(ending)], image.resolve().parent.name
    return [stem, image.name, f"{folder}_{stem}", f"{folder}_{image.name}"]


def _folded(name: str) -> str:
    """The same for names that some file system takes for one: of other case, or with accents stored otherwise."""
    return unicodedata.normalize("NFC", name).casefold()


def _free_name(wanted: Sequence[str], taken: set[str]) -> str:
    """The first of the names that is not taken yet, else the last one with a number; it is taken from now on."""
    numbered = (f"{wanted[-1]}_{number}" for number in itertools.count(2))
    name = next(name for name in itertools.chain(wanted, numbered) if _folded(name) not in taken)
    taken.add(_folded(name))
    return name


def _seen(folder: Path) -> list[Path]:
    """What a folder holds, without what systems hide in it (``.DS_Store``, ``._scan.nii.gz``)."""
    return [entry for entry in folder.iterdir() if not entry.name.startswith(".")]


def _folders(folder: Path) -> Iterator[Path]:
    """A folder and those in it at any depth, without hidden ones; links to folders could lead round in a circle."""

    def refuse(error: OSError) -> None:
        """A folder that cannot be read may hold images: it is not passed over."""
        raise error

    for place, names, _ in os.walk(folder, onerror=refuse):
        names[:] = sorted(name for name in names if not name.startswith("."))
        yield Path(place)


def _holds_dicom(folder: Path) -> bool:
    """Whether a file directly in a folder is DICOM; other files may lie beside. The first one found is enough."""
    from MultiTaskSegLib.runtime.image.image_file import image_ending

    files = sorted(entry for entry in _seen(folder) if entry.is_file())
    return any(looks_like_dicom(file) for file in files if image_ending(file) in ("", DICOM_ENDING))
