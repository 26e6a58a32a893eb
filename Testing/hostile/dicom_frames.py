"""DICOM files of several frames made with pydicom: enhanced images with a place for each frame, and films."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import EnhancedMRImageStorage, UltrasoundMultiFrameImageStorage

from Testing.hostile.dicom_series import dicom_slice

PLACE = ("PixelSpacing", "SliceThickness", "ImageOrientationPatient", "ImagePositionPatient")


def item(**tags: Any) -> Dataset:
    """One item of a sequence."""
    data = Dataset()
    for keyword, value in tags.items():
        setattr(data, keyword, value)
    return data


def multi_frame(frames: np.ndarray, storage: str, **tags: Any) -> Dataset:
    """Frames uint16 ``(N, Y, X)`` without any place."""
    data = dicom_slice(frames[0], np.eye(4), 0, "1.2.3")
    for keyword in PLACE:
        delattr(data, keyword)
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = storage
    data.NumberOfFrames = len(frames)
    data.PixelData = np.ascontiguousarray(frames, dtype="<u2").tobytes()
    for keyword, value in tags.items():
        setattr(data, keyword, value)
    return data


def enhanced(frames: np.ndarray, ijk_to_lps: np.ndarray, places: Sequence[int]) -> Dataset:
    """An enhanced MR image whose frame n is the slice ``places[n]`` of the grid."""
    straight = dicom_slice(frames[0], ijk_to_lps, 0, "1.2.3")
    data = multi_frame(frames, EnhancedMRImageStorage)
    measures = item(PixelSpacing=straight.PixelSpacing, SliceThickness=straight.SliceThickness)
    values = item(RescaleIntercept="0", RescaleSlope="1", RescaleType="US")
    shared = item(PixelMeasuresSequence=Items([measures]), PixelValueTransformationSequence=Items([values]))
    data.SharedFunctionalGroupsSequence = Items([shared])
    data.PerFrameFunctionalGroupsSequence = Items(
        item(
            PlanePositionSequence=Items([item(ImagePositionPatient=_position(ijk_to_lps, place))]),
            PlaneOrientationSequence=Items([item(ImageOrientationPatient=straight.ImageOrientationPatient)]),
        )
        for place in places
    )
    return data


def film(frames: np.ndarray, **tags: Any) -> Dataset:
    """An ultrasound film, 33 ms from frame to frame."""
    pointer = {"FrameTime": "33", "FrameIncrementPointer": 0x00181063, "Modality": "US"}
    return multi_frame(frames, UltrasoundMultiFrameImageStorage, **{**pointer, **tags})


def saved(path: Path, data: Dataset) -> Path:
    """Write a file and give its path."""
    data.save_as(path, enforce_file_format=True)
    return path


def _position(ijk_to_lps: np.ndarray, place: int) -> list[str]:
    return [f"{value:.10g}"[:16] for value in (ijk_to_lps @ [0, 0, place, 1])[:3]]
