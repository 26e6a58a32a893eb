"""What the header of a MetaImage says and ITK does not act on: where the data is, units, whether pixels have a size.

Format: https://itk.org/Wiki/ITK/MetaIO/Documentation. The header ends with ``ElementDataFile``.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.runtime.image.data_file import DataClaim, data_files, total_bytes
from MultiTaskSegLib.runtime.image.length_unit import millimetres_per

_MAX_HEADER_BYTES = 1 << 20
_LAST_KEY = b"ElementDataFile"
_LAST_LINE = re.compile(rb"^[ \t]*ElementDataFile[ \t]*[=:][ \t]*(.*?)[ \t\r]*$", re.MULTILINE)
_FIELD = re.compile(r"^\s*(\w+)\s*[=:]\s*(.*?)\s*$")


def check_meta(path: Path) -> DataClaim:
    """Check the header of a MetaImage before ITK opens whatever file it names.

    Raises:
        InputError: the header names no data, or data outside its folder or in what is no ordinary file; an unknown
            unit; intensities that are stored scaled, which ITK does not undo.
    """
    with path.open("rb") as file:
        head = file.read(_MAX_HEADER_BYTES)
    match = _LAST_LINE.search(head)
    if match is None or _LAST_KEY in head[: match.start()]:
        raise InputError(
            "the file cannot be read (its header does not say once where the data is)",
            file=path,
            remedy="Export or download the file again",
        )
    lines = head[: match.start()].decode("utf-8", "replace").split("\n")
    fields = {found.group(1): found.group(2) for found in map(_FIELD.match, lines) if found}
    _require_plain_intensities(fields, path)
    return DataClaim(
        _data_bytes(path, match, head),
        millimetres_per([fields.get("DistanceUnits", "")], path),
        "ElementSpacing" in fields or "ElementSize" in fields,
    )


def _data_bytes(path: Path, match: re.Match[bytes], head: bytes) -> int:
    declared = os.fsdecode(match.group(1))
    if declared in ("LOCAL", "Local", "local"):
        return path.stat().st_size
    return total_bytes(data_files(path, declared, os.fsdecode(head[match.end() :]).split("\n")))


def _require_plain_intensities(fields: dict[str, str], path: Path) -> None:
    for key, plain in (("ElementToIntensityFunctionSlope", 1.0), ("ElementToIntensityFunctionOffset", 0.0)):
        try:
            is_plain = float(fields.get(key, plain)) == plain
        except ValueError:
            is_plain = False
        if not is_plain:
            raise InputError(
                f"the intensities are stored scaled ({key} = {fields[key]}), which is not undone",
                file=path,
                remedy="Save the image with its intensities as they are",
            )
