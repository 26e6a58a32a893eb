"""Every broken image is refused with one line that names the file; nothing else reaches the terminal."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.runtime.image.image_file import read_image, require_contrast
from MultiTaskSegLib.runtime.image.volume import Volume
from Testing.hostile.broken_image import BrokenImage
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
