"""Grey PNG files with transparency: ITK makes pixels of two values of them and then reads neither.

https://www.w3.org/TR/png-3: rows are filtered by whole pixels, so that the bytes of grey and alpha are also those of
one value of twice the depth. Declared as such, they are read to the bit, in whatever filter or interlacing.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MARK = b"\x89PNG\r\n\x1a\n"
_GREY, _GREY_WITH_ALPHA, _COLOURS_WITH_ALPHA = 0, 4, 6
_OPAQUE = 255


@dataclass(frozen=True)
class TransparentGrey:
    """The same pixels as a file that ITK reads.

    Attributes:
        content: of that file.
        depth: bits of a grey value.
        transparent: the grey value that is declared transparent, as ITK gives it; None where there is an alpha channel.
    """

    content: bytes
    depth: int
    transparent: int | None

    def grey_and_alpha(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """What ITK read of `content`, ``(Z, Y, X)`` or ``(Z, Y, X, 4)``, as grey and alpha ``(Z, Y, X, 2)``."""
        if self.transparent is not None:
            return np.stack([pixels, np.where(pixels == self.transparent, 0, _OPAQUE)], -1)
        if self.depth == 8:
            return np.stack([pixels >> 8, pixels & 255], -1)
        high, low = pixels[..., 0::2].astype(np.uint16), pixels[..., 1::2]
        both: NDArray[np.uint16] = high << 8 | low
        return both


def transparent_grey(path: Path) -> TransparentGrey | None:
    """A grey PNG file with transparency in another way; None for any other picture."""
    with path.open("rb") as stream:
        if stream.read(8) != _MARK:
            return None
        chunks = list(_chunks(stream.read()))
    head = chunks[0][8:21] if chunks else b""
    if len(head) != 13:
        return None
    depth, kind = head[8:10]
    value = next((chunk[8:-4] for chunk in chunks if chunk[4:8] == b"tRNS"), b"")
    if kind == _GREY and len(value) == 2:
        # ITK spreads fewer than 8 bits over 0 to 255.
        spread = _OPAQUE // (2**depth - 1) if depth < 8 else 1
        transparent = struct.unpack(">H", value)[0] * spread
        return TransparentGrey(_file(chunks, depth, kind), depth, transparent)
    if kind != _GREY_WITH_ALPHA:
        return None
    declared = (16, _GREY) if depth == 8 else (8, _COLOURS_WITH_ALPHA)
    return TransparentGrey(_file(chunks, *declared), depth, None)


def _chunks(content: bytes) -> Iterator[bytes]:
    """Each with its length and checksum; the reader finds what is damaged or missing."""
    place = 0
    while place + 12 <= len(content):
        length = struct.unpack_from(">I", content, place)[0]
        yield content[place : place + length + 12]
        place += length + 12


def _file(chunks: Sequence[bytes], depth: int, kind: int) -> bytes:
    head = b"IHDR" + chunks[0][8:16] + bytes([depth, kind]) + chunks[0][18:21]
    pixels = [chunk for chunk in chunks[1:] if chunk[4:8] in (b"IDAT", b"IEND")]
    return b"".join([_MARK, struct.pack(">I", 13), head, struct.pack(">I", zlib.crc32(head)), *pixels])
