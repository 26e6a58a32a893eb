"""Who made a segment, as DICOM says it: Slicer's export of DICOM SEG writes segments without these tags as MANUAL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import slicer

from MultiTaskSegLib import __version__

TYPE_TAG, NAME_TAG = "DICOM.SegmentAlgorithmType", "DICOM.SegmentAlgorithmName"
AUTOMATIC, SEMIAUTOMATIC = "AUTOMATIC", "SEMIAUTOMATIC"
"""Made without a hand, and made by a program that somebody directs or corrects: Segment Algorithm Type (0062,0008)."""
LONGEST_NAME = 64
"""Characters of a Segment Algorithm Name (0062,0009), whose representation is LO."""


def tag_algorithm(segment: slicer.vtkSegment, kind: str, report: Mapping[str, Any]) -> None:
    """Say on a segment which program and model made it.

    Args:
        segment: gets two tags, which Slicer saves with it and exports.
        kind: ``AUTOMATIC`` or ``SEMIAUTOMATIC``.
        report: of the run; its model's name is told.
    """
    segment.SetTag(TYPE_TAG, kind)
    segment.SetTag(NAME_TAG, algorithm_name(str(report.get("model", {}).get("name", ""))))


def tag_correction(segment: slicer.vtkSegment, is_corrected: bool) -> None:
    """Say on a segment of a result whether somebody has corrected it; one that no program made is left as it is."""
    if has_algorithm(segment):
        segment.SetTag(TYPE_TAG, SEMIAUTOMATIC if is_corrected else AUTOMATIC)


def has_algorithm(segment: slicer.vtkSegment) -> bool:
    """Whether a program has said on a segment that it made it."""
    return bool(segment.HasTag(TYPE_TAG))


def algorithm_name(model: str) -> str:
    """Program, version and model in at most 64 characters without those that DICOM forbids in a long string."""
    allowed = "".join(letter for letter in model if letter.isprintable() and letter != "\\")
    return f"MultiTaskSeg {__version__} {allowed}"[:LONGEST_NAME].rstrip()
