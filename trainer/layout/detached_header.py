"""Image files whose voxels are in other files: MetaImage ``.mhd`` and NRRD ``.nhdr``."""

from __future__ import annotations

import os
import re
from pathlib import Path

HEADER_BYTES = 1 << 16
# The field that names the data, by ending of the header.
DATA_FIELDS = {
    ".mhd": re.compile(rb"^ElementDataFile[ \t]*=[ \t]*([^\r\n]+?)[ \t]*\r?$", re.MULTILINE),
    ".nhdr": re.compile(rb"^data ?file:[ \t]*([^\r\n]+?)[ \t]*\r?$", re.MULTILINE | re.IGNORECASE),
}
INSIDE = "LOCAL"


def detached_data(path: Path) -> tuple[Path, ...]:
    """Files that hold the voxels of a header file; empty where header and voxels are one file or nothing is there.

    Lists of files and patterns of names are not resolved: every other file of the folder counts.
    """
    field = DATA_FIELDS.get(path.suffix.lower())
    if field is None or not path.is_file():
        return ()
    with path.open("rb") as stream:
        found = field.search(stream.read(HEADER_BYTES))
    name = os.fsdecode(found.group(1)) if found else INSIDE
    if name == INSIDE:
        return ()
    if (path.parent / name).is_file():
        return (path.parent / name,)
    return tuple(sorted(file for file in path.parent.iterdir() if file.is_file() and file != path))
