"""Which images a folder holds. No torch here."""

from __future__ import annotations

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
        entries = sorted(folder.iterdir(), key=lambda entry: entry.name.lower())
        found = [entry for entry in entries if entry.is_dir() and _holds_dicom(entry)]
        found += [entry for entry in entries if entry.is_file() and image_ending(entry) not in ("", DICOM_ENDING)]
        if _holds_dicom(folder):
            found.append(folder)
    except OSError as error:
        raise InputError(f"the folder cannot be read ({error.strerror})", file=folder, remedy="Check it") from error
    if not found:
        raise InputError("there is no image in this folder", file=folder, remedy="Choose a folder with images")
    return sorted(found, key=lambda entry: entry.name.lower())


def output_folders(images: list[Path], output: str | Path) -> list[Path]:
    """One folder in ``output`` per image, named like it without its ending; like all of it where two would be alike."""
    from MultiTaskSegLib.runtime.image.image_file import image_ending

    stems = [
        image.name[: len(image.name) - len(image_ending(image))] if image.is_file() else image.name for image in images
    ]
    return [
        Path(output) / (stem if stems.count(stem) == 1 else image.name)
        for image, stem in zip(images, stems, strict=True)
    ]


def _holds_dicom(folder: Path) -> bool:
    """Whether the first file of a folder is a DICOM file: looking into all would be slow on a network drive."""
    first = min((entry for entry in folder.iterdir() if entry.is_file()), default=None)
    if first is None:
        return False
    with first.open("rb") as stream:
        return stream.read(DICOM_MARK_AT + len(DICOM_MARK))[DICOM_MARK_AT:] == DICOM_MARK
