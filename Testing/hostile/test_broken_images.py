"""Every broken image is refused with one line that names the file; nothing else reaches the terminal."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MultiTaskSegLib.runtime import worker
from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.runtime.image.image_file import read_image, require_contrast
from MultiTaskSegLib.runtime.image.volume import Volume
from Testing.hostile.broken_image import BrokenImage, phantom
from Testing.hostile.campaign.catalogue import TRIALS
from Testing.hostile.campaign.row.images import by_worker
from Testing.hostile.campaign.row_run import tried
from Testing.hostile.campaign.trial import Broken, Ground
from Testing.hostile.catalogue import broken_images


@pytest.mark.parametrize("broken", broken_images(), ids=lambda broken: broken.name)
def test_a_broken_image_is_refused_in_one_line(
    broken: BrokenImage, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = broken.make(tmp_path)
    capfd.readouterr()
    with pytest.raises(InputError, match=broken.says) as refusal:
        read_image(path)
    assert "\n" not in str(refusal.value)
    assert refusal.value.file is not None
    assert str(tmp_path) in refusal.value.file
    assert refusal.value.remedy
    assert capfd.readouterr() == ("", "")


def test_the_catalogue_has_no_two_kinds_of_one_name() -> None:
    names = [broken.name for broken in broken_images()]
    assert len(names) == len(set(names)) >= 90


def test_a_constant_image_has_no_contrast() -> None:
    with pytest.raises(InputError, match=re.escape("constant: every voxel is 3")):
        require_contrast(Volume(np.full((4, 5, 6), 3, np.float32), np.eye(4), name="flat.nii"))


def test_an_image_with_two_values_has_contrast() -> None:
    voxels = np.zeros((4, 5, 6), np.float32)
    voxels[0, 0, 0] = 1e-3
    require_contrast(Volume(voxels, np.eye(4)))


@pytest.mark.parametrize(
    "case", ["cli: path missing #1", "worker: nifti empty #2", "scene: dicom gap #0", "scene: path too long #0"]
)
def test_an_image_that_cannot_be_damaged_or_is_never_read_is_not_tried(case: str, tmp_path: Path) -> None:
    if case.startswith("scene"):
        pytest.importorskip("slicer", reason="slicer-core is not installed")
    found = tried(TRIALS["images"], case, tmp_path)
    assert found["failure"] == ""
    assert "damage" in str(found["absent"]) or "takes one file" in str(found["absent"])


def test_a_result_of_the_worker_that_lacks_a_file_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "whole.nii"
    sitk.WriteImage(sitk.GetImageFromArray(phantom()), str(path))
    by_worker(path, "", Ground(tmp_path / "first", tmp_path))
    write = worker._write_result

    def without_uncertainty(found: object, request: dict[str, str]) -> object:
        files = write(found, request)
        (Path(files["files"]) / "uncertainty.nii.gz").unlink()
        return files

    monkeypatch.setattr(worker, "_write_result", without_uncertainty)
    with pytest.raises(Broken, match="results are missing"):
        by_worker(path, "", Ground(tmp_path / "second", tmp_path))
