"""DICOM as scanners and archives deliver it: read as pydicom reads it, or refused in words."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.pixels import apply_rescale
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    RLELossless,
    generate_uid,
)

from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.runtime.image.image_file import read_image
from Testing.hostile.campaign.trial import Broken, Ground, ListedTrial, require
from Testing.hostile.dicom_frames import enhanced, saved
from Testing.hostile.dicom_series import write_series
from Testing.runtime.orientation import OBLIQUE_DEG, axis_matrices, grid

SHAPE = (7, 10, 12)
SEEDS = 10
TOLERANCE_MM = 1e-3


@dataclass(frozen=True)
class Scan:
    """What one case is made of: voxels uint16 ``(Z, Y, X)`` on a grid, and where its files go."""

    voxels: np.ndarray
    ijk_to_lps: np.ndarray
    folder: Path
    rng: random.Random

    def series(self, **options: object) -> Path:
        """The files of a good series, but for the options of `write_series`."""
        return write_series(self.folder / "series", self.voxels, self.ijk_to_lps, **options)  # type: ignore[arg-type]

    def changed(self, change: Callable[[int, Dataset], None]) -> Path:
        """A series each of whose files was changed."""
        for number, path in enumerate(sorted(self.series().iterdir())):
            data = dcmread(path)
            change(number, data)
            data.save_as(path)
        return self.folder / "series"


def unsorted_names(scan: Scan) -> Path:
    """File names and instance numbers in another order than the slices."""
    names = [f"{number:03d}.dcm" for number in range(SHAPE[0])]
    scan.rng.shuffle(names)
    return scan.series(names=names, InstanceNumber=scan.rng.randrange(99))


def rescaled(scan: Scan) -> Path:
    """Another slope and intercept for every slice, as in PET."""

    def change(number: int, data: Dataset) -> None:
        data.RescaleSlope, data.RescaleIntercept = f"{0.5 + 0.25 * number:g}", f"{-100 * number}"

    return scan.changed(change)


def syntax(uid: str) -> Callable[[Scan], Path]:
    """Files in another transfer syntax."""

    def make(scan: Scan) -> Path:
        for path in scan.series().iterdir():
            data = dcmread(path)
            if uid == RLELossless:
                data.compress(RLELossless)
                data.save_as(path)
            else:
                big = uid == ExplicitVRBigEndian
                # A copy that does not remember how it was stored, which pydicom would not change to big-endian.
                copy = Dataset()
                copy.update(data)
                copy.file_meta = data.file_meta
                copy.file_meta.TransferSyntaxUID = uid
                if big:
                    copy.PixelData = data.pixel_array.astype(">u2").tobytes()
                copy.save_as(path, enforce_file_format=True)
        return scan.folder / "series"

    return make


def frames(scan: Scan) -> Path:
    """One enhanced file whose frames are in any order."""
    places = list(range(SHAPE[0]))
    scan.rng.shuffle(places)
    return saved(scan.folder / "enhanced.dcm", enhanced(scan.voxels[places], scan.ijk_to_lps, places))


def inverted(scan: Scan) -> Path:
    """MONOCHROME1 of a modality without units."""
    return scan.series(PhotometricInterpretation="MONOCHROME1")


def signed(scan: Scan) -> Path:
    """Negative values."""

    def change(_: int, data: Dataset) -> None:
        data.PixelRepresentation = 1
        data.PixelData = (data.pixel_array.astype(np.int32) - 1500).astype("<i2").tobytes()

    return scan.changed(change)


def twelve_bits(scan: Scan) -> Path:
    """Twelve bits are stored in sixteen."""
    return scan.series(BitsStored=12, HighBit=11)


def two_series(scan: Scan) -> Path:
    """Two in one folder."""
    scan.series(SeriesDescription="first")
    return scan.series(SeriesDescription="second", names=[f"B{number}" for number in range(SHAPE[0])])


def missing_slice(scan: Scan) -> Path:
    """One in the middle."""
    return scan.series(skip=(scan.rng.randrange(1, SHAPE[0] - 1),))


def doubled_slice(scan: Scan) -> Path:
    """The same place twice, with other voxels."""
    folder, number = scan.series(), scan.rng.randrange(SHAPE[0])
    data = dcmread(folder / f"IM{number:04d}")
    data.PixelData = scan.voxels[(number + 1) % SHAPE[0]].tobytes()
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    data.save_as(folder / "TWICE")
    return folder


def tilted_gantry(scan: Scan) -> Path:
    """Slices that are shifted along each other."""
    tilt_mm = scan.rng.uniform(0.3, 1.5)

    def change(number: int, data: Dataset) -> None:
        row = np.array(data.ImageOrientationPatient[:3], float)
        place = np.array(data.ImagePositionPatient, float) + number * tilt_mm * row
        data.ImagePositionPatient = [f"{value:.8g}" for value in place]

    return scan.changed(change)


def mixed_orientations(scan: Scan) -> Path:
    """A localizer among the slices."""
    number = scan.rng.randrange(SHAPE[0])

    def change(at: int, data: Dataset) -> None:
        if at == number:
            first = data.ImageOrientationPatient
            data.ImageOrientationPatient = [*first[3:], *first[:3]]

    return scan.changed(change)


READ = {
    "unsorted names": unsorted_names, "per-slice rescale": rescaled, "enhanced multi-frame": frames,
    "MONOCHROME1": inverted, "signed": signed, "12 bits": twelve_bits, "RLE": syntax(RLELossless),
    "implicit VR": syntax(ImplicitVRLittleEndian), "big endian": syntax(ExplicitVRBigEndian),
    "deflated": syntax(DeflatedExplicitVRLittleEndian),
}  # fmt: skip
REFUSED = {
    "two series": (two_series, "2 series"), "missing slice": (missing_slice, "missing or unevenly"),
    "doubled slice": (doubled_slice, "same position"), "gantry tilt": (tilted_gantry, "tilt"),
    "mixed orientations": (mixed_orientations, "different orientations"),
}  # fmt: skip


def attempt(case: str, ground: Ground) -> None:
    """``KIND #SEED``."""
    kind, _, seed = case.partition(" #")
    voxels = np.random.default_rng(int(seed)).integers(0, 4000, SHAPE).astype(np.uint16)
    axes = axis_matrices()[11 * int(seed) % 48]
    # DICOM slices are stacked along the cross product of their axes or against it; both are the same image.
    lps = grid(axes, list(OBLIQUE_DEG.values())[int(seed) % 3], (0.8, 0.9, 3.0))
    scan = Scan(voxels, lps, ground.folder, random.Random(int(seed)))
    if kind in REFUSED:
        make, says = REFUSED[kind]
        path = make(scan)
        try:
            read_image(path)
        except InputError as refused:
            require(says in str(refused), f"says {refused}")
            return
        raise Broken("read")
    path = READ[kind](scan)
    compare(read_image(path), path)


def compare(volume: object, path: Path) -> None:
    """Require that every voxel that pydicom finds lies where pydicom says, with its value."""
    inverse = np.linalg.inv(volume.ijk_to_lps)  # type: ignore[attr-defined]
    voxels = volume.voxels  # type: ignore[attr-defined]
    for values, to_lps in slices(path):
        for row, column in ((0, 0), (3, 5), (SHAPE[1] - 1, SHAPE[2] - 1)):
            ijk = (inverse @ to_lps @ [column, row, 0.0, 1.0])[:3]
            nearest = np.rint(ijk).astype(int)
            require(np.abs(ijk - nearest).max() < TOLERANCE_MM, f"off the grid: {ijk}")
            require((nearest >= 0).all() and (nearest < voxels.shape[::-1]).all(), f"outside: {ijk}")
            found, wanted = voxels[tuple(nearest[::-1])], values[row, column]
            require(abs(found - wanted) < 1e-2, f"value {found}, not {wanted}, at {nearest}")


def slices(path: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """By pydicom alone: values ``(Y, X)`` of every slice, and ``(4, 4)`` from column and row to LPS mm."""
    if path.is_file():
        data = dcmread(path)
        shared = data.SharedFunctionalGroupsSequence[0]
        spacing = shared.PixelMeasuresSequence[0].PixelSpacing
        groups = data.PerFrameFunctionalGroupsSequence
        return [
            (values, _to_lps(
                group.PlanePositionSequence[0].ImagePositionPatient,
                group.PlaneOrientationSequence[0].ImageOrientationPatient, spacing,
            ))
            for values, group in zip(data.pixel_array, groups, strict=True)
        ]  # fmt: skip
    found = []
    for file in path.iterdir():
        data = dcmread(file)
        stored = data.pixel_array
        if data.PhotometricInterpretation == "MONOCHROME1":
            stored = 2**data.BitsStored - 1 - stored.astype(np.int64)
        values = apply_rescale(stored, data)
        place = _to_lps(data.ImagePositionPatient, data.ImageOrientationPatient, data.PixelSpacing)
        found.append((values.astype(float), place))
    return found


def _to_lps(position: list[float], orientation: list[float], spacing: list[float]) -> np.ndarray:
    """DICOM PS3.3, C.7.6.2.1.1: spacing is that of rows first, orientation that along a row first."""
    matrix = np.eye(4)
    matrix[:3, 0] = np.array(orientation[:3], float) * float(spacing[1])
    matrix[:3, 1] = np.array(orientation[3:], float) * float(spacing[0])
    matrix[:3, 3] = np.array(position, float)
    return matrix


DICOM = ListedTrial(
    "dicom",
    "DICOM: several series, missing and doubled slices, unsorted names, gantry tilt, mixed orientations, enhanced, "
    "per-slice rescale, transfer syntaxes, MONOCHROME1",
    "values and places as pydicom reads them, or refused in words",
    tuple(f"{kind} #{seed}" for kind in (*READ, *REFUSED) for seed in range(SEEDS)),
    attempt,
)
