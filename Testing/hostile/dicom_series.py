"""DICOM series made with pydicom: right ones and wrong ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid


def dicom_slice(pixels: np.ndarray, ijk_to_lps: np.ndarray, k: int, series_uid: str, **tags: Any) -> Dataset:
    """Slice `k` of a grid as an MR image.

    Args:
        pixels: uint16 ``(Y, X)``.
        ijk_to_lps: ``(4, 4)`` of the whole stack.
        k: slice index in the stack.
        series_uid: SeriesInstanceUID.
        tags: DICOM keywords that replace or add elements.
    """
    step_mm = np.linalg.norm(ijk_to_lps[:3, :3], axis=0)
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = MRImageStorage
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = generate_uid()
    data.Modality = "MR"
    data.SeriesInstanceUID = series_uid
    data.StudyInstanceUID = generate_uid(entropy_srcs=["study"])
    data.SeriesDescription = "phantom"
    data.InstanceNumber = k + 1
    data.Rows, data.Columns = pixels.shape
    data.PixelSpacing = [f"{step_mm[1]:.10g}", f"{step_mm[0]:.10g}"]
    data.SliceThickness = f"{step_mm[2]:.10g}"
    cosines = (ijk_to_lps[:3, :2] / step_mm[:2]).T.ravel()
    data.ImageOrientationPatient = [f"{value:.12g}"[:16] for value in cosines]
    origin_mm = ijk_to_lps[:3, 3] + k * ijk_to_lps[:3, 2]
    data.ImagePositionPatient = [f"{value:.10g}"[:16] for value in origin_mm]
    data.SamplesPerPixel = 1
    data.PhotometricInterpretation = "MONOCHROME2"
    data.BitsAllocated = data.BitsStored = 16
    data.HighBit = 15
    data.PixelRepresentation = 0
    data.PixelData = np.ascontiguousarray(pixels, dtype="<u2").tobytes()
    for keyword, value in tags.items():
        setattr(data, keyword, value)
    return data


def write_series(
    folder: Path,
    voxels: np.ndarray,
    ijk_to_lps: np.ndarray,
    names: list[str] | None = None,
    skip: tuple[int, ...] = (),
    **tags: Any,
) -> Path:
    """Write one file per slice into `folder`.

    Args:
        folder: made when absent.
        voxels: ``(Z, Y, X)``.
        ijk_to_lps: ``(4, 4)``.
        names: file names by slice, default ``IM0000`` and so on.
        skip: slices that are left out.
        tags: DICOM keywords for every slice.
    """
    folder.mkdir(parents=True, exist_ok=True)
    series_uid = generate_uid()
    for k, pixels in enumerate(voxels):
        if k not in skip:
            name = f"IM{k:04d}" if names is None else names[k]
            data = dicom_slice(pixels, ijk_to_lps, k, series_uid, **tags)
            data.save_as(folder / name, enforce_file_format=True)
    return folder
