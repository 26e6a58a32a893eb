"""A label map as a case: its image is drawn, the same whenever it is read, or anew for a patch."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.errors import DatasetError
from MultiTaskSegLib.runtime.image.volume import Volume
from trainer.layout.case import Case, LabelMap
from trainer.synthesis.anatomy import OTHER_SIDE
from trainer.synthesis.label_map import read_map, stamp_of
from trainer.synthesis.painting import painted
from trainer.synthesis.scan import Scan, draw_scan
from trainer.synthesis.target import Target

# Rises with every change of what is drawn: prepared images and checkpoints of an earlier version are others.
DRAWN_BY = 2
FINEST_MM = 1.5
TRIALS = 100
LEAST_SHOWN = 0.02
# Cases are prepared side by side.
RECENT = 4


@dataclass(frozen=True)
class SyntheticReader:
    """Draws the image of a label map.

    Attributes:
        target: labels that the case has.
        numbers: FreeSurfer's number of each value of the map.
        draw: which of the images that can be drawn of the map.
        version: of the drawing.
    """

    target: Target
    numbers: tuple[int, ...]
    draw: int
    version: int = DRAWN_BY

    def files(self, case: Case) -> tuple[Path, ...]:
        """The label map."""
        return (case.image,)

    def image(self, case: Case) -> Volume:
        """The image of this draw."""
        return self._own(case)[0]

    def labels(self, case: Case) -> LabelMap:
        """Labels of this draw."""
        volume, labels = self._own(case)
        return labels.astype(np.int32), volume.ijk_to_lps

    def drawn(self, case: Case, scan: Scan, finest_mm: float) -> tuple[Volume, NDArray[np.uint8]]:
        """Image and labels of a record.

        Args:
            case: gives the map.
            scan: the record.
            finest_mm: smallest voxels of the image.

        Returns:
            The image, and uint8 ``(Z, Y, X)`` values of the target on its grid.

        Raises:
            DatasetError: the map holds values that are not declared, or no brain.
            InputError: it cannot be read.
        """
        head = read_map(case.image, self.numbers, stamp_of(case.image))
        voxels, codes, (z, y, x) = painted(scan, head, self.numbers, finest_mm)
        ijk_to_lps = np.diag([x, y, z, 1.0])
        ijk_to_lps[:3, 3] = [
            middle - mm * (n - 1) / 2
            for middle, mm, n in zip(scan.centre_mm[::-1], (x, y, z), voxels.shape[::-1], strict=True)
        ]
        return Volume(voxels, ijk_to_lps, name=case.name), np.take(self._table(scan.mirrored), codes)

    def fresh(self, case: Case, rng: np.random.Generator, finest_mm: float) -> tuple[Volume, NDArray[np.uint8]]:
        """As `drawn`, of a record that nothing but ``rng`` decides."""
        for _ in range(TRIALS):
            scan = draw_scan(rng, self.numbers)
            volume, labels = self.drawn(case, scan, finest_mm)
            if _shows_something(volume.voxels):
                return volume, labels
        raise DatasetError("nothing is to be seen of the label map", file=case.image, remedy="Leave it out")

    def _own(self, case: Case) -> tuple[Volume, NDArray[np.uint8]]:
        return _drawn_once(self, case, stamp_of(case.image))

    def _table(self, mirrored: bool) -> NDArray[np.uint8]:
        """By code, the target's value."""
        table = np.zeros((len(self.numbers), 2), dtype=np.uint8)
        for value, (_, merged) in enumerate(self.target.labels, start=1):
            if not merged:
                table[:, 1] = value
            wanted = [_OTHER.get(number, number) for number in merged] if mirrored else merged
            table[np.isin(self.numbers, wanted)] = value
        return table.reshape(-1)


@lru_cache(maxsize=RECENT)
def _drawn_once(reader: SyntheticReader, case: Case, stamp: tuple[int, ...]) -> tuple[Volume, NDArray[np.uint8]]:
    """Image and labels are read one after the other: they are drawn together. ``stamp`` makes a changed map another."""
    seed = hashlib.sha256(f"{case.group}:{reader.draw}:{reader.version}".encode()).digest()
    return reader.fresh(case, np.random.default_rng(list(seed)), FINEST_MM)


def _shows_something(voxels: NDArray[np.float32]) -> bool:
    """Whether an image is worth looking at: a slab may lie beside everything that is shown."""
    return float(np.mean(voxels > voxels.min())) >= LEAST_SHOWN


_OTHER = {**OTHER_SIDE, **{right: left for left, right in OTHER_SIDE.items()}}
