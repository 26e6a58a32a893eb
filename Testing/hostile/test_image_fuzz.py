"""Randomly damaged images are either read or refused with a typed error; nothing else escapes."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.runtime.image.image_file import read_image
from MultiTaskSegLib.runtime.image.volume import Volume
from Testing.hostile.broken_image import phantom
from Testing.hostile.mutation import mutants
from Testing.hostile.nifti_bytes import nifti_bytes

MUTANTS = 150
# So many of the mutants are read with the right values: a reader that refuses everything would be easy to write.
HARMLESS_SHARE = {"a.nrrd": 0.01, "a.mha": 0.05, "a.png": 0.0, "a.jpg": 0.1}


def encoded(tmp_path: Path, name: str, array: np.ndarray) -> bytes:
    path = tmp_path / name
    sitk.WriteImage(sitk.GetImageFromArray(array), str(path), useCompression=True)
    return path.read_bytes()


def tried(path: Path, good: bytes, seed: int, within: int | None = None) -> list[Volume]:
    """What was read of the mutants; anything but `InputError` fails the test that calls."""
    volumes = []
    for damaged in mutants(good, MUTANTS, seed, within):
        path.write_bytes(damaged)
        try:
            volume = read_image(path)
        except InputError:
            continue
        assert np.isfinite(volume.voxels).all()
        assert np.isfinite(volume.ijk_to_lps).all()
        volumes.append(volume)
    return volumes


def share_alike(volumes: list[Volume], array: np.ndarray) -> float:
    """The share of all mutants that were read with nearly all voxels of the unharmed image in their places."""
    alike = [v for v in volumes if v.voxels.size == array.size and (v.voxels.ravel() == array.ravel()).mean() > 0.95]
    return len(alike) / MUTANTS


@pytest.mark.parametrize("name", ["a.nrrd", "a.mha", "a.png", "a.jpg"])
@pytest.mark.parametrize("seed", [1, 2])
def test_damaged_images_are_read_or_refused(tmp_path: Path, name: str, seed: int) -> None:
    array = phantom((40, 48), "u1") if name in ("a.png", "a.jpg") else phantom()
    good = encoded(tmp_path, f"good{Path(name).suffix}", array)
    unharmed = read_image(tmp_path / f"good{Path(name).suffix}").voxels
    if name != "a.jpg":
        np.testing.assert_array_equal(unharmed.ravel(), array.ravel())
    volumes = tried(tmp_path / name, good, seed)
    # Every part of a PNG has a checksum, so all damage to it is noticed; a JPEG has none.
    assert len(volumes) < MUTANTS
    assert share_alike(volumes, unharmed) >= HARMLESS_SHARE[name]


def test_damaged_nifti_headers_are_read_or_refused(tmp_path: Path) -> None:
    volumes = tried(tmp_path / "a.nii", nifti_bytes(phantom()), seed=3, within=352)
    assert 0.3 * MUTANTS < len(volumes) < 0.9 * MUTANTS
    assert share_alike(volumes, phantom()) > 0.3


def test_damage_to_words_that_nobody_reads_does_no_harm(tmp_path: Path) -> None:
    # Description, name of an auxiliary file and intent: free text in the header of a NIfTI file.
    good = nifti_bytes(phantom())
    for seed in range(20):
        text = np.random.default_rng(seed).integers(0, 256, 104).astype(np.uint8).tobytes()
        path = tmp_path / "a.nii"
        path.write_bytes(good[:148] + text + good[252:])
        volume = read_image(path)
        np.testing.assert_array_equal(volume.voxels, phantom())
        np.testing.assert_array_equal(volume.ijk_to_ras, np.eye(4))


def test_a_comment_in_a_text_header_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "a.nrrd").write_bytes(
        encoded(tmp_path, "good.nrrd", phantom()).replace(b"\ntype:", b"\n# a scan: of a heart\ntype:", 1)
    )
    (tmp_path / "a.mha").write_bytes(
        encoded(tmp_path, "good.mha", phantom()).replace(b"NDims", b"Comment = a scan\nNDims", 1)
    )
    for name in ("a.nrrd", "a.mha"):
        np.testing.assert_array_equal(read_image(tmp_path / name).voxels, phantom())


def test_a_damaged_compressed_nifti_file_is_never_read_with_other_voxels(tmp_path: Path) -> None:
    good = gzip.compress(nifti_bytes(phantom()), mtime=0)
    path = tmp_path / "a.nii.gz"
    path.write_bytes(good)
    np.testing.assert_array_equal(read_image(path).voxels, phantom())
    read = 0
    # The first ten bytes tell how and when the file was compressed; most of that may be anything.
    for damaged in [*mutants(good, 2 * MUTANTS, seed=4), *mutants(good, MUTANTS // 3, seed=5, within=10)]:
        path.write_bytes(damaged)
        try:
            volume = read_image(path)
        except InputError:
            continue
        np.testing.assert_array_equal(volume.voxels, phantom())
        read += 1
    assert read > 5


def test_header_keys_that_are_not_text_do_no_harm(tmp_path: Path) -> None:
    good = encoded(tmp_path, "a.mha", phantom())
    (tmp_path / "b.mha").write_bytes(good.replace(b"NDims", b"Caf\xe9 = 1\nNDims", 1))
    np.testing.assert_array_equal(read_image(tmp_path / "b.mha").voxels, phantom())
