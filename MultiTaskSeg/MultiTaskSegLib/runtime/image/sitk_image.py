"""Arrays on a volume's grid as SimpleITK images, and writing them atomically."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.errors import ResourceError
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.machine.atomic_file import atomic_path
from MultiTaskSegLib.runtime.machine.native_output import captured_native_output

FILE_NOTE = "MultiTaskSeg result"
"""What the header of a NIfTI file says that this program may write again (field ``descrip``)."""

_NIFTI_HEADER_BYTES, _NOTE_AT = 348, 148
_GZIP_MAGIC = b"\x1f\x8b"
_MAX_HEADER_BYTES = 1 << 20
_CHUNK_BYTES = 1 << 22


def to_sitk(array: NDArray[np.generic], volume: Volume) -> sitk.Image:
    """An array ``(Z, Y, X)`` with the volume's origin, spacing and direction (LPS)."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(array))
    image.SetSpacing(volume.spacing_mm)
    image.SetOrigin(tuple(float(v) for v in volume.ijk_to_lps[:3, 3]))
    direction = volume.ijk_to_lps[:3, :3] / np.asarray(volume.spacing_mm)
    image.SetDirection(tuple(float(v) for v in direction.ravel()))
    image.SetMetaData("ITK_FileNotes", FILE_NOTE)
    return image


def made_here(path: Path) -> bool:
    """Whether a NIfTI file was written as `FILE_NOTE` says; a file that cannot be read was not."""
    try:
        with path.open("rb") as raw:
            is_compressed = raw.read(2) == _GZIP_MAGIC
            raw.seek(0)
            head = (gzip.GzipFile(fileobj=raw) if is_compressed else raw).read(_NIFTI_HEADER_BYTES)
    except (OSError, EOFError, zlib.error):
        return False
    return head[_NOTE_AT : _NOTE_AT + len(FILE_NOTE)] == FILE_NOTE.encode()


def write_image(image: sitk.Image, path: Path) -> None:
    """Write an image atomically, compressed.

    ITK's NIfTI writer reports success whatever became of the voxels: they are counted before the file is put in place.

    Raises:
        ResourceError: the file cannot be written, or not completely.
    """
    with atomic_path(path) as temporary:
        try:
            # A path that is no text would end the process.
            name = str(temporary).encode("utf-8").decode("utf-8")
            with captured_native_output():
                sitk.WriteImage(image, name, useCompression=True)
        except UnicodeEncodeError as error:
            raise ResourceError("the path is no text in UTF-8", file=path, remedy="Rename the folder") from error
        except RuntimeError as error:
            raise ResourceError(
                "the image cannot be written", file=path, remedy="Check permissions and free disk space"
            ) from error
        voxel_bytes = sitk.GetArrayViewFromImage(image).nbytes
        if _stored_bytes(temporary) < voxel_bytes:
            raise ResourceError(
                f"the image could not be written completely (it has {voxel_bytes} bytes of voxels)",
                file=path,
                remedy="Free disk space, or write to another disk",
            )


def _stored_bytes(path: Path) -> int:
    """How many bytes of voxels a compressed file gives back, its header included where that is compressed, too."""
    done = 0
    with path.open("rb") as file:
        head = file.read(_MAX_HEADER_BYTES)
        # NIfTI is compressed as a whole, NRRD behind its header, which ends with an empty line.
        file.seek(0 if head.startswith(_GZIP_MAGIC) else head.find(b"\n\n") + 2)
        try:
            with gzip.GzipFile(fileobj=file) as stream:
                while count := len(stream.read(_CHUNK_BYTES)):
                    done += count
        except (EOFError, OSError, zlib.error):
            return 0
    return done
