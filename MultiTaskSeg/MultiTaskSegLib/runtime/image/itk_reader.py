"""One file through ITK: pixels and geometry, or a typed error. Nothing reaches the terminal."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.runtime.image.nifti_integrity import MAX_DEFLATE_RATIO, MAX_VOXELS, SHEAR_REMEDY, SHEARED
from MultiTaskSegLib.runtime.machine.memory_shortage import is_out_of_memory, memory_error
from MultiTaskSegLib.runtime.machine.native_output import captured_native_output

MAX_SKEW = 1e-3
"""Largest cosine between two axes of a voxel grid that still counts as a right angle."""

_EXPORT_AGAIN = "Export or download the file again"
# These libraries print the damage and return success.
_DAMAGE = re.compile(r"premature end|corrupt|uncompress failed|not read completely|fatal|libpng error", re.IGNORECASE)


@dataclass(frozen=True)
class ItkImage:
    """Pixels and geometry of one file.

    Attributes:
        pixels: ``(Z, Y, X)`` or ``(Z, Y, X, C)`` in the type of the file.
        ijk_to_lps: float64 ``(4, 4)``, voxel index to LPS millimetres.
        messages: lines that the libraries printed.
        rank: number of axes in the file; one of two axes has no thickness.
        tags: of those that were asked for, the ones that are there.
    """

    pixels: NDArray[Any]
    ijk_to_lps: NDArray[np.float64]
    messages: tuple[str, ...]
    rank: int = 3
    tags: Mapping[str, str] = field(default_factory=dict)


def read_itk(
    path: Path, image_io: str, data_bytes: int | None = None, tags: Sequence[str] = (), *, has_own_steps: bool = False
) -> ItkImage:
    """Read one file with the named ITK ImageIO.

    Args:
        path: the file.
        image_io: such as ``"NrrdImageIO"``; a fixed one, so that a wrong name cannot select another parser.
        data_bytes: size of the pixel data on disk, to judge what the header claims. Default: the size of `path`.
        tags: DICOM tags to read, such as ``"0018|0050"``.
        has_own_steps: whether the caller knows the steps from slice to slice: ITK takes those of the first two, which
            are negative in a legal file.

    Raises:
        InputError: the file is damaged, has several frames or complex numbers, or a geometry that no voxel grid can
            have.
        ResourceError: memory runs out.
    """
    reader = sitk.ImageFileReader()
    try:
        with captured_native_output() as messages:
            reader.SetFileName(text_name(path))
            reader.SetImageIO(image_io)
            reader.ReadImageInformation()
            _check_information(reader, path, path.stat().st_size if data_bytes is None else data_bytes)
            _check_spacing(reader.GetSpacing()[: 2 if has_own_steps else None], path)
            image = reader.Execute()
    except (RuntimeError, TypeError, UnicodeError, OverflowError, MemoryError) as error:
        if is_out_of_memory(error):
            raise memory_error(error, path) from error
        if "orthonormal" in str(error):
            raise InputError(SHEARED, file=path, remedy=SHEAR_REMEDY) from error
        raise InputError(f"the file cannot be read ({reason(str(error))})", file=path, remedy=_EXPORT_AGAIN) from error
    if damage := [line for line in messages if _DAMAGE.search(line)]:
        raise InputError(f"the file is damaged ({damage[0]})", file=path, remedy=_EXPORT_AGAIN)
    return ItkImage(
        _pixels(image), grid_matrix(image, path), tuple(messages), image.GetDimension(), metadata_texts(image, tags)
    )


def text_name(path: Path) -> str:
    """The path as ITK takes it. On Linux a file name can be any bytes; ITK's wrapper ends the process at others.

    Raises:
        InputError: the path is no text in UTF-8.
    """
    try:
        return str(path).encode("utf-8").decode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError("the file name is no text in UTF-8", file=path, remedy="Rename the file") from error


def metadata_texts(source: Any, keys: Sequence[str]) -> dict[str, str]:
    """Entries of the metadata of an image or a reader that are there and are text, by key."""
    texts = {key: metadata_text(source, key) for key in keys}
    return {key: text for key, text in texts.items() if text}


def metadata_text(source: Any, key: str) -> str:
    """One entry of the metadata of an image or a reader, empty where it is absent or is no text.

    Only single keys are asked for: the keys of a damaged file may not even be text.
    """
    try:
        text: str = source.GetMetaData(key).strip() if source.HasMetaDataKey(key) else ""
    except TypeError:
        return ""
    # Old files use other character sets than they declare; what cannot be shown becomes a question mark.
    return text.encode("utf-8", "replace").decode("utf-8")


def reason(text: str) -> str:
    """The informative end of an ITK exception text.

    >>> reason("Exception thrown in SimpleITK X: /a/b.cxx:490:\\nITK ERROR: MetaImageIO(0x55): File cannot be read")
    'File cannot be read'
    """
    # Of the chain of a NRRD file's reader the last link says what is wrong.
    tail = re.split(r"ERROR: |\[nrrd\] \w+: (?!trouble)", text.strip())[-1]
    return " ".join(re.sub(r"\w+\(0x[0-9a-f]+\): ", "", tail).split())[:160]


def _check_information(reader: sitk.ImageFileReader, path: Path, data_bytes: int) -> None:
    size = reader.GetSize()
    if any(count > 1 for count in size[3:]):
        raise InputError(
            f"the image is {len(size)}-D with {math.prod(size[3:])} frames",
            file=path,
            remedy="Save the frame of interest as a 3-D image",
        )
    # Turned into real numbers they would lose their imaginary part, with a warning to nobody.
    if "complex" in sitk.GetPixelIDValueAsString(reader.GetPixelIDValue()):
        raise InputError(
            "the voxels are complex numbers", file=path, remedy="Save the image with one real number per voxel"
        )
    if min(size) < 1:
        raise InputError("the file holds no pixels", file=path, remedy=_EXPORT_AGAIN)
    if math.prod(size) > MAX_VOXELS:
        raise InputError(
            f"the header claims {' x '.join(map(str, size))} voxels",
            file=path,
            remedy=f"Give an image of at most {MAX_VOXELS} voxels",
        )
    if math.prod(size) > data_bytes * MAX_DEFLATE_RATIO * 8:  # 8: single-bit pixels
        raise InputError(
            f"{' x '.join(map(str, size))} voxels do not fit into {data_bytes} bytes", file=path, remedy=_EXPORT_AGAIN
        )


def _check_spacing(spacings_mm: Sequence[float], path: Path) -> None:
    for axis, spacing_mm in zip("xyz", spacings_mm, strict=False):
        if not (math.isfinite(spacing_mm) and spacing_mm > 0):
            raise InputError(
                f"the spacing along {axis} is {spacing_mm:g} mm",
                file=path,
                remedy="Correct the voxel spacing in the header",
            )


def _pixels(image: sitk.Image) -> NDArray[Any]:
    pixels: NDArray[Any] = sitk.GetArrayFromImage(image)
    spatial = image.GetSize()
    channels = pixels.shape[len(spatial) :]
    return pixels.reshape((1,) * max(0, 3 - len(spatial)) + tuple(reversed(spatial[:3])) + channels)


def grid_matrix(image: Any, path: Path) -> NDArray[np.float64]:
    """float64 ``(4, 4)``: voxel index to LPS millimetres, of an image or of a header that was read; 2-D images lie in
    the plane z = 0.

    Raises:
        InputError: the grid is sheared, singular or not finite.
    """
    rank = min(image.GetDimension(), 3)
    direction = np.eye(3)
    full_rank = image.GetDimension()
    direction[:rank, :rank] = np.reshape(image.GetDirection(), (full_rank, full_rank))[:rank, :rank]
    if not np.isfinite(direction).all() or np.abs(direction.T @ direction - np.eye(3)).max() > MAX_SKEW:
        raise InputError(SHEARED, file=path, remedy=SHEAR_REMEDY)
    matrix = np.eye(4)
    spacing_mm = np.array([*image.GetSpacing()[:rank], *[1.0] * (3 - rank)])
    matrix[:3, :3] = direction * spacing_mm
    matrix[:rank, 3] = image.GetOrigin()[:rank]
    return matrix
