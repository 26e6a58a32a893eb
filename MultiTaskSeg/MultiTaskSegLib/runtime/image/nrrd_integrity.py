"""Does an NRRD file hold what its header promises?

ITK's NRRD reader does not compare the gzip checksum, so a flipped byte passes; and it gives an axis without direction
a spacing of 1 mm. Format: https://teem.sourceforge.net/nrrd/format.html.
"""

from __future__ import annotations

import gzip
import re
import zlib
from pathlib import Path

from MultiTaskSegLib.runtime.errors import InputError

_MAX_HEADER_BYTES = 1 << 20
_CHUNK_BYTES = 1 << 22
_EXPORT_AGAIN = "Export or download the file again"


def check_nrrd(path: Path) -> Path | None:
    """Check header and compressed data; return the data file where it is not `path` itself, None for a list of files.

    Raises:
        InputError: not an NRRD file, an axis without direction, or damaged gzip data.
    """
    with path.open("rb") as file:
        head = file.read(_MAX_HEADER_BYTES)
    if not head.startswith(b"NRRD0"):
        raise InputError("this is not an NRRD file", file=path, remedy=_EXPORT_AGAIN)
    end = re.search(rb"\r?\n\r?\n", head)
    fields = _fields(head[: end.start()] if end else head)
    _check_directions(fields, path)
    name = fields.get("data file", fields.get("datafile"))
    if name is None and end is None:
        raise InputError("the NRRD header has no end", file=path, remedy=_EXPORT_AGAIN)
    data, start = (path, end.end() if end else 0) if name is None else (path.parent / name, 0)
    if not data.is_file():
        return None
    if fields.get("encoding") in ("gzip", "gz") and "line skip" not in fields:
        _check_gzip(data, start + max(0, int(fields.get("byte skip", "0"))))
    return data


def _fields(header: bytes) -> dict[str, str]:
    pairs = (line.split(":", 1) for line in header.decode("latin-1").splitlines() if re.match(r"^[a-z ]+:[^=]", line))
    return {key.strip(): value.strip() for key, value in pairs}


def _check_directions(fields: dict[str, str], path: Path) -> None:
    if "space directions" not in fields:
        return
    axes = re.findall(r"none|\([^)]*\)", fields["space directions"])
    missing = sum(axis == "none" or "nan" in axis.lower() for axis in axes)
    # Beyond three axes, those of vectors or frames have no direction by definition.
    if missing > max(0, len(axes) - 3):
        raise InputError(
            "an axis of the image has no direction, so its spacing is unknown",
            file=path,
            remedy="Correct 'space directions' in the header",
        )


def _check_gzip(data: Path, start: int) -> None:
    try:
        with data.open("rb") as file:
            file.seek(start)
            with gzip.GzipFile(fileobj=file) as stream:
                while stream.read(_CHUNK_BYTES):
                    pass
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(
            f"the compressed data is truncated or damaged ({error})", file=data, remedy=_EXPORT_AGAIN
        ) from error
