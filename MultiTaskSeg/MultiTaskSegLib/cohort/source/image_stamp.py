"""By what an image is known again in a later run: names, sizes and times of its files, else their bytes."""

from __future__ import annotations

import hashlib
from pathlib import Path

from MultiTaskSegLib.cohort.source.case import Case
from MultiTaskSegLib.runtime.header.dicom_element import looks_like_dicom
from MultiTaskSegLib.runtime.machine.result_record import digest_of

_SHOWN = 16  # hexadecimal digits


def image_stamp(case: Case) -> str:
    """The stamp of the files of a case; times are whole seconds. Copies that keep names and times have the same.

    Times are not readable in it, as they may be those of the scan.

    Raises:
        OSError: a file is not there.
    """
    # Of other formats in two files, such as MetaImage, the header alone is looked at.
    parts = sorted((file.name, file.stat()) for file in case.files or _files(case.image))
    # Of every file, not of the last one alone: slices of a series are all of one size.
    told = "\n".join(f"{part.st_size} {int(part.st_mtime)} {name}" for name, part in parts)
    digest = hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()[:_SHOWN]
    return f"{len(parts)} files, {sum(part.st_size for _, part in parts)} bytes, {digest}"


def image_digest(case: Case) -> str:
    """SHA-256 of the SHA-256 of each file, in the order of their names: the same wherever the files lie.

    Of a folder its DICOM files count alone: those that programs put beside them when it is looked at do not.

    Raises:
        OSError: a file cannot be read.
    """
    found = case.files or _files(case.image)
    if case.image.is_dir() and not case.files:
        found = [file for file in found if looks_like_dicom(file)]
    files = sorted(found, key=lambda file: (file.name, str(file)))
    return hashlib.sha256("".join(map(digest_of, files)).encode("ascii")).hexdigest()


def _files(image: Path) -> list[Path]:
    if not image.is_dir():
        return [image]
    return [entry for entry in image.iterdir() if entry.is_file() and not entry.name.startswith(".")]
