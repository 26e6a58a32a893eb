"""Other ways to look at a listing: slices of volumes, classes from names."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.errors import DatasetError
from MultiTaskSegLib.runtime.image.geometry import Reorientation, canonical_reorientation
from MultiTaskSegLib.runtime.image.volume import Volume
from trainer.layout.case import FILES, VERIFY, Case, CaseReader, LabelMap
from trainer.layout.class_folders import require_classes
from trainer.layout.image_level import ImageLevelReader
from trainer.layout.label_grid import grid_differences, on_image_grid
from trainer.layout.listing import Listing
from trainer.layout.recently_read import whole_image, whole_labels

PLANES = ("axial", "coronal", "sagittal")
# A slice that shows next to nothing, at the ends of a volume, is no image to learn from.
SMALLEST_CONTRAST_SHARE = 0.02


@dataclass(frozen=True)
class SliceReader:
    """One slice of a volume as a 2-D image.

    Attributes:
        axis: of the canonical array (Z, Y, X): 0 axial, 1 coronal, 2 sagittal.
        index: along that axis.
        volumes: reads the volume.
    """

    axis: int
    index: int
    volumes: CaseReader = FILES

    def files(self, case: Case) -> tuple[Path, ...]:
        """Those of the volume."""
        return self.volumes.files(case)

    def image(self, case: Case) -> Volume:
        """The slice, in the plane's own frame with its pixel size."""
        volume = whole_image(case, self.volumes)
        order = canonical_reorientation(volume)
        first, *others = (
            np.take(np.asarray(order.apply(channel)), self.index, axis=self.axis)[None] for channel in volume.channels
        )
        further = tuple(np.ascontiguousarray(pixels, dtype=np.float32) for pixels in others)
        pixels = np.ascontiguousarray(first, dtype=np.float32)
        return Volume(pixels, self._frame(volume, order), name=case.name, further=further)

    def labels(self, case: Case) -> LabelMap:
        """The slice of the label map; it lies on the volume's grid."""
        volume = whole_image(case, self.volumes)
        stored, ijk_to_lps = on_image_grid(volume, *whole_labels(case, self.volumes))
        if stored.shape != volume.shape:
            raise DatasetError(
                f"the label has shape {stored.shape}, the image {volume.shape}", file=case.label, remedy="Resample it"
            )
        # The slice has a frame of its own, in which nobody could see any more where the label map lay.
        if differences := grid_differences(volume, stored, ijk_to_lps):
            raise DatasetError("; ".join(differences), file=case.label, remedy=VERIFY)
        order = canonical_reorientation(volume)
        chosen = np.take(np.asarray(order.apply(stored)), self.index, axis=self.axis)
        return np.ascontiguousarray(chosen[None], dtype=np.int32), self._frame(volume, order)

    def _frame(self, volume: Volume, order: Reorientation) -> NDArray[np.float64]:
        rows, columns = np.delete(np.asarray(order.spacing_zyx_mm(volume)), self.axis)
        return np.diag([columns, rows, 1.0, 1.0])


def sliced(listing: Listing, plane: str) -> Listing:
    """Every slice of every volume in one plane as a case of its own; the volumes are opened to count them.

    Raises:
        DatasetError: the images are 2-D already.
    """
    axis = PLANES.index(plane)
    cases: list[Case] = []
    for case in listing.cases:
        volume = whole_image(case, case.reader)
        if volume.is_planar:
            raise DatasetError(
                f"the image is 2-D and has no {plane} slices", file=case.image, remedy="Leave the word out"
            )
        array = np.asarray(canonical_reorientation(volume).apply(volume.voxels))
        cases += [
            replace(case, name=f"{case.name}_{plane}{index:03d}", reader=SliceReader(axis, index, case.reader))
            for index in _worth_showing(np.moveaxis(array, axis, 0))
        ]
    return replace(listing, cases=tuple(cases))


def classes_by_name(listing: Listing, directory: Path) -> Listing:
    """The first word of a case's name (``benign`` of ``benign_10``) as the class of the image.

    Raises:
        DatasetError: there are fewer than two such words, or one of them has a single image.
    """
    words = {case.name: re.split(r"[^A-Za-z]", case.name, maxsplit=1)[0] for case in listing.cases}
    counts = Counter(words.values())
    require_classes(dict(counts), directory)
    values = {word: value for value, word in enumerate(sorted(counts), start=1)}
    cases = tuple(
        replace(case, label=None, reader=ImageLevelReader(values[words[case.name]], case.reader))
        for case in listing.cases
    )
    return replace(listing, labels={v: word for word, v in values.items()}, cases=cases, has_masks=False)


def _worth_showing(slices: NDArray[np.floating]) -> list[int]:
    """Slices whose spread is at least a small share of the largest."""
    spreads = slices.reshape(len(slices), -1).std(axis=1)
    return [int(index) for index in np.flatnonzero(spreads > SMALLEST_CONTRAST_SHARE * spreads.max())]
