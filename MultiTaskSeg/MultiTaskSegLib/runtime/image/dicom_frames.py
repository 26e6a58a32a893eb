"""The frames of one DICOM file as a volume, with the checks that the files of a series get.

GDCM trusts the first two frames: it takes whatever order they have, several time points, and films for slices.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.runtime.header.dicom_element import Elements, numbers_of, read_elements
from MultiTaskSegLib.runtime.header.dicom_frame import (
    NUMBER_OF_FRAMES,
    FramePlaces,
    are_nuclear_slices,
    frame_places,
    plane_offsets_mm,
    what_changes,
)
from MultiTaskSegLib.runtime.image.itk_reader import ItkImage
from MultiTaskSegLib.runtime.image.slice_stack import SliceStack, stacked
from MultiTaskSegLib.runtime.image.volume import Measured

_ONE_FRAME = "Save the frame of interest as an image of its own, or the volume as NIfTI"


@dataclass(frozen=True)
class Frames:
    """What a file says of where its frames lie.

    Attributes:
        count: how many there are.
        stack: their order and their grid; None where they are given in another way.
        has_thickness: whether it is known how far the grid reaches across the slices.
        offsets_mm: along the normal, from the first frame; empty where they are given in another way.
    """

    count: int
    stack: SliceStack | None = None
    has_thickness: bool = True
    offsets_mm: tuple[float, ...] = ()


def read_frames(path: Path) -> Frames | None:
    """What a file says of its frames; None for an image of one frame without functional groups.

    Raises:
        InputError: several frames have no places, lie at the same one, are turned or scaled differently, or are
            missing, unevenly spaced or shifted.
    """
    try:
        elements = read_elements(path)
    except ValueError:
        return None  # GDCM will say what is damaged, or read it: then as many frames as there are have no places
    stated = numbers_of(elements, NUMBER_OF_FRAMES)
    count = int(stated[0]) if stated else 1
    places = _places(elements, path)
    if places is not None and len(places.origins_mm) == count:
        return Frames(count, _stack(places, path), count > 1 or places.thickness_mm is not None)
    if count == 1 and (places is None or len(places.origins_mm) < 2):
        return None
    if count == 1 and places is not None:
        what = f"the DICOM file gives places to {len(places.origins_mm)} frames but says that it holds one"
        raise InputError(what, file=path, remedy="Export the image again")
    if len(offsets_mm := plane_offsets_mm(elements)) == count:
        return Frames(count, offsets_mm=tuple(offsets_mm))
    if are_nuclear_slices(elements, count):
        return Frames(count)
    raise InputError(f"the DICOM file holds {count} {what_changes(elements)}", file=path, remedy=_ONE_FRAME)


def placed(image: ItkImage, frames: Frames | None, path: Path) -> tuple[ItkImage, Measured]:
    """The pixels of a file as a volume on the grid of its frames.

    Args:
        image: from GDCM, ``(frames, Y, X)``.
        frames: from `read_frames`.
        path: the file, for messages.

    Raises:
        InputError: there are more frames than places, or planes of dose are unevenly spaced.
    """
    count = image.pixels.shape[0]
    if frames is None or frames.count != count:
        raise InputError(f"the DICOM file holds {count} frames without places", file=path, remedy=_ONE_FRAME)
    stack = frames.stack
    if frames.offsets_mm:
        in_plane = image.ijk_to_lps[:3, :2]
        origins_mm = image.ijk_to_lps[:3, 3] + np.outer(frames.offsets_mm, _normal(in_plane))
        stack = _stack(FramePlaces(origins_mm, in_plane, None), path)
    if stack is None:
        return image, "voxel"
    pixels = image.pixels if list(stack.order) == list(range(count)) else image.pixels[list(stack.order)]
    volume = replace(image, pixels=pixels, ijk_to_lps=stack.ijk_to_lps, messages=image.messages + stack.notes)
    return volume, "voxel" if frames.has_thickness else "pixel"


def _places(elements: Elements, path: Path) -> FramePlaces | None:
    try:
        return frame_places(elements)
    except ValueError as error:
        raise InputError(f"the DICOM file is no single volume: {error}", file=path, remedy=_ONE_FRAME) from error


def _stack(places: FramePlaces, path: Path) -> SliceStack:
    count = len(places.origins_mm)
    if count > 1:
        names = [f"frame {number}" for number in range(1, count + 1)]
        return stacked(places.origins_mm, places.in_plane, names, path)
    matrix = np.eye(4)
    matrix[:3, :2], matrix[:3, 3] = places.in_plane, places.origins_mm[0]
    matrix[:3, 2] = _normal(places.in_plane) * (places.thickness_mm or 1.0)
    return SliceStack((0,), matrix)


def _normal(in_plane: NDArray[np.float64]) -> NDArray[np.float64]:
    across = np.cross(in_plane[:, 0], in_plane[:, 1])
    normal: NDArray[np.float64] = across / np.linalg.norm(across)
    return normal
