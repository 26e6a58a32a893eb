"""The uncertainty as a DICOM Parametric Map, by highdicom, which Slicer has from 5.12 on.

Neither Slicer's own plugin for such objects nor that of QuantitativeReporting writes them: both only load.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import slicer
from numpy.typing import NDArray

from MultiTaskSegLib import __version__
from MultiTaskSegLib.runtime.errors import InputError, ResourceError
from MultiTaskSegLib.runtime.image.volume import LPS_TO_RAS
from MultiTaskSegLib.runtime.machine.atomic_file import atomic_path
from MultiTaskSegLib.scene.volume import world_ijk_to_ras

UIDS = "DICOM.instanceUIDs"  # attribute of volumes that Slicer has loaded from DICOM
SAME_PLACE_MM = 0.1
SERIES_NUMBER = 901
EXPLANATION = "normalised entropy of the calibrated class probabilities, 0 to 1"


def source_files(volume_node: slicer.vtkMRMLScalarVolumeNode) -> list[str]:
    """The DICOM files that a volume was loaded from.

    Raises:
        InputError: it was not, or the database has lost them.
    """
    uids = (volume_node.GetAttribute(UIDS) or "").split()
    files = [slicer.dicomDatabase.fileForInstance(uid) for uid in uids]
    if not files or not all(files):
        raise InputError(
            "the volume does not come from Slicer's DICOM database",
            file=volume_node.GetName(),
            remedy="Load the series with the DICOM module, and segment that volume",
        )
    return files


def write_parametric_map(
    uncertainty_node: slicer.vtkMRMLScalarVolumeNode, sources: Sequence[str | Path], path: str | Path
) -> None:
    """Write a volume of uncertainty as a DICOM Parametric Map of 32-bit floats that refers to the series it is of.

    Args:
        uncertainty_node: on the grid of the series.
        sources: files of the series, see `source_files`, in any order.
        path: of the file; whole, or not at all.

    Raises:
        ResourceError: this Slicer has no highdicom, or the file cannot be written.
        InputError: the volume is on another grid than the series: resampled, moved, or of several frames per file.
    """
    try:
        import highdicom
        import pydicom
        from highdicom.pm import ParametricMap, RealWorldValueMapping
        from pydicom.sr.coding import Code
    except ImportError as error:
        raise ResourceError(
            "this Slicer cannot write parametric maps: it has no highdicom", remedy="Use Slicer 5.12 or newer"
        ) from error
    voxels: NDArray[np.float32] = slicer.util.arrayFromVolume(uncertainty_node).astype(np.float32)
    datasets = [pydicom.dcmread(file) for file in sources]
    unit = Code("1", "UCUM", "no units")
    mapping = RealWorldValueMapping("UNCERTAINTY", EXPLANATION, unit, (0.0, 1.0), slope=1.0, intercept=0.0)
    ordered = _in_order(uncertainty_node, datasets)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on how the series spells the name of the patient
        written = ParametricMap(
            source_images=ordered,
            pixel_array=voxels,
            series_instance_uid=highdicom.UID(),
            series_number=SERIES_NUMBER,
            sop_instance_uid=highdicom.UID(),
            instance_number=1,
            manufacturer="MultiTaskSeg",
            manufacturer_model_name="MultiTaskSeg",
            software_versions=__version__,
            device_serial_number="0",
            contains_recognizable_visual_features=False,
            real_world_value_mappings=[mapping],
            voi_lut_transformations=[highdicom.VOILUTTransformation(window_center=0.5, window_width=1.0)],
            content_label="UNCERTAINTY",
            content_description=EXPLANATION,
        )
    written.SeriesDescription = uncertainty_node.GetName()[:64]
    with atomic_path(path) as partial:
        written.save_as(partial)


def _in_order(node: slicer.vtkMRMLScalarVolumeNode, datasets: Sequence[Any]) -> list[Any]:
    """The files' contents in the order of the array's slices, each of which lies where its file says."""
    to_lps = LPS_TO_RAS @ world_ijk_to_ras(node)
    columns, rows, slices = node.GetImageData().GetDimensions()
    found = []
    for k in range(slices):
        place = (to_lps @ (0, 0, k, 1))[:3]
        fitting = [own for own in datasets if _is_slice(own, place, to_lps, (rows, columns))]
        if len(fitting) != 1:
            raise InputError(
                "the uncertainty is not on the grid of the DICOM series",
                file=node.GetName(),
                remedy="Segment the volume as it was loaded: not a copy, a resampled or a moved one",
            )
        found.append(fitting[0])
    return found


def _is_slice(dataset: Any, place: NDArray[np.float64], to_lps: NDArray[np.float64], size: tuple[int, int]) -> bool:
    if (dataset.Rows, dataset.Columns) != size:
        return False
    row_mm, column_mm = (float(value) for value in dataset.PixelSpacing)
    directions = np.asarray(dataset.ImageOrientationPatient, dtype=float).reshape(2, 3)
    is_near = np.linalg.norm(np.asarray(dataset.ImagePositionPatient, dtype=float) - place) < SAME_PLACE_MM
    ends = np.stack([directions[0] * column_mm * size[1], directions[1] * row_mm * size[0]])
    own = np.stack([to_lps[:3, 0] * size[1], to_lps[:3, 1] * size[0]])
    return bool(is_near and np.linalg.norm(ends - own, axis=1).max() < SAME_PLACE_MM)
