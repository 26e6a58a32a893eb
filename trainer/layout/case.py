"""One image of a dataset, and how its voxels and labels are read."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.errors import DatasetError
from MultiTaskSegLib.runtime.image.image_file import read_image, read_label_map
from MultiTaskSegLib.runtime.image.volume import Volume
from trainer.layout.detached_header import detached_data
from trainer.layout.label_grid import grid_differences, on_image_grid, undeclared_values
from trainer.layout.region_labels import declared_values

VERIFY = "Run 'python -m trainer verify' on the dataset"
LabelMap = tuple[NDArray[np.int32], NDArray[np.float64]]


class CaseReader(Protocol):
    """Turns the files of a case into voxels.

    Implementations are frozen dataclasses of plain values: their ``repr`` says what they do with the files, and
    prepared voxels on disk belong to it.
    """

    def files(self, case: Case) -> tuple[Path, ...]:
        """Every file that is read: what was made of a case belongs to their content."""

    def image(self, case: Case) -> Volume:
        """The case's image.

        Raises:
            InputError: a file cannot be read.
        """

    def labels(self, case: Case) -> LabelMap:
        """int32 ``(Z, Y, X)`` label values on the image's grid, and float64 ``(4, 4)`` index to LPS millimetres.

        Raises:
            InputError: a file cannot be read.
        """


@dataclass(frozen=True)
class FileReader:
    """Image and label map are files of their own; without a label file nothing is labelled."""

    def files(self, case: Case) -> tuple[Path, ...]:
        """Images of all channels and label map, with the data of detached headers."""
        images = (case.image, *case.further)
        named = images if case.label is None else (*images, case.label)
        return tuple(file for path in named for file in (path, *detached_data(path)))

    def image(self, case: Case) -> Volume:
        """The image file, or the files of all channels.

        Raises:
            DatasetError: a channel does not lie on the first one's grid.
        """
        first = read_image(case.image)
        others = [read_image(path) for path in case.further]
        for path, other in zip(case.further, others, strict=True):
            if differences := grid_differences(first, other.voxels, other.ijk_to_lps, "the channel"):
                raise DatasetError("; ".join(differences), file=path, remedy=VERIFY)
        warnings = (*first.warnings, *(warning for other in others for warning in other.warnings))
        return replace(first, further=tuple(other.voxels for other in others), warnings=warnings) if others else first

    def labels(self, case: Case) -> LabelMap:
        """The label file."""
        if case.label is not None:
            return read_label_map(case.label)
        volume = self.image(case)
        return np.zeros(volume.shape, dtype=np.int32), volume.ijk_to_lps


FILES = FileReader()


@dataclass(frozen=True)
class Case:
    """One image. Cases of the same ``group`` (patient) never go to different sides of a split.

    Attributes:
        name: unique within the dataset.
        image: file of the image; several cases may share one (slices of a volume).
        label: file that the labels come from; None where there is none.
        group: patient or other unit.
        reader: how the files are read.
        further: files of the other channels of the image.
    """

    name: str
    image: Path
    label: Path | None
    group: str
    reader: CaseReader = FILES
    further: tuple[Path, ...] = ()

    def read_image(self) -> Volume:
        """The image.

        Raises:
            InputError: a file cannot be read.
        """
        return self.reader.image(self)

    def read_labels(self) -> LabelMap:
        """int32 ``(Z, Y, X)`` label values on the image's grid, and float64 ``(4, 4)`` index to LPS millimetres.

        Raises:
            InputError: a file cannot be read.
        """
        return self.reader.labels(self)

    def read_labels_on(self, volume: Volume) -> LabelMap:
        """The labels as `read_labels`, in the order of the image's voxels where both have the same grid.

        Args:
            volume: what `read_image` gave.

        Raises:
            DatasetError: the shapes differ.
            InputError: a file cannot be read.
        """
        labels, ijk_to_lps = on_image_grid(volume, *self.read_labels())
        require_same_shape(self, volume, labels)
        return labels, ijk_to_lps

    def read_pair(self, labels: Collection[int]) -> tuple[Volume, NDArray[np.int32]]:
        """The image, and int32 ``(Z, Y, X)`` label values on its grid.

        Args:
            labels: values that the dataset names, or its regions; 0 needs no name.

        Raises:
            DatasetError: the label map does not lie on the image's grid, or holds other values.
            InputError: a file cannot be read.
        """
        volume = self.read_image()
        stored, ijk_to_lps = self.read_labels_on(volume)
        defects = grid_differences(volume, stored, ijk_to_lps)
        if undeclared := undeclared_values(np.unique(stored).tolist(), declared_values(labels)):
            defects.append(undeclared)
        if defects:
            raise DatasetError("; ".join(defects), file=self.label or self.image, remedy=VERIFY)
        return volume, stored

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file whose change would change the case."""
        return self.reader.files(self)


def require_same_shape(case: Case, volume: Volume, labels: NDArray[np.integer]) -> None:
    """Refuse a label map on another grid than its image's: one slice of it would be laid over every slice.

    Raises:
        DatasetError: the shapes differ.
    """
    if labels.shape != volume.shape:
        raise DatasetError(
            f"the label has shape {labels.shape}, the image {volume.shape}", file=case.label, remedy=VERIFY
        )
