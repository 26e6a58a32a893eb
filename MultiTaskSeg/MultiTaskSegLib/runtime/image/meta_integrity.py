"""What the header of a MetaImage says and ITK does not act on: where the data is, units, whether pixels have a size.

Format: https://itk.org/Wiki/ITK/MetaIO/Documentation. The header ends with ``ElementDataFile``.
"""

from __future__ import annotations

import math
import os
import re
import zlib
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
_MAX_SURPLUS_BYTES = 1024
_CHUNK_BYTES = 1 << 22
_ZLIB_OR_GZIP = 32 + zlib.MAX_WBITS
_AGAIN = "Export or download the file again"
_FIELD = re.compile(r"^\s*(\w+)\s*[=:]\s*(.*?)\s*$")


def check_meta(path: Path) -> DataClaim:
    """Check the header of a MetaImage before ITK opens whatever file it names.

    Raises:
        InputError: the data is cut off, damaged or longer than the header tells; the header names none, or data outside
            its folder or in what is no ordinary file; an unknown unit; intensities that are stored scaled, which ITK
            does not undo.
    """
    with path.open("rb") as file:
        head = file.read(_MAX_HEADER_BYTES)
    match = _LAST_LINE.search(head)
    if match is None or _LAST_KEY in head[: match.start()]:
        raise InputError(
            "the file cannot be read (its header does not say once where the data is)",
            file=path,
            remedy=_AGAIN,
        )
    lines = head[: match.start()].decode("utf-8", "replace").split("\n")
    fields = {found.group(1): found.group(2) for found in map(_FIELD.match, lines) if found}
    _require_plain_intensities(fields, path)
    declared = os.fsdecode(match.group(1))
    is_local = declared in ("LOCAL", "Local", "local")
    following = os.fsdecode(head[match.end() :]).split("\n")
    files = [path] if is_local else data_files(path, declared, following)
    data_bytes, start = total_bytes(files), match.end() + 1 if is_local else 0
    if _is_true(fields, "CompressedData"):
        _require_whole_stream(fields, files, start, path)
    else:
        _require_all_data(fields, data_bytes - start, is_local, path)
    return DataClaim(
        data_bytes,
        millimetres_per([fields.get("DistanceUnits", "")], path),
        "ElementSpacing" in fields or "ElementSize" in fields,
        () if _ORIENTATIONS & fields.keys() else (NO_ORIENTATION,),
    )


def _is_true(fields: dict[str, str], key: str, otherwise: str = "False") -> bool:
    return fields.get(key, otherwise).lower() in ("true", "1")


def _voxel_bytes(fields: dict[str, str]) -> int:
    """How many bytes the voxels take; 0 where the header does not tell."""
    sizes = [int(word) for word in fields.get("DimSize", "").split() if word.isdigit()]
    channels = fields.get("ElementNumberOfChannels", "1")
    one = _ELEMENT_BYTES.get(fields.get("ElementType", "").upper(), 0)
    return math.prod(sizes) * one * (int(channels) if channels.isdigit() else 1) if sizes else 0


def _require_all_data(fields: dict[str, str], there: int, is_local: bool, path: Path) -> None:
    """Refuse a file that ends before its voxels do, which MetaIO reports with whatever error the system had last, and
    one that holds more: it is not known where in it the voxels begin."""
    wanted = _voxel_bytes(fields)
    # A claim beyond any compression is no cut file: the reader says so.
    if there < wanted <= path.stat().st_size * MAX_DEFLATE_RATIO * 8:
        raise InputError(
            f"the file is truncated: it holds {max(there, 0)} of {wanted} bytes of voxels", file=path, remedy=_AGAIN
        )
    skipped = _number(fields.get("HeaderSize", "0"))
    is_text = not _is_true(fields, "BinaryData", "True")
    if wanted and skipped != -1 and not is_text and there - wanted > skipped + (_MAX_SURPLUS_BYTES if is_local else 0):
        raise InputError(
            f"the data holds {there} bytes, the header tells of {wanted}: it is not known where the voxels begin",
            file=path,
            remedy="Correct 'DimSize', 'ElementType' or 'HeaderSize' in the header",
        )


def _number(text: str) -> int:
    return int(text) if re.fullmatch(r"-?\d{1,12}", text) else 0


def _require_whole_stream(fields: dict[str, str], files: list[Path], start: int, path: Path) -> None:
    """Decompress all of it, which compares the checksum: MetaIO fills what is missing or damaged with whatever it has.

    Parts in several files are left to MetaIO.
    """
    if len(files) != 1:
        return
    wanted, done, stream = _voxel_bytes(fields), 0, zlib.decompressobj(_ZLIB_OR_GZIP)
    try:
        with files[0].open("rb") as file:
            file.seek(start)
            while not stream.eof and (chunk := stream.unconsumed_tail or file.read(_CHUNK_BYTES)):
                done += len(stream.decompress(chunk, _CHUNK_BYTES))
                if wanted and done > wanted:
                    break
    except zlib.error as error:
        raise InputError(f"the compressed data is damaged ({error})", file=path, remedy=_AGAIN) from error
    if not stream.eof and done <= wanted:
        what = f"the file is truncated: it holds {done} of {wanted} bytes of voxels"
        raise InputError(what, file=path, remedy=_AGAIN)
    if wanted and done != wanted:
        what = f"the compressed data holds {'more than ' if done > wanted else ''}{min(done, wanted)} bytes of voxels"
        raise InputError(f"{what}, the header tells of {wanted}", file=path, remedy=_AGAIN)


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
