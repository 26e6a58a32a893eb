"""A segmentation as a DICOM SEG object (PS3.3, A.51), by highdicom: coded segments on the grid of the series."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib import __version__
from MultiTaskSegLib.cohort.source.case import Case
from MultiTaskSegLib.runtime.errors import InputError, UsageError
from MultiTaskSegLib.runtime.header.dicom_element import looks_like_dicom
from MultiTaskSegLib.runtime.model.manifest import LabelInfo
from MultiTaskSegLib.runtime.prediction.segmentation import Segmentation

if TYPE_CHECKING:
    from highdicom.seg import SegmentDescription

SERIES_NUMBER = 900
MAKER = "MultiTaskSeg"
LONGEST = 64  # characters of the text values that are written (PS3.5, LO)
# Parts of Slicer's terminology string, see `naming.terminology`.
_CATEGORY, _TYPE, _MODIFIER, _REGION, _REGION_MODIFIER = 1, 2, 3, 5, 6
_PARTS = 7
_TYPE_2 = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "AccessionNumber"),
    *("StudyID", "StudyDate", "StudyTime", "ReferringPhysicianName"),
)


def require_highdicom() -> None:
    """Refuse to begin without the packages of the extra ``dicom``.

    Raises:
        UsageError: one is not installed.
    """
    if find_spec("highdicom") is None:
        raise UsageError(
            "--dicom-seg needs highdicom, not installed here", remedy="Run 'pip install \".[dicom]\"' in the checkout"
        )


def series_files(case: Case) -> list[Path]:
    """The DICOM files that the image of a case is read from; none where it is no DICOM.

    Raises:
        OSError: they cannot be read.
    """
    inside = sorted(case.image.iterdir()) if case.image.is_dir() else [case.image]
    return [file for file in case.files or inside if file.is_file() and looks_like_dicom(file)]


def write_dicom_seg(found: Segmentation, sources: Sequence[Path], path: Path) -> None:
    """Write the structures that were found, each as a segment of its own, on exactly the grid of the result.

    What the series says of patient and study is taken over. Slices may be oblique, and stored in any order.

    Args:
        found: on the grid of the series.
        sources: files of the series.
        path: of the file.

    Raises:
        InputError: the series lacks what the object must refer to, or nothing was found.
        OSError: a file cannot be read or written.
    """
    import highdicom
    import pydicom

    datasets = [pydicom.dcmread(file, stop_before_pixels=True) for file in sources]
    for dataset in datasets:
        # A series from elsewhere may lack what its kind must have, be it empty (PS3.5, type 2); highdicom asks for all.
        for name in _TYPE_2:
            if name not in dataset:
                setattr(dataset, name, "")
    if not datasets or not all(getattr(one, "FrameOfReferenceUID", "") for one in datasets):
        raise InputError("the series names no frame of reference, so that nothing can be placed in it", file=sources[0])
    wanted = [(label, mask) for label, mask in _masks(found) if mask.any()]
    if not wanted:
        raise InputError("no structure was found, and an object without segments is none")
    affine = found.volume.ijk_to_lps[:, [2, 1, 0, 3]]  # their axes: slice, row, column
    volume = highdicom.Volume(
        np.stack([mask for _, mask in wanted], axis=-1).astype(np.uint8),
        affine,
        coordinate_system="PATIENT",
        frame_of_reference_uid=datasets[0].FrameOfReferenceUID,
        channels={"SegmentNumber": list(range(1, len(wanted) + 1))},
    )
    described = [_described(label, number, found) for number, (label, _) in enumerate(wanted, start=1)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on how the series spells the name of the patient
        made = highdicom.seg.Segmentation(
            source_images=datasets,
            pixel_array=volume,
            segmentation_type="BINARY",
            segment_descriptions=described,
            series_instance_uid=highdicom.UID(),
            series_number=SERIES_NUMBER,
            sop_instance_uid=highdicom.UID(),
            instance_number=1,
            manufacturer=MAKER,
            manufacturer_model_name=MAKER,
            software_versions=__version__,
            device_serial_number="0",
            content_label="SEGMENTATION",
            content_description=f"{MAKER} {found.model_name}"[:LONGEST],
            series_description=f"{MAKER} {found.task.name}"[:LONGEST],
        )
    made.save_as(path)


def _masks(found: Segmentation) -> list[tuple[LabelInfo, NDArray[np.bool_]]]:
    labels = found.task.labels
    if found.regions is not None:
        return list(zip(labels, found.regions, strict=True))
    return [(label, found.labels == label.value) for label in labels]


def _described(label: LabelInfo, number: int, found: Segmentation) -> SegmentDescription:
    import highdicom
    from pydicom.sr.codedict import codes

    parts = [_code(part) for part in label.terminology.split("~")]
    parts += [None] * (_PARTS - len(parts))
    region = parts[_REGION]
    algorithm = highdicom.AlgorithmIdentificationSequence(
        name=f"{MAKER} {found.model_name}"[:LONGEST],
        version=__version__,
        family=codes.DCM.ArtificialIntelligence,
        parameters={"task": found.task.name, "model_sha256": found.model_sha256},
    )
    made = highdicom.seg.SegmentDescription(
        segment_number=number,
        segment_label=label.display_name[:LONGEST],
        segmented_property_category=parts[_CATEGORY] or codes.SCT.AnatomicalStructure,
        segmented_property_type=parts[_TYPE] or codes.SCT.Tissue,
        algorithm_type="AUTOMATIC",
        algorithm_identification=algorithm,
        anatomic_regions=None if region is None else [region],
        display_color=highdicom.color.CIELabColor.from_rgb(*label.colour),
    )
    if parts[_MODIFIER] is not None:
        made.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [parts[_MODIFIER]]
    if region is not None and parts[_REGION_MODIFIER] is not None:
        made.AnatomicRegionSequence[0].AnatomicRegionModifierSequence = [parts[_REGION_MODIFIER]]
    return made


def _code(part: str) -> Any:
    """A code of a terminology string; None where it is empty or of another form."""
    from highdicom.sr import CodedConcept

    scheme, value, meaning = (*part.split("^"), "", "")[:3]
    return CodedConcept(value, scheme, meaning[:LONGEST]) if scheme and value and meaning else None
