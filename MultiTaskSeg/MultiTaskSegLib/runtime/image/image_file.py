"""Image files and label maps: NIfTI, NRRD, MetaImage, a DICOM folder, PNG and JPEG."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.runtime.header.dicom_element import looks_like_dicom
from MultiTaskSegLib.runtime.header.grey_png import transparent_grey
from MultiTaskSegLib.runtime.header.picture_header import turning_matrix, viewer_orientation
from MultiTaskSegLib.runtime.image.dicom_folder import read_dicom_file, read_dicom_folder
from MultiTaskSegLib.runtime.image.itk_reader import ItkImage, read_itk
from MultiTaskSegLib.runtime.image.meta_integrity import check_meta
from MultiTaskSegLib.runtime.image.nifti_integrity import check_nifti, write_as_volume
from MultiTaskSegLib.runtime.image.nonfinite import mend_nonfinite
from MultiTaskSegLib.runtime.image.nrrd_integrity import check_nrrd
from MultiTaskSegLib.runtime.image.volume import Measured, Volume, require_invertible
from MultiTaskSegLib.runtime.machine.memory_shortage import memory_checked
from MultiTaskSegLib.runtime.pixel.block_ringing import without_ringing
from MultiTaskSegLib.runtime.pixel.grey_pixels import grey

IMAGE_IO = {
    ".nii": "NiftiImageIO",
    ".nii.gz": "NiftiImageIO",
    ".nrrd": "NrrdImageIO",
    ".nhdr": "NrrdImageIO",
    ".mha": "MetaImageIO",
    ".mhd": "MetaImageIO",
    ".dcm": "GDCMImageIO",
    ".png": "PNGImageIO",
    ".jpg": "JPEGImageIO",
    ".jpeg": "JPEGImageIO",
}
"""File name endings that are read, and the ITK reader for each."""

MAX_NIFTI_SIDE = 32767
"""Most voxels along an axis that a NIfTI-1 file can have: its header counts them in 16 bits."""

_MARKS = {
    b"\x89PNG\r\n\x1a\n": ".png", b"\xff\xd8\xff": ".jpg", b"GIF8": ".gif", b"BM": ".bmp", b"II*\0": ".tif",
    b"MM\0*": ".tif", b"RIFF": ".webp",
}  # fmt: skip
"""How pictures of other kinds begin, with the ending of their names."""

_PLANAR_IO = ("PNGImageIO", "JPEGImageIO")
_KNOWN = "Give NIfTI (.nii, .nii.gz), NRRD, MHA, PNG, JPEG or a DICOM folder"
_NO_SIZE = "the file states no size of its voxels; 1 mm is assumed, and no result is given in millimetres"


@dataclass(frozen=True)
class _Grid:
    """Pixels ``(Z, Y, X)`` in the type of the file, geometry, what of it the file states, and positions that ITK has
    already falsified."""

    pixels: NDArray[Any]
    ijk_to_lps: NDArray[np.float64]
    warnings: tuple[str, ...]
    measured: Measured
    nonfinite_index: NDArray[np.int64]


def read_image(path: str | Path) -> Volume:
    """Read one scalar image; a 2-D image becomes a volume of one slice.

    PNG and JPEG have no size in millimetres: what they store is a hint for printing. Of other files that state none
    `Volume.warnings` says so. Up to 0.1 % of NaN or infinite voxels are replaced by the smallest finite value, with a
    warning, too.

    Raises:
        InputError: the file is missing, damaged, truncated, of an unknown format, has several frames or colours, too
            many voxels that are not finite, or an impossible geometry.
        ResourceError: memory runs out.
    """
    path = Path(path)
    grid = _read_grid(path)
    _require_writable(grid.pixels.shape, path)
    with memory_checked(path), np.errstate(over="ignore"):
        voxels = np.ascontiguousarray(grid.pixels, dtype=np.float32)
        voxels, mended = mend_nonfinite(voxels, str(path), grid.nonfinite_index)
    return Volume(voxels, grid.ijk_to_lps, image_name(path), grid.warnings + mended, grid.measured)


def read_label_map(path: str | Path) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Read a label map: int32 ``(Z, Y, X)`` and float64 ``(4, 4)`` voxel index to LPS millimetres.

    Raises:
        InputError: as `read_image`; also for values that are not whole numbers, and for JPEG, which alters labels.
    """
    path = Path(path)
    if path.suffix.lower() in (".jpg", ".jpeg"):
        raise InputError("JPEG compression alters label values", file=path, remedy="Save the label map as PNG or NIfTI")
    grid = _read_grid(path)
    # No grid can be compared with one that is not finite, as of a lone slice with a distance of next to nothing.
    require_invertible(grid.ijk_to_lps, str(path))
    if grid.nonfinite_index.size or (grid.pixels.dtype.kind == "f" and not np.isfinite(grid.pixels).all()):
        raise InputError("the label map holds NaN or infinite values", file=path, remedy="Correct the label map")
    if grid.pixels.dtype.kind == "f" and (odd := np.flatnonzero(grid.pixels != np.round(grid.pixels))).size:
        raise InputError(
            f"the label map holds {grid.pixels.flat[odd[0]]:g}, which is not a whole number",
            file=path,
            remedy="Export the label map without interpolation or smoothing",
        )
    if grid.pixels.size and max(abs(int(grid.pixels.min())), abs(int(grid.pixels.max()))) > np.iinfo(np.int32).max:
        raise InputError("the label map holds values beyond 32 bits", file=path, remedy="Correct the label map")
    with memory_checked(path):
        return np.ascontiguousarray(grid.pixels, dtype=np.int32), grid.ijk_to_lps


def require_contrast(volume: Volume) -> None:
    """Refuse an image in which nothing can be seen.

    Raises:
        InputError: all voxels have the same value.
    """
    low, high = float(volume.voxels.min()), float(volume.voxels.max())
    if low == high:
        raise InputError(
            f"the image is constant: every voxel is {low:g}",
            file=volume.name or None,
            remedy="Check the export; there is nothing to segment",
        )


def image_name(path: Path) -> str:
    """What to call an image; ``.`` and ``..`` are called like the folders that they mean.

    >>> image_name(Path("scans/head.nii.gz")), image_name(Path(".")) == Path.cwd().name
    ('head.nii.gz', True)
    """
    return path.name if path.name not in ("", "..") else path.resolve().name


def image_ending(path: Path) -> str:
    """The ending that decides the format, in lower case; empty where it is unknown.

    >>> image_ending(Path("Scan.NII.GZ")), image_ending(Path("notes.txt"))
    ('.nii.gz', '')
    """
    return next(
        (ending for ending in sorted(IMAGE_IO, key=len, reverse=True) if path.name.lower().endswith(ending)), ""
    )


def _require_writable(shape: tuple[int, ...], path: Path) -> None:
    """Refuse before the network runs what could not be written afterwards."""
    if max(shape) > MAX_NIFTI_SIDE:
        raise InputError(
            f"the image is too long for a result in NIfTI: {' x '.join(map(str, shape[::-1]))} voxels, "
            f"at most {MAX_NIFTI_SIDE} along an axis",
            file=path,
            remedy="Cut or resample the image",
        )


def _read_grid(path: Path) -> _Grid:
    try:
        with memory_checked(path):
            return _read_any(path)
    except PermissionError as error:
        raise InputError("no permission to read", file=path, remedy="Change the access rights") from error
    except (OSError, ValueError) as error:
        detail = getattr(error, "strerror", None) or str(error)
        raise InputError(f"the file cannot be read ({detail})", file=path, remedy="Check the path") from error


def _read_any(path: Path) -> _Grid:
    ending = "" if path.is_dir() else _require_readable(path)
    if ending in (".nii", ".nii.gz"):
        return _read_nifti(path)
    if ending in ("", ".dcm"):
        image, measured = read_dicom_file(path) if ending else read_dicom_folder(path)
        return _grid(image.pixels, image.ijk_to_lps, image.messages, measured)
    return _read_picture(path, IMAGE_IO[ending]) if IMAGE_IO[ending] in _PLANAR_IO else _read_raster(path, ending)


def _require_readable(path: Path) -> str:
    if not path.exists():
        raise InputError("there is no such file", file=path, remedy="Check the path")
    if not path.is_file():
        raise InputError("this is neither a file nor a folder", file=path, remedy=_KNOWN)
    if path.stat().st_size == 0:
        raise InputError("the file is empty", file=path, remedy="Export or download the file again")
    ending = image_ending(path)
    if not ending and looks_like_dicom(path):
        return ".dcm"
    if not ending:
        raise InputError("the format is unknown", file=path, remedy=_KNOWN)
    return ending


def _read_nifti(path: Path) -> _Grid:
    content = check_nifti(path)
    image = read_itk(path, "NiftiImageIO") if len(content.header.dims) > 2 else _read_flat_nifti(path)
    if image.pixels.size != content.header.voxel_count:
        raise InputError(
            "ITK read another number of voxels than the header gives", file=path, remedy="Export the file again"
        )
    # The check has said it better.
    messages = tuple(line for line in image.messages if "unexpected scales in sform" not in line)
    header = content.header
    notes = content.warnings + messages + header.orientation_notes(image.ijk_to_lps)
    pixels = image.pixels - header.added_by_itk if header.added_by_itk else image.pixels
    return _grid(pixels, image.ijk_to_lps, notes, header.measured, content.nonfinite_index)


def _read_flat_nifti(path: Path) -> ItkImage:
    """A 2-D image with the place and the thickness that its header states."""
    with tempfile.TemporaryDirectory() as folder:
        volume = Path(folder) / "volume.nii"
        write_as_volume(path, volume)
        return _read_copy(volume, path, "NiftiImageIO")


def _read_copy(copy: Path, path: Path, image_io: str) -> ItkImage:
    """Read a file that was written for ITK; what is wrong with it is wrong with the user's file."""
    try:
        return read_itk(copy, image_io)
    except InputError as error:
        raise InputError(error.what.replace(str(copy), path.name), file=path, remedy=error.remedy) from error


def _grid(
    pixels: NDArray[Any],
    ijk_to_lps: NDArray[np.float64],
    warnings: tuple[str, ...],
    measured: Measured,
    nonfinite_index: NDArray[np.int64] | None = None,
) -> _Grid:
    """A grid that says so when its size is not known."""
    notes = warnings if measured != "nothing" else (*warnings, _NO_SIZE)
    return _Grid(
        pixels, ijk_to_lps, notes, measured, np.empty(0, np.int64) if nonfinite_index is None else nonfinite_index
    )


def _read_picture(path: Path, image_io: str) -> _Grid:
    """PNG and JPEG. The pixels stay as they are stored; how a viewer turns them is the orientation of the grid."""
    image = picture_pixels(path, image_io)
    pixels, notes = grey(image.pixels, path)
    if image_io == "JPEGImageIO":
        pixels = without_ringing(pixels)
    orientation = viewer_orientation(path)
    if orientation != 1:
        notes += (
            f"the picture is shown turned by viewers (EXIF orientation {orientation}) and was looked at like that; "
            "results lie on its pixels as they are stored",
        )
    rows, columns = pixels.shape[1:]
    matrix = turning_matrix(orientation, columns, rows)
    return _Grid(pixels, matrix, image.messages + notes, "nothing", np.empty(0, np.int64))


def _require_named_as_it_is(path: Path, image_io: str) -> None:
    """Refuse a picture under the name of another kind, which browsers and mail programs make."""
    with path.open("rb") as file:
        head = file.read(max(map(len, _MARKS)))
    ending = next((ending for mark, ending in _MARKS.items() if head.startswith(mark)), None)
    if ending is not None and IMAGE_IO.get(ending) != image_io:
        what = f"the file is a {ending[1:].upper()} picture, though its name says otherwise"
        remedy = f"Rename it to {path.stem}{ending}" if ending in IMAGE_IO else "Save it as PNG"
        raise InputError(what, file=path, remedy=remedy)


def picture_pixels(path: Path, image_io: str) -> ItkImage:
    """The pixels of a PNG or JPEG file as they are stored: ``(1, Y, X)``, or ``(1, Y, X, C)`` with colours or alpha.

    Args:
        path: the file.
        image_io: ITK's reader of its kind.

    Raises:
        InputError: the file is damaged, or a picture of another kind.
    """
    _require_named_as_it_is(path, image_io)
    return _read_transparent_grey(path) or read_itk(path, image_io)


def _read_transparent_grey(path: Path) -> ItkImage | None:
    """Grey and alpha of a PNG file that has both; None for any other picture."""
    stored = transparent_grey(path)
    if stored is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "picture.png"
        copy.write_bytes(stored.content)
        image = _read_copy(copy, path, "PNGImageIO")
    return replace(image, pixels=stored.grey_and_alpha(image.pixels))


def _read_raster(path: Path, ending: str) -> _Grid:
    """NRRD and MetaImage, whose pixels may lie in other files."""
    claim = check_nrrd(path) if IMAGE_IO[ending] == "NrrdImageIO" else check_meta(path)
    image = read_itk(path, IMAGE_IO[ending], claim.data_bytes)
    if image.pixels.ndim != 3:
        raise InputError(
            f"the image holds {image.pixels.shape[-1]} values per voxel",
            file=path,
            remedy="Save one channel as a scalar image",
        )
    matrix = image.ijk_to_lps
    matrix[:3] *= claim.mm_per_unit
    is_slice = image.rank == 2
    if is_slice:
        matrix[2, 2] = 1.0
    measured: Measured = ("pixel" if is_slice else "voxel") if claim.has_size else "nothing"
    return _grid(image.pixels, matrix, image.messages + (() if is_slice else claim.notes), measured)
