"""Which images a folder holds, and where their results go. No torch here."""

from __future__ import annotations

import itertools
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from MultiTaskSegLib.runtime.errors import InputError

DICOM_ENDING = ".dcm"  # slices of a volume, not volumes: they count by folder
DICOM_MARK_AT = 128
DICOM_MARK = b"DICM"


def image_paths(folder: str | Path) -> list[Path]:
    """Image files of a folder by name, and the DICOM folders that it holds or is.

    Raises:
        InputError: there is no such folder, it cannot be read, or it holds no image.
    """
    from MultiTaskSegLib.runtime.image.image_file import image_ending  # SimpleITK, which takes a moment to load

    folder = Path(folder)
    if not folder.is_dir():
        raise InputError("there is no such folder", file=folder, remedy="Choose a folder with images")
    try:
        entries = sorted(_seen(folder), key=lambda entry: entry.name.lower())
        found = [entry for entry in entries if entry.is_dir() and _holds_dicom(entry)]
        found += [entry for entry in entries if entry.is_file() and image_ending(entry) not in ("", DICOM_ENDING)]
        if _holds_dicom(folder):
            found.append(folder)
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


def _holds_dicom(folder: Path) -> bool:
    """Whether the first file of a folder is a DICOM file: looking into all would be slow on a network drive."""
    first = min((entry for entry in _seen(folder) if entry.is_file()), default=None)
    if first is None:
        return False
    with first.open("rb") as stream:
        return stream.read(DICOM_MARK_AT + len(DICOM_MARK))[DICOM_MARK_AT:] == DICOM_MARK
