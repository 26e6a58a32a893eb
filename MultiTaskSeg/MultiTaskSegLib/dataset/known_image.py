"""Which images are in a dataset already: as another patient, one would be learnt and measured with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from MultiTaskSegLib.dataset.case_name import safe_name, stem_of
from MultiTaskSegLib.dataset.training_case import TrainingCase
from MultiTaskSegLib.runtime.errors import DatasetError


def refused_images(folder: Path, cases: Sequence[TrainingCase], there: Mapping[str, Path]) -> dict[int, DatasetError]:
    """Why cases cannot be added, by their number: their image is in the dataset, or is given twice.

    Args:
        folder: the dataset.
        cases: that are to be added.
        there: the first image of each case of the dataset, by name.

    Raises:
        DatasetError: an image of the dataset cannot be read.
    """
    refused: dict[int, DatasetError] = {}
    for number, case in enumerate(cases):
        known = next((name for name, path in there.items() if _has_image(name, path, case)), None)
        if known is not None:
            refused[number] = DatasetError(
                f"the image {case.name} is in the dataset already, as the case {known}; nothing is overwritten",
                file=folder,
                remedy="To replace it, remove the files of that case first",
            )
            continue
        for earlier in range(number):
            if _has_same_voxels(case.channels[0], cases[earlier].channels[0]):
                twice = DatasetError(
                    f"the image {case.name} is given twice", file=folder, remedy="Choose one of its segmentations"
                )
                refused |= {number: twice, earlier: twice}
    return dict(sorted(refused.items()))


def _has_image(name: str, path: Path, case: TrainingCase) -> bool:
    """Whether a file holds the image of a case. Its voxels are read only where name or place let it be so."""
    image, reader = case.channels[0], sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        if reader.GetSize() != image.GetSize():
            return False
        is_there = np.allclose(reader.GetOrigin(), image.GetOrigin(), atol=max(image.GetSpacing()))
        is_alike = stem_of(name) == stem_of(safe_name(case.name))
        return (is_there or is_alike) and _has_same_voxels(reader.Execute(), image)
    except RuntimeError as error:
        raise DatasetError(
            f"the image of the case {name} cannot be read", file=path, remedy="Repair or remove that case"
        ) from error


def _has_same_voxels(one: sitk.Image, other: sitk.Image) -> bool:
    return one.GetSize() == other.GetSize() and np.array_equal(
        sitk.GetArrayViewFromImage(one), sitk.GetArrayViewFromImage(other)
    )
