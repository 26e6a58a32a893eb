"""Are these the images that an imported model was trained on? Their channels and spacing tell where they are not."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.errors import DatasetError
from MultiTaskSegLib.runtime.imported.imported_manifest import IMAGE_SPACING, ImportedManifest
from MultiTaskSegLib.runtime.imported.stored_axes import reader_axes, reader_spacing_mm
from trainer.data.dataset import Dataset
from trainer.data.spread import evenly

LOOKED_AT = 8
"""Images of a dataset whose spacing is looked at beforehand."""
TOLD, REFUSED = 1.1, 1.5
"""Factors between the median spacing here and in the training, along the axis where they differ most."""


def require_like_training(
    manifest: ImportedManifest, datasets: Sequence[Dataset], stream: TextIO | None = None
) -> None:
    """Refuse datasets that cannot be those of the training, and tell where one may not be.

    Args:
        manifest: of the model.
        datasets: with the images that are to become its reference.
        stream: for what is told; standard error by default.

    Raises:
        DatasetError: a dataset has other channels, or another spacing by half or more than the plans tell of the
            training. Where they do not, which only old ones do not, the network's grid is compared and it is told: that
            may well be coarser than the images were.
    """
    for dataset in datasets:
        _require_channels(manifest, dataset)
    for dataset in datasets:
        factor, found, expected = _spacing_factor(manifest, dataset)
        words = f"its images have voxels of {found} mm in the median, those of the training of {expected} mm"
        if factor >= REFUSED and IMAGE_SPACING in manifest.training:
            raise DatasetError(
                words, file=dataset.directory, remedy="Give the images that the model was trained on, as they were"
            )
        if factor >= TOLD:
            (stream or sys.stderr).write(f"{dataset.name}: {words}; is it the dataset of the training?\n")


def _require_channels(manifest: ImportedManifest, dataset: Dataset) -> None:
    (task,) = manifest.tasks
    found = dataset.inputs or (dataset.modality,)
    is_same = len(found) == len(task.inputs) and (
        len(found) == 1 or [name.casefold() for name in found] == [name.casefold() for name in task.inputs]
    )
    if not is_same:
        raise DatasetError(
            f"its images have the channels {', '.join(found)}, the model takes {', '.join(task.inputs)}",
            file=dataset.directory,
            remedy="Give the dataset that the model was trained on",
        )


def _spacing_factor(manifest: ImportedManifest, dataset: Dataset) -> tuple[float, str, str]:
    """By which factor the spacing differs most along an axis; and both in words, ``x`` first."""
    preparation = manifest.plan.preparation
    rows = []
    for case in evenly(dataset.cases, LOOKED_AT):
        volume = case.read_image()
        axes = reader_axes(volume, preparation.reader)
        spacing_mm = reader_spacing_mm(volume, axes, preparation.reader)
        rows.append([spacing_mm[axis] for axis in preparation.transpose])
    found = np.median(rows, axis=0)
    expected = _expected_mm(manifest)
    # Slices keep their distance where the network sees slices alone.
    kept = slice(3 - len(expected), None)
    ratios = found[kept] / expected
    return float(np.maximum(ratios, 1 / ratios).max()), _words(found[kept]), _words(expected)


def _expected_mm(manifest: ImportedManifest) -> NDArray[np.float64]:
    """Of the network's axes, as many as a patch has; what the plans say of images, else of the network's grid."""
    grid = manifest.plan.preparation.spacing_mm
    told: Any = manifest.training.get(IMAGE_SPACING)
    return np.array(grid if not told else told[-len(grid) :], dtype=np.float64)


def _words(spacing_mm: NDArray[np.float64]) -> str:
    return " x ".join(f"{edge:.3g}" for edge in spacing_mm[::-1])
