"""The result of one image with its DICOM SEG object, as ``segment --dicom-seg`` writes it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from MultiTaskSegLib.cohort.dicom.dicom_seg import require_highdicom as require_highdicom
from MultiTaskSegLib.cohort.dicom.object_beside import with_object
from MultiTaskSegLib.cohort.source.case import Case
from MultiTaskSegLib.runtime.prediction.segmentation import Segmentation


def write_with_object(found: Segmentation, source: Path, directory: Path) -> tuple[Segmentation, dict[str, Any]]:
    """Write the files of a result, the object among them, all of them or none.

    Args:
        found: the result.
        source: the image that it is on the grid of.
        directory: where the files go.

    Returns:
        The result, with a warning where there is no object, and its report.

    Raises:
        OSError: a file of the series cannot be read.
        ResourceError: a file cannot be written.
    """
    with tempfile.TemporaryDirectory(prefix="mts-object-") as aside:
        found, objects = with_object(found, Case("", source), Path(aside))
        return found, found.write(directory, objects)
