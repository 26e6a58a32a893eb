"""A DICOM SEG object for a result, where the image is a DICOM series and allows one; else the reason."""

from __future__ import annotations

from pathlib import Path

from MultiTaskSegLib.cohort.dicom.dicom_seg import series_files, write_dicom_seg
from MultiTaskSegLib.cohort.source.case import Case
from MultiTaskSegLib.runtime.errors import MtsError
from MultiTaskSegLib.runtime.machine.result_place import OBJECT_FILE
from MultiTaskSegLib.runtime.prediction.segmentation import Segmentation


def with_object(
    found: Segmentation, case: Case, folder: Path, *, has_origin: bool = True
) -> tuple[Segmentation, list[Path]]:
    """Write the object of a result into a folder.

    Args:
        found: on the grid of the image.
        case: the image.
        folder: where the file is written.
        has_origin: as for `write_dicom_seg`.

    Returns:
        The result, with a warning where there is no object and why, for it is worth keeping all the same; and the file.

    Raises:
        OSError: a file cannot be read or written.
    """
    try:
        sources = series_files(case)
        if not sources:
            return found.with_warnings(("no DICOM SEG: the image is none of DICOM",)), []
        write_dicom_seg(found, sources, folder / OBJECT_FILE, has_origin=has_origin)
    except OSError:
        raise
    except Exception as error:  # the series is not ours: highdicom refuses in many ways what does not conform
        (folder / OBJECT_FILE).unlink(missing_ok=True)
        told = str(error) if isinstance(error, MtsError) else f"{type(error).__name__}: {' '.join(str(error).split())}"
        return found.with_warnings((f"no DICOM SEG: {told}",)), []
    return found, [folder / OBJECT_FILE]
