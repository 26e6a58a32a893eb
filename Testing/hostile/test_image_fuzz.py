"""Randomly damaged images are either read or refused with a typed error; nothing else escapes."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.runtime.image.image_file import read_image
from Testing.hostile.broken_image import phantom
from Testing.hostile.mutation import mutants
from Testing.hostile.nifti_bytes import nifti_bytes

MUTANTS = 150


def encoded(tmp_path: Path, name: str, array: np.ndarray) -> bytes:
    path = tmp_path / name
    sitk.WriteImage(sitk.GetImageFromArray(array), str(path), useCompression=True)
    return path.read_bytes()


def count_read(path: Path, good: bytes, seed: int, within: int | None = None) -> int:
    """How many mutants were read; anything but `InputError` fails the test that calls."""
    read = 0
    for damaged in mutants(good, MUTANTS, seed, within):
        path.write_bytes(damaged)
        try:
            volume = read_image(path)
        except InputError:
            continue
        assert np.isfinite(volume.voxels).all()
        assert np.isfinite(volume.ijk_to_lps).all()
        read += 1
    return read


@pytest.mark.parametrize("name", ["a.nrrd", "a.mha", "a.png", "a.jpg"])
@pytest.mark.parametrize("seed", [1, 2])
def test_damaged_images_are_read_or_refused(tmp_path: Path, name: str, seed: int) -> None:
    array = phantom((40, 48), "u1") if name in ("a.png", "a.jpg") else phantom()
    count_read(tmp_path / name, encoded(tmp_path, f"good{Path(name).suffix}", array), seed)


def test_damaged_nifti_headers_are_read_or_refused(tmp_path: Path) -> None:
    assert count_read(tmp_path / "a.nii", nifti_bytes(phantom()), seed=3, within=352) < MUTANTS


def test_a_damaged_compressed_nifti_file_is_never_read_with_other_voxels(tmp_path: Path) -> None:
    good = gzip.compress(nifti_bytes(phantom()), mtime=0)
    path = tmp_path / "a.nii.gz"
    for damaged in mutants(good, 2 * MUTANTS, seed=4):
        path.write_bytes(damaged)
        try:
            volume = read_image(path)
        except InputError:
            continue
        np.testing.assert_array_equal(volume.voxels, phantom())


def test_header_keys_that_are_not_text_do_no_harm(tmp_path: Path) -> None:
    good = encoded(tmp_path, "a.mha", phantom())
    (tmp_path / "b.mha").write_bytes(good.replace(b"NDims", b"Caf\xe9 = 1\nNDims", 1))
    np.testing.assert_array_equal(read_image(tmp_path / "b.mha").voxels, phantom())
