"""Images that have a class as a whole instead of a mask."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from MultiTaskSegLib.runtime.image.volume import Volume
from trainer.layout.case import FILES, Case, CaseReader, LabelMap


@dataclass(frozen=True)
class ImageLevelReader:
    """The image as another reader gives it; the label map holds the class's value everywhere.

    Attributes:
        value: of the class, 1 or more.
        images: reads the image.
    """

    value: int
    images: CaseReader = FILES

    def files(self, case: Case) -> tuple[Path, ...]:
        """Those of the image."""
        return self.images.files(case)

    def image(self, case: Case) -> Volume:
        """The image."""
        return self.images.image(case)

    def labels(self, case: Case) -> LabelMap:
        """The class's value at every voxel."""
        volume = self.image(case)
        return np.full(volume.shape, self.value, dtype=np.int32), volume.ijk_to_lps


def image_class(case: Case) -> int | None:
    """The value of a case's class; None for a case without one."""
    return case.reader.value if isinstance(case.reader, ImageLevelReader) else None
