"""Does a NIfTI file hold what its header promises?

ITK reads a truncated NIfTI file as success with zeros at the end, turns NaN voxels and NaN header fields into 0 and
zero spacing into 1 mm. This file therefore streams the file once beforehand: header, payload size, gzip checksum,
voxels that are not finite. Field offsets: nifti1.h, https://nifti.nimh.nih.gov. ITK reads no NIfTI-2.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.runtime.header.data_file import NO_ORIENTATION
from MultiTaskSegLib.runtime.header.length_unit import millimetres_per
from MultiTaskSegLib.runtime.header.nifti_grid import contradiction, qform_to_lps, sform_to_lps
from MultiTaskSegLib.runtime.image.volume import Measured

MAX_VOXELS = 2**30
"""Largest image that is accepted, in voxels: 1024 x 1024 x 1024."""

MAX_DEFLATE_RATIO = 1032
"""No deflate stream expands further than this, so a larger claim is false (zlib technical details)."""

MAX_NONFINITE_FRACTION = 0.001
"""Share of NaN or infinite voxels up to which an image is mended; above it is refused."""

SHEARED = "the voxel grid is sheared (gantry tilt or an affine registration)"
SHEAR_REMEDY = "Resample the image to a grid with right angles"

_GZIP_MAGIC = b"\x1f\x8b"
_CHUNK_BYTES = 1 << 22
_MAX_SHEAR = 1e-4  # as ITK; its permissive mode was found to turn the axes of a sheared grid into others
_EXPORT_AGAIN = "Export or download the file again"
_MAX_SCALE_DIFFERENCE = 0.01
_LENGTH_UNITS = ("", "m", "mm", "um", "code 4", "code 5", "code 6", "code 7")  # by the lowest bits of xyzt_units
_SCALAR_TYPES = {
    2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8",
}  # fmt: skip
_OTHER_TYPES = {
    1: "single bits", 32: "complex numbers", 128: "RGB colours", 1536: "128-bit floats", 1792: "complex numbers",
    2048: "complex numbers", 2304: "RGBA colours",
}  # fmt: skip


@dataclass(frozen=True)
class NiftiHeader:
    """The fields of a NIfTI-1 header that decide whether and how a file can be used."""

    dims: tuple[int, ...]
    datatype: int
    bitpix: int
    pixdim: tuple[float, ...]
    length_unit: str
    vox_offset: float
    scl: tuple[float, float]
    qform_code: int
    sform_code: int
    qform: tuple[float, ...]
    sform: NDArray[np.float64]
    byte_order: str

    @property
    def voxel_count(self) -> int:
        """Number of voxels over all axes."""
        return math.prod(self.dims)

    @property
    def measured(self) -> Measured:
        """What of the grid has a size: nothing where no field for it was filled in, of a 2-D image only the pixels."""
        is_blank = self.length_unit == "" and self.qform_code <= 0 and self.sform_code <= 0
        if is_blank and all(size in (0.0, 1.0) for size in self.pixdim[1:4]):
            return "nothing"
        # A slice that is stored as a 2-D image lies somewhere with its thickness where it has an orientation.
        is_placed = len(self.dims) > 2 or self.qform_code > 0 or self.sform_code > 0
        has_thickness = is_placed and self.pixdim[3] > 0
        return "voxel" if has_thickness else "pixel"

    def orientation_notes(self, used: NDArray[np.float64]) -> tuple[str, ...]:
        """Words where a volume has no orientation, or two that contradict each other.

        Args:
            used: float64 ``(4, 4)``, voxel index to LPS millimetres, the grid that is used.
        """
        if self.qform_code <= 0 and self.sform_code <= 0:
            return () if len(self.dims) < 3 or self.dims[2] == 1 else (NO_ORIENTATION,)
        if self.qform_code <= 0 or self.sform_code <= 0:
            return ()
        grids = self._in_mm(qform_to_lps(self.qform, self.pixdim)), self._in_mm(sform_to_lps(self.sform))
        said = contradiction(*grids, used, [*self.dims[:3], 1, 1][:3])
        return (said,) if said else ()

    def _in_mm(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        scaled: NDArray[np.float64] = matrix.copy()
        scaled[:3] *= millimetres_per([self.length_unit], Path())
        return scaled

    @property
    def added_by_itk(self) -> float:
        """What ITK adds to every value though it must not: with a slope of 0 or NaN nothing is scaled, nor shifted."""
        slope, intercept = self.scl
        return intercept if (slope == 0 or math.isnan(slope)) and math.isfinite(intercept) else 0.0

    @property
    def payload_bytes(self) -> int:
        """Bytes that the voxels take in the uncompressed file."""
        return self.voxel_count * self.bitpix // 8


@dataclass(frozen=True)
class NiftiContent:
    """What streaming through the file found.

    Attributes:
        header: the parsed header.
        nonfinite_index: int64 ``(n,)``, positions of NaN and infinite voxels in file order (x fastest), all of them
            up to `MAX_NONFINITE_FRACTION` of the image and no more than one chunk beyond.
        warnings: what is odd but harmless.
    """

    header: NiftiHeader
    nonfinite_index: NDArray[np.int64]
    warnings: tuple[str, ...] = field(default=())


def check_nifti(path: Path) -> NiftiContent:
    """Stream through the file and return what it holds.

    Raises:
        InputError: the file is not NIfTI, truncated, damaged, of a kind that is not one scalar volume, or has a
            geometry that no voxel grid can have.
    """
    try:
        with path.open("rb") as raw:
            is_compressed = raw.read(2) == _GZIP_MAGIC
            raw.seek(0)
            if is_compressed and path.name.lower().endswith(".nii"):
                raise InputError(
                    "the file is compressed but its name ends in .nii", file=path, remedy="Rename it to .nii.gz"
                )
            stream: BinaryIO = gzip.GzipFile(fileobj=raw) if is_compressed else raw  # type: ignore[assignment]
            header = _parse_header(stream.read(348), path)
            warnings = _check_header(header, path, path.stat().st_size, is_compressed)
            index = _scan_payload(stream, header, path)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(
            f"the compressed data is truncated or damaged ({error})", file=path, remedy=_EXPORT_AGAIN
        ) from error
    return NiftiContent(header, index, tuple(warnings))


def write_as_volume(path: Path, target: Path) -> None:
    """Write a 2-D image that was checked as the same image of one slice: ITK lays 2-D images into the plane z = 0."""
    with path.open("rb") as raw:
        is_compressed = raw.read(2) == _GZIP_MAGIC
        raw.seek(0)
        content = bytearray((gzip.GzipFile(fileobj=raw) if is_compressed else raw).read())
    order = next(order for order in "<>" if struct.unpack_from(order + "i", content) == (348,))
    columns, rows = struct.unpack_from(order + "2h", content, 42)
    struct.pack_into(order + "4h", content, 40, 3, columns, rows, 1)
    thickness = struct.unpack_from(order + "f", content, 88)[0]
    # NaN fails the comparison.
    if not 0 < thickness < math.inf:
        struct.pack_into(order + "f", content, 88, 1.0)
    target.write_bytes(content)


def _parse_header(data: bytes, path: Path) -> NiftiHeader:
    if len(data) < 348:
        raise InputError(f"this is not a NIfTI file: it ends after {len(data)} bytes", file=path, remedy=_EXPORT_AGAIN)
    for order in "<>":
        if struct.unpack_from(order + "i", data) == (348,) and data[344:348] == b"n+1\0":
            return _nifti1(data, order)
    what = "this is not a NIfTI file"
    if data[4:7] == b"n+2":
        what = "this is a NIfTI-2 file"
    elif data[344:347] == b"ni1":
        what = "this is the header of a NIfTI pair"
    raise InputError(what, file=path, remedy="Give a single-file NIfTI-1 image (.nii or .nii.gz)")


def _nifti1(data: bytes, order: str) -> NiftiHeader:
    def take(form: str, offset: int) -> tuple[float, ...]:
        """Numbers at a byte offset, in the byte order of the file."""
        return struct.unpack_from(order + form, data, offset)

    datatype, bitpix = struct.unpack_from(order + "2h", data, 70)
    qform_code, sform_code = struct.unpack_from(order + "2h", data, 252)
    return NiftiHeader(
        dims=_dims(struct.unpack_from(order + "8h", data, 40)),
        datatype=datatype,
        bitpix=bitpix,
        pixdim=take("8f", 76),
        length_unit=_LENGTH_UNITS[data[123] & 7],
        vox_offset=take("f", 108)[0],
        scl=(take("f", 112)[0], take("f", 116)[0]),
        qform_code=qform_code,
        sform_code=sform_code,
        qform=take("6f", 256),
        sform=np.array(take("12f", 280)).reshape(3, 4),
        byte_order=order,
    )


def _dims(dim: tuple[int, ...]) -> tuple[int, ...]:
    return dim[1 : 1 + dim[0]] if 1 <= dim[0] <= 7 else ()


def _check_header(header: NiftiHeader, path: Path, file_bytes: int, is_compressed: bool) -> list[str]:
    _check_dims(header, path)
    _check_datatype(header, path)
    _check_claim(header, path, file_bytes, is_compressed)
    return _check_geometry(header, path)


def _check_dims(header: NiftiHeader, path: Path) -> None:
    if not header.dims or min(header.dims) < 1:
        raise InputError(f"the header gives the image size {header.dims}", file=path, remedy=_EXPORT_AGAIN)
    frames, components = math.prod(header.dims[3:4]), math.prod(header.dims[4:])
    if components > 1:
        raise InputError(
            f"the image holds {components} values per voxel", file=path, remedy="Save one channel as a scalar 3-D image"
        )
    if frames > 1:
        raise InputError(
            f"the image is 4-D with {frames} frames", file=path, remedy="Save the frame of interest as a 3-D image"
        )


def _check_datatype(header: NiftiHeader, path: Path) -> None:
    if header.datatype in _OTHER_TYPES:
        raise InputError(
            f"the voxels are {_OTHER_TYPES[header.datatype]}",
            file=path,
            remedy="Save the image with one real number per voxel",
        )
    if header.datatype not in _SCALAR_TYPES:
        raise InputError(f"the header gives the unknown data type {header.datatype}", file=path, remedy=_EXPORT_AGAIN)
    if header.bitpix != 8 * np.dtype(_SCALAR_TYPES[header.datatype]).itemsize:
        raise InputError(
            f"data type {header.datatype} does not take {header.bitpix} bits per voxel", file=path, remedy=_EXPORT_AGAIN
        )
    if any(math.isinf(value) for value in header.scl):
        raise InputError("the intensity scaling in the header is infinite", file=path, remedy=_EXPORT_AGAIN)


def _check_claim(header: NiftiHeader, path: Path, file_bytes: int, is_compressed: bool) -> None:
    size = " x ".join(map(str, header.dims))
    if header.voxel_count > MAX_VOXELS:
        raise InputError(
            f"the header claims {size} voxels, more than {MAX_VOXELS}", file=path, remedy="Crop or resample the image"
        )
    # NaN fails the comparison; an absurd offset would make the scan skip for ever.
    if not (348 <= header.vox_offset <= file_bytes * (MAX_DEFLATE_RATIO if is_compressed else 1)):
        raise InputError(f"the header places the voxels at byte {header.vox_offset:g}", file=path, remedy=_EXPORT_AGAIN)
    if header.payload_bytes > file_bytes * (MAX_DEFLATE_RATIO if is_compressed else 1):
        raise InputError(
            f"the file is truncated: {size} voxels do not fit into {file_bytes} bytes", file=path, remedy=_EXPORT_AGAIN
        )


def _check_geometry(header: NiftiHeader, path: Path) -> list[str]:
    warnings = []
    millimetres_per([header.length_unit], path)  # ITK converts those that exist, and takes others for millimetres
    for axis, count in enumerate(header.dims[:3]):
        spacing_mm = header.pixdim[1 + axis]
        if count == 1 and spacing_mm == 0:
            warnings.append(f"spacing along the single-slice axis {'xyz'[axis]} is 0; 1 mm is assumed")
        elif not (math.isfinite(spacing_mm) and spacing_mm > 0):
            raise InputError(
                f"the spacing along {'xyz'[axis]} is {spacing_mm:g} mm",
                file=path,
                remedy="Correct the voxel spacing in the header",
            )
    if header.qform_code > 0 and not np.isfinite(header.qform).all():
        raise InputError("the orientation (qform) holds NaN or infinite numbers", file=path, remedy=_EXPORT_AGAIN)
    if header.sform_code > 0:
        warnings += _check_sform(header, path)
    return warnings


def _check_sform(header: NiftiHeader, path: Path) -> list[str]:
    if not np.isfinite(header.sform).all():
        raise InputError("the orientation (sform) holds NaN or infinite numbers", file=path, remedy=_EXPORT_AGAIN)
    columns = header.sform[:, :3]
    lengths_mm = np.linalg.norm(columns, axis=0)
    if lengths_mm.min() < 1e-9 or abs(np.linalg.det(columns / lengths_mm)) < 1e-6:
        raise InputError("the orientation (sform) is singular", file=path, remedy=_EXPORT_AGAIN)
    cosines = (columns / lengths_mm).T @ (columns / lengths_mm)
    if np.abs(cosines - np.eye(3)).max() > _MAX_SHEAR and header.qform_code > 0:
        return ["the sform is sheared; the qform is used instead"]
    if np.abs(cosines - np.eye(3)).max() <= _MAX_SHEAR:
        spacing_mm = np.array(header.pixdim[1:4])
        differs = (spacing_mm > 0) & (np.abs(lengths_mm - spacing_mm) > _MAX_SCALE_DIFFERENCE * lengths_mm)
        if differs[: len(header.dims)].any():
            return ["the voxel spacing of the header contradicts its sform; the former is used"]
        return []
    raise InputError(SHEARED, file=path, remedy=SHEAR_REMEDY)


def _scan_payload(stream: BinaryIO, header: NiftiHeader, path: Path) -> NDArray[np.int64]:
    stream.seek(int(header.vox_offset))
    dtype = np.dtype(header.byte_order + _SCALAR_TYPES[header.datatype])
    found: list[NDArray[np.int64]] = []
    done = 0
    while done < header.payload_bytes:
        chunk = stream.read(min(_CHUNK_BYTES, header.payload_bytes - done))
        if not chunk:
            raise InputError(
                f"the file is truncated: it holds {done} of {header.payload_bytes} bytes of voxels",
                file=path,
                remedy=_EXPORT_AGAIN,
            )
        if dtype.kind == "f" and sum(map(len, found)) <= MAX_NONFINITE_FRACTION * header.voxel_count:
            # Short reads may end inside a voxel; only whole files are accepted, so re-read to a boundary.
            while len(chunk) % dtype.itemsize and (more := stream.read(dtype.itemsize - len(chunk) % dtype.itemsize)):
                chunk += more
            values = np.frombuffer(chunk, dtype, count=len(chunk) // dtype.itemsize)
            found.append(np.flatnonzero(~np.isfinite(values)) + done // dtype.itemsize)
        done += len(chunk)
    _check_end(stream, path)
    return np.concatenate(found) if found else np.empty(0, np.int64)


def _check_end(stream: BinaryIO, path: Path) -> None:
    # Reading to the end also makes gzip compare its checksum.
    surplus = len(stream.read(_CHUNK_BYTES))
    if surplus > 1024:
        raise InputError("the file holds more voxels than its header says", file=path, remedy=_EXPORT_AGAIN)
