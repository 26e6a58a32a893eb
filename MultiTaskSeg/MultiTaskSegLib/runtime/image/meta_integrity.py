"""What the header of a MetaImage says and ITK does not act on: where the data is, units, whether pixels have a size.

Format: https://itk.org/Wiki/ITK/MetaIO/Documentation. The header ends with ``ElementDataFile``.
"""

from __future__ import annotations

import math
import os
import re
from pathlib import Path

from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.runtime.header.data_file import NO_ORIENTATION, DataClaim, data_files, total_bytes
from MultiTaskSegLib.runtime.header.length_unit import millimetres_per
from MultiTaskSegLib.runtime.image.nifti_integrity import MAX_DEFLATE_RATIO

_MAX_HEADER_BYTES = 1 << 20
_LAST_KEY = b"ElementDataFile"
_LAST_LINE = re.compile(rb"^[ \t]*ElementDataFile[ \t]*[=:][ \t]*(.*?)[ \t\r]*$", re.MULTILINE)
_ORIENTATIONS = {"TransformMatrix", "Orientation", "Rotation"}
_ELEMENT_BYTES = {
    "MET_CHAR": 1, "MET_UCHAR": 1, "MET_SHORT": 2, "MET_USHORT": 2, "MET_INT": 4, "MET_UINT": 4, "MET_LONG": 4,
    "MET_ULONG": 4, "MET_LONG_LONG": 8, "MET_ULONG_LONG": 8, "MET_FLOAT": 4, "MET_DOUBLE": 8,
}  # fmt: skip
_FIELD = re.compile(r"^\s*(\w+)\s*[=:]\s*(.*?)\s*$")


def check_meta(path: Path) -> DataClaim:
    """Check the header of a MetaImage before ITK opens whatever file it names.

    Raises:
        InputError: the data is cut off; the header names none, or data outside its folder or in what is no ordinary
            file; an unknown unit; intensities that are stored scaled, which ITK does not undo.
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
    data_bytes, is_local = _data_bytes(path, match, head)
    _require_all_data(fields, data_bytes - (match.end() + 1 if is_local else 0), path)
    return DataClaim(
        data_bytes,
        millimetres_per([fields.get("DistanceUnits", "")], path),
        "ElementSpacing" in fields or "ElementSize" in fields,
        () if _ORIENTATIONS & fields.keys() else (NO_ORIENTATION,),
    )


def _data_bytes(path: Path, match: re.Match[bytes], head: bytes) -> tuple[int, bool]:
    """Size of the file or files with the data, and whether the header is in it, too."""
    declared = os.fsdecode(match.group(1))
    if declared in ("LOCAL", "Local", "local"):
        return path.stat().st_size, True
    return total_bytes(data_files(path, declared, os.fsdecode(head[match.end() :]).split("\n"))), False


def _require_all_data(fields: dict[str, str], there: int, path: Path) -> None:
    """Refuse a file that ends before its voxels do; MetaIO reports it with whatever error the system had last."""
    if fields.get("CompressedData", "").lower() in ("true", "1"):
        stated = fields.get("CompressedDataSize", "")
        wanted = int(stated) if stated.isdigit() else 0
    else:
        sizes = [int(word) for word in fields.get("DimSize", "").split() if word.isdigit()]
        channels = fields.get("ElementNumberOfChannels", "1")
        voxel_bytes = _ELEMENT_BYTES.get(fields.get("ElementType", "").upper(), 0)
        wanted = math.prod(sizes) * voxel_bytes * (int(channels) if channels.isdigit() else 1) if sizes else 0
    # A claim beyond any compression is no cut file: the reader says so.
    if there < wanted <= path.stat().st_size * MAX_DEFLATE_RATIO * 8:
        raise InputError(
            f"the file is truncated: it holds {max(there, 0)} of {wanted} bytes of voxels",
            file=path,
            remedy="Export or download the file again",
        )


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
