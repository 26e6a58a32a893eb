"""Pixels as the bytes of a PNG file.

Slicer's Python has no library that writes one into memory but VTK, which the files below the scene do without.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

SIGNATURE = b"\x89PNG\r\n\x1a\n"
BITS, TRUE_COLOUR = 8, 2


def png(pixels: NDArray[np.uint8]) -> bytes:
    """A PNG file (W3C, Portable Network Graphics, third edition, sections 5 and 11) of ``(Y, X, 3)`` red, green, blue.

    Each line is stored as it is (filter 0, section 9.2).
    """
    height, width, _ = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, BITS, TRUE_COLOUR, 0, 0, 0)
    lines = np.pad(np.ascontiguousarray(pixels).reshape(height, -1), ((0, 0), (1, 0)))
    return SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(lines.tobytes())) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
