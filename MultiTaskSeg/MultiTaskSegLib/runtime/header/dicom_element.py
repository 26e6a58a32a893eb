"""The data elements of a DICOM file up to its pixels, with the sequences that ITK leaves out of its metadata.

Encoding: PS3.5, sections 7 and 10 and annex A. Group and element are one number: ``0x00280008`` is (0028,0008).
"""

from __future__ import annotations

import io
import math
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Union

Value = Union[bytes, "list[Mapping[int, Value]]"]
Elements = Mapping[int, Value]
"""Values by tag: bytes, or the items of a sequence. Long values and everything from the pixels on are left out."""

DICOM_MARK_AT, DICOM_MARK = 128, b"DICM"
TRANSFER_SYNTAX = 0x00020010
_DEFLATED, _BIG_ENDIAN, _IMPLICIT = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2"
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_PIXELS = (0x7FE00008, 0x7FE00009, 0x7FE00010)
_LONG = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
# Without value representations a sequence of known length looks like any other value: those that are asked for.
_SEQUENCES = (
    0x00186011, 0x00209111, 0x00209113, 0x00209116, 0x00289110, 0x00289145, 0x52009229, 0x52009230,
)  # fmt: skip
_UNDEFINED = 0xFFFFFFFF
_MAX_VALUE_BYTES = 1 << 16
_MAX_INFLATED_BYTES = 1 << 26
_MAX_DEPTH = 8


@dataclass(frozen=True)
class _Encoding:
    """Byte order as for `struct`, and whether elements say of what kind they are."""

    order: str
    is_explicit: bool


def looks_like_dicom(path: Path) -> bool:
    """Whether a file begins as DICOM does, with or without the preamble, from its first bytes.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as stream:
        head = stream.read(DICOM_MARK_AT + len(DICOM_MARK))
    if path.name.upper() == "DICOMDIR":
        return False
    if head[DICOM_MARK_AT:] == DICOM_MARK:
        return True
    if len(head) < 8:
        return False
    group, element, length = struct.unpack("<2HI", head[:8])
    # Without a preamble the first element says something of the file, or is one of the first of the image.
    is_first = group == 0x0002 or (group == 0x0008 and element <= 0x0018)
    return is_first and (head[4:6].isalpha() or length <= _MAX_VALUE_BYTES)


def read_elements(path: Path) -> Elements:
    """The elements of a file, those of its file meta information included.

    Raises:
        ValueError: the file is not DICOM, or damaged before its pixels.
        OSError: it cannot be read.
    """
    with path.open("rb") as stream:
        stream.seek(DICOM_MARK_AT)
        if stream.read(len(DICOM_MARK)) != DICOM_MARK:
            stream.seek(0)
            head = stream.read(6)
            stream.seek(0)
            return _elements(stream, _Encoding("<", head[4:6].isalpha()), None, 0)
        meta = _meta(stream)
        syntax = text_of(meta, TRANSFER_SYNTAX)
        if syntax == _DEFLATED:
            inflated = zlib.decompressobj(-zlib.MAX_WBITS)
            try:
                content = inflated.decompress(stream.read(), _MAX_INFLATED_BYTES)
            except zlib.error as error:
                raise ValueError(str(error)) from error
            return {**meta, **_elements(io.BytesIO(content), _Encoding("<", True), None, 0)}
        encoding = _Encoding(">" if syntax == _BIG_ENDIAN else "<", syntax != _IMPLICIT)
        return {**meta, **_elements(stream, encoding, None, 0)}


def text_of(elements: Elements, tag: int) -> str:
    """A value as text without padding; empty where it is absent."""
    value = elements.get(tag, b"")
    return value.decode("latin-1").strip(" \0") if isinstance(value, bytes) else ""


def numbers_of(elements: Elements, tag: int) -> list[float]:
    """The numbers of a decimal string, empty where they are absent or not all finite numbers."""
    try:
        values = [float(word) for word in text_of(elements, tag).split("\\")]
    except ValueError:
        return []
    return values if all(map(math.isfinite, values)) else []


def items_of(elements: Elements, tag: int) -> list[Elements]:
    """The items of a sequence; none where it is absent."""
    value = elements.get(tag, b"")
    return [] if isinstance(value, bytes) else list(value)


def first_item(elements: Elements, tag: int) -> Elements:
    """The first item of a sequence, without elements where it is absent."""
    return next(iter(items_of(elements, tag)), {})


def _meta(stream: BinaryIO) -> dict[int, Value]:
    """Group 0002, which is always explicit and little endian; the stream stands behind it afterwards."""
    found: dict[int, Value] = {}
    while True:
        start = stream.tell()
        head = stream.read(2)
        stream.seek(start)
        if head != b"\x02\x00":
            return found
        found |= _elements(stream, _Encoding("<", True), start + 1, 0)


def _elements(stream: BinaryIO, encoding: _Encoding, end: int | None, depth: int) -> dict[int, Value]:
    """Elements up to a place in the stream, the end of the item, the pixels, or the end of the file."""
    found: dict[int, Value] = {}
    while end is None or stream.tell() < end:
        head = stream.read(8)
        if len(head) < 8:
            return found
        tag = _tag(head, encoding)
        if tag == _ITEM_END or (tag in _PIXELS and depth == 0):
            return found
        if tag >> 16 == _ITEM >> 16:
            raise ValueError(f"an item at byte {stream.tell() - 8} belongs to no sequence")
        kind, length = _kind_and_length(stream, head, encoding)
        value = _value(stream, encoding, tag, kind, length, depth)
        if value is not None:
            found[tag] = value
    return found


def _tag(head: bytes, encoding: _Encoding) -> int:
    group, element = struct.unpack(encoding.order + "2H", head[:4])
    return int(group << 16 | element)


def _kind_and_length(stream: BinaryIO, head: bytes, encoding: _Encoding) -> tuple[bytes, int]:
    if not encoding.is_explicit:
        return b"", struct.unpack(encoding.order + "I", head[4:])[0]
    kind = head[4:6]
    if kind not in _LONG:
        return kind, struct.unpack(encoding.order + "H", head[6:])[0]
    return kind, struct.unpack(encoding.order + "I", _exactly(stream, 4))[0]


def _value(
    stream: BinaryIO, encoding: _Encoding, tag: int, kind: bytes, length: int, depth: int
) -> Value | None:  # fmt: skip
    is_sequence = kind == b"SQ" or (not kind and tag in _SEQUENCES)
    if length == _UNDEFINED and kind in (b"OB", b"OW"):
        _pass_over_fragments(stream, encoding)
        return None
    if is_sequence or length == _UNDEFINED:
        inner = _Encoding("<", False) if kind == b"UN" else encoding  # PS3.5, 6.2.2, note 4
        return _items(stream, inner, length, depth + 1)
    if length > _MAX_VALUE_BYTES:
        stream.seek(length, 1)
        return None
    return _exactly(stream, length)


def _items(stream: BinaryIO, encoding: _Encoding, length: int, depth: int) -> list[Elements]:
    if depth > _MAX_DEPTH:
        raise ValueError("sequences lie too deep in each other")
    end = None if length == _UNDEFINED else stream.tell() + length
    items: list[Elements] = []
    while end is None or stream.tell() < end:
        head = _exactly(stream, 8)
        tag, size = _tag(head, encoding), struct.unpack(encoding.order + "I", head[4:])[0]
        if tag == _SEQUENCE_END:
            break
        if tag != _ITEM:
            raise ValueError(f"a sequence holds no item at byte {stream.tell() - 8}")
        items.append(_elements(stream, encoding, None if size == _UNDEFINED else stream.tell() + size, depth))
    return items


def _pass_over_fragments(stream: BinaryIO, encoding: _Encoding) -> None:
    while True:
        head = _exactly(stream, 8)
        if _tag(head, encoding) == _SEQUENCE_END:
            return
        stream.seek(struct.unpack(encoding.order + "I", head[4:])[0], 1)


def _exactly(stream: BinaryIO, count: int) -> bytes:
    data = stream.read(count)
    if len(data) < count:
        raise ValueError("the file ends inside an element")
    return data
