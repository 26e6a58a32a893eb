"""How large the images are that were looked at."""

from __future__ import annotations

from MultiTaskSegLib.runtime.image.geometry import canonical_reorientation
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.model.training_data import ImageSizes, Range


class SeenSizes:
    """Collects the sizes of images; of each image no more is kept than that."""

    def __init__(self) -> None:
        self._voxels: list[list[float]] = []
        self._spacings_mm: list[tuple[float, ...] | None] = []

    def at(self, volume: Volume) -> None:
        """Look at an image."""
        order = canonical_reorientation(volume)
        self._voxels.append([float(volume.shape[axis]) for axis in order.axes])
        self._spacings_mm.append(order.spacing_zyx_mm(volume) if volume.has_physical_size else None)

    def sizes(self) -> ImageSizes:
        """Of all images; the size of voxels only where every image states one."""
        known = [spacing for spacing in self._spacings_mm if spacing is not None]
        is_known = len(known) == len(self._voxels)
        return ImageSizes(len(self._voxels), _ranges(self._voxels), _ranges(known) if is_known else None)


def _ranges(rows: list[list[float]] | list[tuple[float, ...]]) -> tuple[Range, Range, Range]:
    z, y, x = ((min(values), max(values)) for values in zip(*rows, strict=True))
    return z, y, x
