"""Does an NRRD file hold what its header promises, and what does the header say that ITK does not act on?

ITK's NRRD reader does not compare the gzip checksum, so a flipped byte passes; it gives an axis whose spacing is not
stated a spacing of 1 mm; it reads lengths in any unit as millimetres, and opens whatever file a header names. Format:
https://teem.sourceforge.net/nrrd/format.html. Names of fields are read in any case, as by teem.
"""

from __future__ import annotations

import gzip
import math
import re
import zlib
from pathlib import Path

from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.runtime.header.data_file import NO_ORIENTATION, DataClaim, data_files, total_bytes
from MultiTaskSegLib.runtime.header.length_unit import millimetres_per
from MultiTaskSegLib.runtime.image.nifti_integrity import MAX_VOXELS

_MAX_HEADER_BYTES = 1 << 20
_MAX_SURPLUS_BYTES = 1 << 16
_CHUNK_BYTES = 1 << 22
_LARGEST_VOXEL_BYTES = 8
_EXPORT_AGAIN = "Export or download the file again"
_LINE_END = re.compile(r"\r\n|\n|\r")
# Kinds of axes along which an image extends; all others hold the parts of one value (format, section 5).
_DOMAIN_KINDS = ("domain", "space", "time", "???", "none")

Fields = dict[str, str]


def check_nrrd(path: Path) -> DataClaim:
    """Check header and compressed data.

    Raises:
        InputError: not an NRRD file, an axis without direction or spacing, an unknown unit, damaged gzip data, or data
            outside the header's folder or in what is no ordinary file.
    """
    with path.open("rb") as file:
        head = file.read(_MAX_HEADER_BYTES)
    if not head.startswith(b"NRRD0"):
        raise InputError("this is not an NRRD file", file=path, remedy=_EXPORT_AGAIN)
    end = re.search(rb"\r?\n\r?\n|\r\r", head)
    lines = _LINE_END.split((head[: end.start()] if end else head).decode("utf-8", "surrogateescape"))
    fields = _fields(lines)
    axes = _domain_axes(fields)
    _check_directions(fields, path)
    _check_spacings(fields, axes, path)
    name = fields.get("data file", fields.get("datafile"))
    if name is None and end is None:
        raise InputError("the NRRD header has no end", file=path, remedy=_EXPORT_AGAIN)
    files = [path] if name is None else data_files(path, name, _lines_after_data_file(lines))
    if fields.get("encoding", "").lower() in ("gzip", "gz") and "line skip" not in fields:
        for data in files:
            _check_gzip(data, end.end() if end and name is None else 0, _most_bytes(fields))
    has_size = "space directions" in fields or "spacings" in fields
    return DataClaim(
        total_bytes(files), millimetres_per(_units(fields, axes), path), has_size, _orientation_notes(fields)
    )


def _orientation_notes(fields: Fields) -> tuple[str, ...]:
    """Words where the axes have no directions, or directions in a space that is not that of a body."""
    space = fields.get("space", "").lower()
    is_body = space.startswith(("right-anterior", "left-anterior", "left-posterior", "ras", "las", "lps"))
    return () if is_body and "space directions" in fields else (NO_ORIENTATION,)


def _fields(lines: list[str]) -> Fields:
    pairs = (line.split(":", 1) for line in lines if re.match(r"[A-Za-z ]+:[^=]", line))
    return {key.lower(): value.strip() for key, value in pairs}


def _lines_after_data_file(lines: list[str]) -> list[str]:
    place = next(n for n, line in enumerate(lines) if re.match(r"data ?file:", line, re.IGNORECASE))
    return lines[place + 1 :]


def _domain_axes(fields: Fields) -> list[int] | None:
    """The axes along which the image extends; None where the header does not tell."""
    if "kinds" not in fields:
        return None
    return [axis for axis, kind in enumerate(fields["kinds"].lower().split()) if kind in _DOMAIN_KINDS]


def _check_directions(fields: Fields, path: Path) -> None:
    if "space directions" not in fields:
        return
    axes = re.findall(r"none|\([^)]*\)", fields["space directions"].lower())
    missing = sum(axis == "none" or "nan" in axis for axis in axes)
    # Beyond three axes, those of vectors or frames have no direction by definition.
    if missing > max(0, len(axes) - 3):
        raise InputError(
            "an axis of the image has no direction, so its spacing is unknown",
            file=path,
            remedy="Correct 'space directions' in the header",
        )


def _check_spacings(fields: Fields, axes: list[int] | None, path: Path) -> None:
    remedy = "Correct 'spacings' in the header"
    if "spacings" not in fields:
        # Limits of the axes give a spacing, too, but only together with their centering; ITK reads 1 mm.
        if "space directions" not in fields and re.search(r"axis ?m(?:in|ax)s", " ".join(fields)):
            raise InputError("the header gives limits of the axes instead of spacings", file=path, remedy=remedy)
        return
    spacings = _along(fields["spacings"].split(), axes)
    for spacing in map(_number, spacings):
        if not spacing > 0:
            what = "not stated" if math.isnan(spacing) else f"{spacing:g}"
            raise InputError(f"the spacing along an axis of the image is {what}", file=path, remedy=remedy)


def _along(values: list[str], axes: list[int] | None) -> list[str]:
    """Of values for all axes, those of the first three along which the image extends."""
    places = range(len(values)) if axes is None else axes
    return [values[axis] for axis in places if axis < len(values)][:3]


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _units(fields: Fields, axes: list[int] | None) -> list[str]:
    """Of the space where there is one, else of the axes."""
    text = fields.get("space units", fields.get("units", ""))
    words = [quoted or bare for quoted, bare in re.findall(r'"([^"]*)"|([^\s"]+)', text)]
    return words[:3] if "space units" in fields else _along(words, axes)


def _most_bytes(fields: Fields) -> int:
    """How many bytes the decompressed data can have at most, with the bytes of it that are skipped at its beginning."""
    sizes = [int(word) for word in fields.get("sizes", "").split() if word.isdigit()]
    skip = re.fullmatch(r"\d{1,12}", fields.get("byte skip", ""))
    return (
        min(math.prod(sizes), MAX_VOXELS) * _LARGEST_VOXEL_BYTES
        + (int(skip.group()) if skip else 0)
        + _MAX_SURPLUS_BYTES
    )


def _check_gzip(data: Path, start: int, most_bytes: int) -> None:
    """Read all of it, which compares the checksum; a small file can hold terabytes of zeros."""
    done = 0
    try:
        with data.open("rb") as file:
            file.seek(start)
            with gzip.GzipFile(fileobj=file) as stream:
                while (count := len(stream.read(_CHUNK_BYTES))) and done <= most_bytes:
                    done += count
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(
            f"the compressed data is truncated or damaged ({error})", file=data, remedy=_EXPORT_AGAIN
        ) from error
    if done > most_bytes:
        raise InputError("the file holds more voxels than its header says", file=data, remedy=_EXPORT_AGAIN)
