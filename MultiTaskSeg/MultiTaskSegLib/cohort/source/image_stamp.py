"""By what an image is known again in a later run: number, size and time of its files, else their bytes."""

from __future__ import annotations

import hashlib
from datetime import datetime, timezone
from pathlib import Path

from MultiTaskSegLib.cohort.source.case import Case
from MultiTaskSegLib.runtime.machine.result_record import digest_of


def image_stamp(case: Case) -> str:
    """The stamp of the files of a case, whole seconds of the latest change; copies that keep their times have the same.

    Raises:
        OSError: a file is not there.
    """
    # Of other formats in two files, such as MetaImage, the header alone is looked at.
    parts = [file.stat() for file in case.files or _files(case.image)]
    latest = max((int(part.st_mtime) for part in parts), default=0)
    changed = datetime.fromtimestamp(latest, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"{len(parts)} files, {sum(part.st_size for part in parts)} bytes, changed {changed}"


def image_digest(case: Case) -> str:
    """SHA-256 of the SHA-256 of each file, in the order of their names: the same wherever the files lie.

    Raises:
        OSError: a file cannot be read.
    """
    files = sorted(case.files or _files(case.image), key=lambda file: (file.name, str(file)))
    return hashlib.sha256("".join(map(digest_of, files)).encode("ascii")).hexdigest()


def _files(image: Path) -> list[Path]:
    return [entry for entry in image.iterdir() if entry.is_file()] if image.is_dir() else [image]
