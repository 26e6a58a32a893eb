"""Figures of results for the rows of a batch: of volumes in the scene, of frames, and of files, which are in none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import slicer
from numpy.typing import NDArray

from MultiTaskSegLib.job_result import JobResult
from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.scene.earlier_result import INPUT_ROLE
from MultiTaskSegLib.scene.figure.figure_columns import put_figures
from MultiTaskSegLib.scene.figure.measurement import measurements_of
from MultiTaskSegLib.scene.figure.segment_statistics import Figures, measured
from MultiTaskSegLib.scene.node.added_nodes import passing
from MultiTaskSegLib.scene.segmentation import add_segmentation
from MultiTaskSegLib.typed_error import typed

LABELS, LAYERS = "segmentation.nii.gz", "segmentation.seg.nrrd"
Measure = Callable[[], Figures]
FileState = tuple[str, int, int]
"""Name, size in bytes, and time of the last change in nanoseconds."""


def with_figures(
    report: Mapping[str, Any], legend: Sequence[Mapping[str, Any]], columns: Sequence[str], measure: Measure
) -> dict[str, Any]:
    """A report with the figures of its structures, by name, by column.

    Whatever goes wrong becomes a warning: a result that is there is not lost for want of a figure.

    Args:
        report: of a segmentation.
        legend: of the same, which tells the names of segments.
        columns: which figures; where there are none the report stays as it is.
        measure: measures them.
    """
    if not columns:
        return dict(report)
    found: Figures = {}
    warnings = list(report.get("warnings", []))
    try:
        found = measure()
    except Exception as error:  # whatever Slicer's module does
        warnings.append(f"no figures of Segment Statistics ({typed(error)})")
    names = {entry["value"]: str(entry["name"]) for entry in report.get("labels", [])}
    segments = {str(entry["name"]): names.get(entry["value"], str(entry["display_name"])) for entry in legend}
    figures = {
        one.column: {name: found.get((segment_id, one.column)) for segment_id, name in segments.items()}
        for one in measurements_of(columns)
    }
    return {**report, "warnings": warnings, "figures": figures}


def figures_of_result(segmentation_node: slicer.vtkMRMLSegmentationNode, columns: Sequence[str]) -> Figures:
    """Measure a result of the scene, whose own table gets the columns, too. Raises as `set_figures`."""
    wanted = measurements_of(columns)
    figures = measured(segmentation_node, segmentation_node.GetNodeReference(INPUT_ROLE), wanted)
    put_figures(segmentation_node, wanted, figures)
    return figures


def file_state(path: Path) -> list[FileState]:
    """By which it is told whether a file, or one directly in a folder, was changed; nothing of one that is missing."""
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    states = [(file.name, file.stat()) for file in files if file.is_file()]
    return [(name, state.st_size, state.st_mtime_ns) for name, state in states]


def figures_of_file(path: Path, found: JobResult, columns: Sequence[str], state: Sequence[FileState]) -> Figures:
    """Measure the result of an image file, with nodes that are gone when it is done.

    The image is read once more, for its intensities and its grid.

    Args:
        path: of the image.
        found: what the worker made of it, with the folder of its files.
        columns: which figures.
        state: of the image when the worker began to read it.

    Raises:
        InputError: the image was changed since, or it or the result cannot be read.
        ResourceError: this Slicer has no module Segment Statistics, or memory runs out.
    """
    from MultiTaskSegLib.runtime.image.image_file import read_image  # SimpleITK: not when Slicer starts

    if found.output is None:
        raise InputError("the result has no files", file=path, remedy="Segment the image again")
    if file_state(path) != list(state):
        raise InputError("the image was changed during the run", file=path, remedy="Segment it again")
    image = read_image(path)
    labels, regions = _labels(found.output, len(found.legend))
    with passing(slicer.mrmlScene):
        volume = slicer.util.addVolumeFromArray(image.voxels, ijkToRAS=image.ijk_to_ras, name=path.name)
        segmentation = add_segmentation(volume, labels, found.legend, path.name, regions)
        return measured(segmentation, volume, measurements_of(columns), has_size=image.measured == "voxel")


def _labels(folder: Path, count: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_] | None]:
    """Labels ``(Z, Y, X)`` of a result's files, and its regions ``(R, Z, Y, X)`` where segments may overlap."""
    import SimpleITK as sitk

    from MultiTaskSegLib.runtime.image.image_file import read_label_map

    labels = read_label_map(folder / LABELS)[0].astype(np.uint8)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(folder / LAYERS))
    try:
        reader.ReadImageInformation()
        if reader.GetNumberOfComponents() == 1:
            return labels, None
        layers = sitk.GetArrayFromImage(reader.Execute()).reshape(*labels.shape, count)
    except (RuntimeError, ValueError) as error:
        raise InputError("the result cannot be read", file=folder / LAYERS, remedy="Segment it again") from error
    return labels, np.moveaxis(layers > 0, -1, 0)
