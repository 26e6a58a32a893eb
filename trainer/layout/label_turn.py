"""Label maps stored with other axes than their image: the same voxels in another order, or backwards.

Programs that save labels often turn them into an orientation of their own. By its place in millimetres such a map can
be laid onto the image's grid exactly, by moving voxels only. Nothing is interpolated: another grid stays another grid.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.errors import MtsError
from MultiTaskSegLib.runtime.image.itk_reader import grid_matrix, text_name
from MultiTaskSegLib.runtime.machine.native_output import captured_native_output

_Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class LabelTurn:
    """How the axes of a label map lie along those of an image.

    Attributes:
        axes: for each axis i, j, k of the image, that of the label map which lies along it.
        is_flipped: for each axis of the image, whether the label map runs the other way.
    """

    axes: tuple[int, ...]
    is_flipped: tuple[bool, ...]

    @property
    def is_needed(self) -> bool:
        """Whether the label map is stored otherwise than the image."""
        return self.axes != (0, 1, 2) or any(self.is_flipped)

    def apply(self, labels: NDArray[np.int32], ijk_to_lps: _Matrix) -> tuple[NDArray[np.int32], _Matrix]:
        """The label map with its voxels in the image's order, each where it was in millimetres, as a view.

        Args:
            labels: ``(Z, Y, X)``.
            ijk_to_lps: ``(4, 4)``, voxel index to LPS millimetres.
        """
        flipped = tuple(axis for axis, is_flipped in enumerate(self.is_flipped) if is_flipped)
        turned = np.flip(labels.transpose().transpose(self.axes), flipped)
        index = np.zeros((4, 4))  # from the image's order to the stored one
        index[3, 3] = 1
        for axis, stored in enumerate(self.axes):
            is_flipped = self.is_flipped[axis]
            index[stored, axis] = -1 if is_flipped else 1
            index[stored, 3] = turned.shape[axis] - 1 if is_flipped else 0
        return turned.transpose(), ijk_to_lps @ index


def label_turn(image_ijk_to_lps: _Matrix, label_ijk_to_lps: _Matrix) -> LabelTurn | None:
    """How a label map is turned against an image; None where its voxels do not lie along the image's axes.

    Args:
        image_ijk_to_lps, label_ijk_to_lps: ``(4, 4)``, voxel index to LPS millimetres.
    """
    steps = np.rint(np.linalg.solve(image_ijk_to_lps[:3, :3], label_ijk_to_lps[:3, :3]))
    if not (np.abs(steps).sum(axis=0) == 1).all() or not (np.abs(steps).sum(axis=1) == 1).all():
        return None
    axes = np.abs(steps).argmax(axis=1)
    return LabelTurn(tuple(axes.tolist()), tuple((steps[range(3), axes] < 0).tolist()))


def turned_labels_note(name: str, pairs: Iterable[tuple[Path, Path | None]]) -> str:
    """What to tell of label maps of a dataset that have other axes than their images; empty where none has.

    Args:
        name: of the dataset.
        pairs: image and label file of each case. Only headers are read; what cannot be read is told elsewhere.
    """
    count = sum(label is not None and _is_turned(image, label) for image, label in pairs)
    if not count:
        return ""
    return (
        f"{count} label maps of {name} are stored with other axes than their images; they are laid onto the images' "
        "grids by their places in millimetres"
    )


def _is_turned(image: Path, label: Path) -> bool:
    grids = [_stated_grid(path) for path in (image, label)]
    if grids[0] is None or grids[1] is None:
        return False
    turn = label_turn(grids[0], grids[1])
    return turn is not None and turn.is_needed


def _stated_grid(path: Path) -> _Matrix | None:
    reader = sitk.ImageFileReader()
    try:
        with captured_native_output():
            reader.SetFileName(text_name(path))
            reader.ReadImageInformation()
        return grid_matrix(reader, path) if reader.GetDimension() >= 3 else None
    except (RuntimeError, MtsError):
        return None
