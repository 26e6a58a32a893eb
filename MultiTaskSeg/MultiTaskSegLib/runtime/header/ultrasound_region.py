"""The size of pixels in an ultrasound picture: it stands in its regions, which ITK ignores (PS3.3, C.8.5.5)."""

from __future__ import annotations

import math
import struct

from MultiTaskSegLib.runtime.header.dicom_element import TRANSFER_SYNTAX, Elements, items_of, text_of

REGIONS = 0x00186011
SPATIAL_FORMAT, UNITS_X, UNITS_Y, DELTA_X, DELTA_Y = 0x00186012, 0x00186024, 0x00186026, 0x0018602C, 0x0018602E
_TWO_DIMENSIONAL, _CENTIMETRES = 1, 3
_MM_PER_CM = 10.0
_TOLERANCE = 1e-3


def region_pixel_mm(elements: Elements) -> tuple[float, float] | None:
    """Pixel size of rows (y) and of columns (x) in millimetres, where all 2-D regions in centimetres have the same."""
    order = ">" if text_of(elements, TRANSFER_SYNTAX) == "1.2.840.10008.1.2.2" else "<"
    sizes = [
        (_millimetres(region, DELTA_Y, order), _millimetres(region, DELTA_X, order))
        for region in items_of(elements, REGIONS)
        if _number(region, SPATIAL_FORMAT, order + "H") == _TWO_DIMENSIONAL
        and {_number(region, tag, order + "H") for tag in (UNITS_X, UNITS_Y)} == {_CENTIMETRES}
    ]
    if not sizes or not all(0 < size < math.inf for pair in sizes for size in pair):
        return None
    (rows_mm, columns_mm), *others = sizes
    is_same = all(
        math.isclose(y, rows_mm, rel_tol=_TOLERANCE) and math.isclose(x, columns_mm, rel_tol=_TOLERANCE)
        for y, x in others
    )
    return (rows_mm, columns_mm) if is_same else None


def _millimetres(region: Elements, tag: int, order: str) -> float:
    return _MM_PER_CM * abs(_number(region, tag, order + "d"))


def _number(elements: Elements, tag: int, form: str) -> float:
    """One binary number, 0 where it is absent."""
    value = elements.get(tag, b"")
    if not isinstance(value, bytes) or len(value) != struct.calcsize(form):
        return 0.0
    return float(struct.unpack(form, value)[0])
