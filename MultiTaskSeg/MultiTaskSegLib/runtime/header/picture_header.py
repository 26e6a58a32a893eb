"""What PNG and JPEG files say beside their pixels: how a viewer turns them.

Exif: CIPA DC-008, tag 0x0112. PNG: https://www.w3.org/TR/png-3, chunk ``eXIf``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

_PNG_MARK = b"\x89PNG\r\n\x1a\n"
_EXIF_MARK = b"Exif\0\0"
_ORIENTATION = 0x0112
_MAX_SEGMENTS = 1000
# By orientation 1 to 8, where the stored columns (x) and rows (y) run in the picture that a viewer shows.
_COLUMNS_TO = ((1, 0), (-1, 0), (-1, 0), (1, 0), (0, 1), (0, 1), (0, -1), (0, -1))
_ROWS_TO = ((0, 1), (0, 1), (0, -1), (0, -1), (1, 0), (-1, 0), (-1, 0), (1, 0))


def viewer_orientation(path: Path) -> int:
    """The Exif orientation of a PNG or JPEG file, 1 to 8; 1 (as stored) where it states none."""
    with path.open("rb") as stream:
        for name, data in _segments(stream):
            found = _exif_orientation(data) if name == b"eXIf" else 0
            if 1 <= found <= 8:
                return found
    return 1


def turning_matrix(orientation: int, columns: int, rows: int) -> NDArray[np.float64]:
    """``(4, 4)``, stored index ``(i, j, k, 1)`` to the place in the picture that a viewer shows, in pixels."""
    matrix = np.eye(4)
    matrix[:2, 0], matrix[:2, 1] = _COLUMNS_TO[orientation - 1], _ROWS_TO[orientation - 1]
    # An axis that runs backwards starts at the far end.
    last = np.minimum(matrix[:2, 0], 0) * (columns - 1) + np.minimum(matrix[:2, 1], 0) * (rows - 1)
    matrix[:2, 3] = -last
    return matrix


def _segments(stream: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """Chunks of a PNG file before its pixels; the Exif segments of a JPEG file under the name that PNG gives them."""
    head = stream.read(8)
    if head == _PNG_MARK:
        yield from _png_chunks(stream)
    elif head[:2] == b"\xff\xd8":
        stream.seek(2)
        yield from _jpeg_exif(stream)


def _png_chunks(stream: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    for _ in range(_MAX_SEGMENTS):
        head = stream.read(8)
        if len(head) < 8 or head[4:] == b"IEND":
            return
        length = struct.unpack(">I", head[:4])[0]
        # eXIf may stand behind the pixels.
        data = stream.read(length) if head[4:] == b"eXIf" else b""
        stream.seek(length - len(data) + 4, 1)
        yield head[4:], data


def _jpeg_exif(stream: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    for _ in range(_MAX_SEGMENTS):
        head = stream.read(4)
        # 0xDA starts the pixels; anything but a marker is damage, which the decoder reports.
        if len(head) < 4 or head[0] != 0xFF or head[1] == 0xDA:
            return
        length = struct.unpack(">H", head[2:])[0] - 2
        if length < 0:
            return
        data = stream.read(length)
        if head[1] == 0xE1 and data.startswith(_EXIF_MARK):
            yield b"eXIf", data[len(_EXIF_MARK) :]


def _exif_orientation(tiff: bytes) -> int:
    """The orientation in a TIFF structure; 0 where there is none, or where it is damaged."""
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None or len(tiff) < 8:
        return 0
    try:
        start = struct.unpack_from(order + "I", tiff, 4)[0]
        for number in range(struct.unpack_from(order + "H", tiff, start)[0]):
            tag, _, _, value = struct.unpack_from(order + "HHIH", tiff, start + 2 + 12 * number)
            if tag == _ORIENTATION:
                return int(value)
    except struct.error:
        return 0
    return 0
