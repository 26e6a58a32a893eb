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
    from pydicom import Dataset

SERIES_NUMBER = 900
MAKER = "MultiTaskSeg"
LONGEST = 64  # characters of the text values that are written (PS3.5, LO)
# Parts of Slicer's terminology string, see `naming.terminology`.
_CATEGORY, _TYPE, _MODIFIER, _REGION, _REGION_MODIFIER = 1, 2, 3, 5, 6
_PARTS = 7
# What highdicom tells of the scanner (General Equipment Module, PS3.3, C.7.5.1), and the dates of the scan.
_EQUIPMENT = (
    *("Manufacturer", "ManufacturerModelName", "DeviceSerialNumber", "DeviceUID", "SoftwareVersions", "StationName"),
    *(
        "InstitutionName",
        "InstitutionAddress",
        "InstitutionalDepartmentName",
        "InstitutionalDepartmentTypeCodeSequence",
    ),
    *("DateOfManufacture", "DateOfInstallation", "SpatialResolution", "DateOfLastCalibration", "TimeOfLastCalibration"),
    *("AcquisitionDate", "AcquisitionTime", "AcquisitionDateTime", "SeriesDate", "SeriesTime", "ContentDate"),
    *("ContentTime", "InstanceCreationDate", "InstanceCreationTime", "ContributingEquipmentSequence"),
)
_UTF_8 = "ISO_IR 192"
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


def write_dicom_seg(found: Segmentation, sources: Sequence[Path], path: Path, *, has_origin: bool = True) -> None:
    """Write the structures that were found, each as a segment of its own, on exactly the grid of the result.

    What the series says of patient and study is taken over. Slices may be oblique, and stored in any order.

    Args:
        found: on the grid of the series.
        sources: files of the series.
        path: of the file.
        has_origin: whether the object may say when, with which scanner and where the series was made.

    Raises:
        InputError: the series lacks what the object must refer to, or nothing was found.
        OSError: a file cannot be read or written.
    """
    import highdicom
    import pydicom

    # With force also files without the preamble, as old archives have them.
    datasets = [_completed(pydicom.dcmread(file, stop_before_pixels=True, force=True), has_origin) for file in sources]
    if not datasets or not all(getattr(one, "FrameOfReferenceUID", "") for one in datasets):
        raise InputError("the series names no frame of reference, so that nothing can be placed in it", file=sources[0])
    wanted, voxels = _segments(found)
    if not wanted:
        raise InputError("no structure was found, and an object without segments is none")
    affine = found.volume.ijk_to_lps[:, [2, 1, 0, 3]]  # their axes: slice, row, column
    volume = highdicom.Volume(
        voxels,
        affine,
        coordinate_system="PATIENT",
        frame_of_reference_uid=datasets[0].FrameOfReferenceUID,
        channels=None if found.regions is None else {"SegmentNumber": list(range(1, len(wanted) + 1))},
    )
    described = [_described(label, number, found) for number, label in enumerate(wanted, start=1)]
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
            content_description=_text(f"{MAKER} {found.model_name}"),
            series_description=_text(f"{MAKER} {found.task.name}"),
        )
    made.save_as(path)


def _completed(dataset: Dataset, has_origin: bool) -> Dataset:
    """With what its kind must have, be it empty (PS3.5, type 2), which highdicom asks for; texts in UTF-8."""
    if not has_origin:
        dataset.StudyDate = dataset.StudyTime = ""
        for name in _EQUIPMENT:
            dataset.pop(name, None)
    for name in _TYPE_2:
        if name not in dataset:
            setattr(dataset, name, "")
    # The object has the character set of the series, which need not hold the names of structures.
    dataset.decode()
    dataset.SpecificCharacterSet = _UTF_8
    return dataset


def _segments(found: Segmentation) -> tuple[list[LabelInfo], NDArray[np.uint8]]:
    """The structures that were found, and their voxels: numbered (Z, Y, X), or, where they may overlap, (Z, Y, X, R).

    A mask of each of a hundred structures would take a hundred times the memory.
    """
    if found.regions is not None:
        pairs = [pair for pair in zip(found.task.labels, found.regions, strict=True) if pair[1].any()]
        stacked = np.stack([mask for _, mask in pairs], axis=-1).astype(np.uint8) if pairs else np.zeros(0, np.uint8)
        return [label for label, _ in pairs], stacked
    present = np.bincount(found.labels.ravel(), minlength=256) > 0
    wanted = [label for label in found.task.labels if present[label.value]]
    numbers = np.zeros(256, np.uint8)
    numbers[[label.value for label in wanted]] = range(1, len(wanted) + 1)
    return wanted, numbers[found.labels]


def _text(text: str) -> str:
    """As a value may be (PS3.5, LO): no backslash, which parts values, and no control characters."""
    plain = "".join(one if one.isprintable() else " " for one in text.replace("\\", "/"))
    return plain[:LONGEST].strip() or "?"


def _described(label: LabelInfo, number: int, found: Segmentation) -> SegmentDescription:
    import highdicom
    from pydicom.sr.codedict import codes

    parts = [_code(part) for part in label.terminology.split("~")]
    parts += [None] * (_PARTS - len(parts))
    region = parts[_REGION]
    algorithm = highdicom.AlgorithmIdentificationSequence(
        name=_text(f"{MAKER} {found.model_name}"),
        version=__version__,
        family=codes.DCM.ArtificialIntelligence,
        parameters={"task": found.task.name, "model_sha256": found.model_sha256},
    )
    made = highdicom.seg.SegmentDescription(
        segment_number=number,
        segment_label=_text(label.display_name),
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
    return CodedConcept(value, scheme, _text(meaning)) if scheme and value and meaning else None
