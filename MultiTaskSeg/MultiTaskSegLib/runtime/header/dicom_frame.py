"""Where the frames of one DICOM file lie: slices of a volume, or pictures of a film.

Functional groups: PS3.3, C.7.6.16. Without them the frame increment pointer says what changes from frame to frame
(C.7.6.6): the slice of a nuclear medicine image (C.8.4.8) or the offset of a plane of dose (C.8.8.3).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.header.dicom_element import (
    TRANSFER_SYNTAX,
    Elements,
    first_item,
    items_of,
    numbers_of,
    text_of,
)

SHARED_GROUPS, FRAME_GROUPS = 0x52009229, 0x52009230
PLANE_POSITION, PLANE_ORIENTATION, PIXEL_MEASURES, VALUE_TRANSFORMATION = 0x00209113, 0x00209116, 0x00289110, 0x00289145
POSITION, ORIENTATION, PIXEL_SPACING, THICKNESS = 0x00200032, 0x00200037, 0x00280030, 0x00180050
INTERCEPT, SLOPE = 0x00281052, 0x00281053
NUMBER_OF_FRAMES = 0x00280008
INCREMENT_POINTER, FRAME_TIME, FRAME_TIME_VECTOR = 0x00280009, 0x00181063, 0x00181065
SLICE_VECTOR, GRID_OFFSETS = 0x00540080, 0x3004000C
_BIG_ENDIAN = "1.2.840.10008.1.2.2"
_TOLERANCE = 1e-3


@dataclass(frozen=True)
class FramePlaces:
    """Frames with a place each.

    Attributes:
        origins_mm: ``(n, 3)``, centre of the first pixel of each frame, LPS.
        in_plane: ``(3, 2)``, steps to the next column and to the next row in LPS millimetres, of all frames.
        thickness_mm: of a slice; None where it is not stated.
    """

    origins_mm: NDArray[np.float64]
    in_plane: NDArray[np.float64]
    thickness_mm: float | None


def frame_places(elements: Elements) -> FramePlaces | None:
    """Where the frames lie; None where the file gives them no places.

    Raises:
        ValueError: in words, why the frames are no slices of one volume: other orientations, pixel sizes or scales.
    """
    frames = list(_groups(elements))
    origins = [numbers_of(frame[PLANE_POSITION], POSITION) for frame in frames]
    cosines = [numbers_of(frame[PLANE_ORIENTATION], ORIENTATION) for frame in frames]
    sizes_mm = [numbers_of(frame[PIXEL_MEASURES], PIXEL_SPACING) for frame in frames]
    lengths = [{len(row) for row in rows} for rows in (origins, cosines, sizes_mm)]
    if lengths != [{3}, {6}, {2}]:
        return None
    if np.ptp(np.array(cosines), axis=0).max() > _TOLERANCE:
        raise ValueError("its frames have different orientations")
    if np.ptp(np.array(sizes_mm), axis=0).max() > _TOLERANCE:
        raise ValueError("its frames have different pixel spacings")
    if min(sizes_mm[0]) <= 0:
        raise ValueError("its frames have no positive pixel spacing")
    scales = [tuple(numbers_of(frame[VALUE_TRANSFORMATION], tag) for tag in (SLOPE, INTERCEPT)) for frame in frames]
    if any(one != other for one, other in pairwise(scales)):
        raise ValueError("the values of its frames are scaled differently")
    row_mm, column_mm = sizes_mm[0]
    in_plane = np.array(cosines[0]).reshape(2, 3).T * [column_mm, row_mm]
    thickness = numbers_of(frames[0][PIXEL_MEASURES], THICKNESS)
    return FramePlaces(np.array(origins), in_plane, thickness[0] if thickness and thickness[0] > 0 else None)


def plane_offsets_mm(elements: Elements) -> list[float]:
    """Offsets of planes of dose along the normal, from the first; none where the file has no such planes."""
    offsets = numbers_of(elements, GRID_OFFSETS)
    return [offset - offsets[0] for offset in offsets]


def are_nuclear_slices(elements: Elements, count: int) -> bool:
    """Whether so many frames are the slices 1, 2, 3 ... of one nuclear medicine volume."""
    value = elements.get(SLICE_VECTOR, b"")
    order = _order(elements)
    if not isinstance(value, bytes) or len(value) != 2 * count or SLICE_VECTOR not in _pointed(elements):
        return False
    return struct.unpack(f"{order}{count}H", value) == tuple(range(1, count + 1))


def what_changes(elements: Elements) -> str:
    """What a file says of frames without places, in words."""
    time_ms = numbers_of(elements, FRAME_TIME)
    if time_ms:
        return f"frames over time, {time_ms[0]:g} ms apart"
    if FRAME_TIME_VECTOR in elements or FRAME_TIME_VECTOR in _pointed(elements):
        return "frames over time"
    return "frames, of which it does not say where they lie"


def _groups(elements: Elements) -> Iterator[Mapping[int, Elements]]:
    """Of each frame, the first item of the groups that are looked at: its own, or that of all frames."""
    shared = first_item(elements, SHARED_GROUPS)
    for own in items_of(elements, FRAME_GROUPS):
        yield {
            tag: first_item(own, tag) or first_item(shared, tag)
            for tag in (PLANE_POSITION, PLANE_ORIENTATION, PIXEL_MEASURES, VALUE_TRANSFORMATION)
        }


def _pointed(elements: Elements) -> list[int]:
    value = elements.get(INCREMENT_POINTER, b"")
    if not isinstance(value, bytes) or len(value) % 4:
        return []
    words = struct.unpack(f"{_order(elements)}{len(value) // 2}H", value)
    return [group << 16 | element for group, element in zip(words[::2], words[1::2], strict=True)]


def _order(elements: Elements) -> str:
    return ">" if text_of(elements, TRANSFER_SYNTAX) == _BIG_ENDIAN else "<"
