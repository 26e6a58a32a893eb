"""One DICOM series from a folder, sorted by position."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.runtime.header.data_file import NO_ORIENTATION
from MultiTaskSegLib.runtime.header.dicom_element import TRANSFER_SYNTAX, read_elements, text_of
from MultiTaskSegLib.runtime.image.dicom_frames import placed, read_frames
from MultiTaskSegLib.runtime.image.dicom_pixel import (
    PHOTOMETRIC_INTERPRETATION,
    TAGS,
    shading_notes,
    sized_pixels,
    thickness_mm,
)
from MultiTaskSegLib.runtime.image.itk_reader import (
    ItkImage,
    metadata_text,
    metadata_texts,
    read_itk,
    text_name,
)
from MultiTaskSegLib.runtime.image.slice_stack import stacked
from MultiTaskSegLib.runtime.image.volume import Measured
from MultiTaskSegLib.runtime.machine.native_output import captured_native_output
from MultiTaskSegLib.runtime.pixel.block_ringing import without_ringing
from MultiTaskSegLib.runtime.pixel.grey_pixels import grey

SERIES_UID = "0020|000e"
SERIES_DESCRIPTION = "0008|103e"
IMAGE_TYPE = "0008|0008"
_LOSSY_JPEG = ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51")
POSITION, ORIENTATION = "0020|0032", "0020|0037"


@dataclass(frozen=True)
class _Slice:
    """One file: geometry ``(4, 4)`` in LPS millimetres, which of size, place and orientation it states, its series."""

    path: Path
    ijk_to_lps: NDArray[np.float64]
    has_size: bool
    has_place: bool
    has_orientation: bool
    size: tuple[int, ...]
    series: str
    description: str


def read_dicom_folder(folder: Path) -> tuple[ItkImage, Measured]:
    """Read the one series in `folder` (not in its sub-folders); files that are not DICOM images are passed over.

    Returns:
        The image, and which of its sizes the files state.

    Raises:
        InputError: no DICOM image, several series, mixed sizes or orientations, slices missing, doubled, unevenly
            spaced or shifted (gantry tilt), a damaged file, colours, measured values that are stored inverted, a
            mosaic, frames that are no slices of one volume.
    """
    files = sorted(entry for entry in folder.iterdir() if entry.is_file() and entry.name.upper() != "DICOMDIR")
    slices = [one for one in map(_inspect, files) if one is not None]
    if not slices:
        raise InputError(
            "the folder holds no DICOM image",
            file=folder,
            remedy="Give the folder that directly contains the DICOM files",
        )
    _require_one_series(slices, folder)
    if len(slices) == 1:
        return read_dicom_file(slices[0].path)
    _require_places(slices)
    _require_same_grid(slices, folder)
    return _stack(slices, folder), "voxel" if all(one.has_size for one in slices) else "nothing"


def read_dicom_file(path: Path) -> tuple[ItkImage, Measured]:
    """Read one DICOM file; a single slice is as thick as it says.

    Returns:
        The image, and which of its sizes the file states.

    Raises:
        InputError: as `read_itk`; also colours, measured values that are stored inverted, a mosaic, and frames that are
            no slices of one volume.
    """
    frames = read_frames(path)
    image = _scalar(path, has_own_steps=frames is not None)
    if frames is not None or image.pixels.shape[0] > 1:
        return placed(image, frames, path)
    matrix, has_size = sized_pixels(image.tags, image.ijk_to_lps, path)
    if _is_jpeg(path):
        image = replace(image, pixels=without_ringing(image.pixels))
    is_flat, depth_mm = image.pixels.shape[0] == 1, thickness_mm(image.tags)
    # GDCM knows the distance of slices only; alone, a slice has none and would be 1 mm thick.
    if is_flat and depth_mm is not None:
        matrix = _as_thick(matrix, depth_mm)
    has_depth = depth_mm is not None or not is_flat
    return replace(image, ijk_to_lps=matrix), ("voxel" if has_depth else "pixel") if has_size else "nothing"


def _as_thick(matrix: NDArray[np.float64], depth_mm: float) -> NDArray[np.float64]:
    """The grid of a lone slice with its thickness in place of the distance to others, however small that is said to be;
    as it is where it leads nowhere."""
    step_mm = np.abs(matrix[:3, 2]).max()
    if not 0 < step_mm < np.inf:
        return matrix
    matrix = matrix.copy()
    # Before it is squared, which would make nothing of the smallest numbers.
    matrix[:3, 2] /= step_mm
    matrix[:3, 2] *= depth_mm / np.linalg.norm(matrix[:3, 2])
    return matrix


def _is_jpeg(path: Path) -> bool:
    """Whether pixels are stored in lossy JPEG, as ultrasound often is; what cannot be read on GDCM has read."""
    try:
        return text_of(read_elements(path), TRANSFER_SYNTAX) in _LOSSY_JPEG
    except ValueError:
        return False


def _inspect(path: Path) -> _Slice | None:
    reader = sitk.ImageFileReader()
    try:
        with captured_native_output():
            reader.SetFileName(text_name(path))
            reader.SetImageIO("GDCMImageIO")
            reader.LoadPrivateTagsOff()
            reader.ReadImageInformation()
    except (RuntimeError, UnicodeError):
        _require_not_an_image(path)
        return None
    rank = reader.GetDimension()
    matrix = np.eye(4)
    matrix[:rank, :rank] = np.reshape(reader.GetDirection(), (rank, rank)) * np.array(reader.GetSpacing())
    matrix[:rank, 3] = reader.GetOrigin()
    series, description = (metadata_text(reader, key) for key in (SERIES_UID, SERIES_DESCRIPTION))
    matrix, has_size = sized_pixels(metadata_texts(reader, TAGS), matrix, path)
    # Without a position GDCM says 0; files of one frame may have it in functional groups.
    has_place = bool(metadata_text(reader, POSITION) or matrix[:3, 3].any())
    is_turned = np.count_nonzero(matrix[:3, :3]) > 3 or matrix.diagonal().min() < 0
    has_orientation = bool(metadata_text(reader, ORIENTATION) or is_turned)
    return _Slice(path, matrix, has_size, has_place, has_orientation, reader.GetSize(), series, description)


def _require_not_an_image(path: Path) -> None:
    """Reports and structure sets lie beside images; an unreadable file of a size fit for pixels is a damaged image."""
    with path.open("rb") as file:
        head = file.read(1 << 14)
    if head[128:132] == b"DICM" and b"1.2.840.10008.5.1.4.1.1." in head:
        uid = head.split(b"1.2.840.10008.5.1.4.1.1.", 1)[1][:12].split(b"\0", 1)[0]
        # PS3.4 Annex B: 2 CT, 4 MR, 1 CR and DX, 6 ultrasound, 7 secondary capture, 20 NM, 128 PET hold pixels.
        if uid.split(b".")[0][:3] in (b"2", b"4", b"1", b"6", b"7", b"20", b"128"):
            raise InputError("a DICOM image in the folder is damaged", file=path, remedy="Export the series again")


def _require_one_series(slices: list[_Slice], folder: Path) -> None:
    counts = Counter(one.series for one in slices)
    if len(counts) > 1:
        names = {one.series: one.description or f"series {one.series[-8:]}" for one in slices}
        listed = ", ".join(f"'{names[uid]}' ({count} files)" for uid, count in counts.most_common(6))
        raise InputError(
            f"the folder holds {len(counts)} series: {listed}",
            file=folder,
            remedy="Put the series to segment into a folder of its own",
        )


def _require_places(slices: list[_Slice]) -> None:
    without = [one for one in slices if not one.has_place]
    if without:
        raise InputError(
            f"{len(without)} of {len(slices)} slices do not say where they lie (ImagePositionPatient)",
            file=without[0].path,
            remedy="Export the series again with the positions of its slices, or give one slice",
        )


def _require_same_grid(slices: list[_Slice], folder: Path) -> None:
    first = slices[0]
    for one in slices[1:]:
        if one.size != first.size or one.size[2:] not in ((), (1,)):
            raise InputError(
                f"the slices have different sizes, {first.size} and {one.size}",
                file=one.path,
                remedy="Keep one stack of equal slices in the folder",
            )
        if np.abs(one.ijk_to_lps[:3, :2] - first.ijk_to_lps[:3, :2]).max() > 1e-3:
            raise InputError(
                "the slices have different orientations or pixel spacings",
                file=one.path,
                remedy="Remove localizers and other stacks from the folder",
            )


def _stack(slices: list[_Slice], folder: Path) -> ItkImage:
    origins_mm = np.array([one.ijk_to_lps[:3, 3] for one in slices])
    stack = stacked(origins_mm, slices[0].ijk_to_lps[:3, :2], [one.path.name for one in slices], folder)
    images = [_scalar(slices[place].path) for place in stack.order]
    messages = tuple(dict.fromkeys(line for image in images for line in image.messages))
    # Rescaled slices may differ in type; float32 holds every 16-bit value times its slope.
    pixels = np.concatenate([image.pixels.astype(np.float32) for image in images])
    notes = stack.notes if all(one.has_orientation for one in slices) else (*stack.notes, NO_ORIENTATION)
    return ItkImage(pixels, stack.ijk_to_lps, messages + notes)


def _scalar(path: Path, has_own_steps: bool = False) -> ItkImage:
    image = read_itk(path, "GDCMImageIO", tags=(*TAGS, IMAGE_TYPE), has_own_steps=has_own_steps)
    if "MOSAIC" in image.tags.get(IMAGE_TYPE, "").upper().split("\\"):
        raise InputError(
            "the DICOM image is a mosaic: the slices of a volume side by side in one picture",
            file=path,
            remedy="Convert it to a volume, for example with dcm2niix",
        )
    is_luma = image.tags.get(PHOTOMETRIC_INTERPRETATION, "").startswith("YBR")
    pixels, notes = grey(image.pixels, path, is_luma)
    return replace(image, pixels=pixels, messages=image.messages + notes + shading_notes(image.tags, path))
