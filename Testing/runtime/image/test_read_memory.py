"""An image that does not fit into memory is no damaged file: the user is told that memory is short, and what to do."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MultiTaskSegLib.runtime.errors import InputError, ResourceError
from MultiTaskSegLib.runtime.image import image_file
from MultiTaskSegLib.runtime.image.image_file import read_image, read_label_map
from MultiTaskSegLib.worker_process import worker_environment

HEADER = (
    "ObjectType = Image\nNDims = 3\nBinaryData = True\nCompressedData = False\nElementSpacing = 1 1 1\n"
    "DimSize = 400 400 400\nElementType = MET_SHORT\nElementDataFile = LOCAL\n"
)
UNDER_A_LIMIT = """
import resource, sys
from pathlib import Path
from MultiTaskSegLib.runtime.image.image_file import read_image
taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + 60_000_000, resource.RLIM_INFINITY))
for name in sys.argv[1:]:
    try:
        read_image(name)
    except Exception as error:
        print(type(error).__name__, error)
"""


def sparse(path: Path, header: bytes) -> Path:
    """A file of 400 x 400 x 400 zeros of two bytes, which take no room on the disk."""
    path.write_bytes(header)
    os.truncate(path, len(header) + 2 * 400**3)
    return path


def picture(path: Path) -> Path:
    sitk.WriteImage(sitk.GetImageFromArray(np.arange(24, dtype=np.int16).reshape(2, 3, 4)), str(path))
    return path


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits the memory the Linux way")
def test_a_good_file_that_does_not_fit_is_a_lack_of_memory(tmp_path: Path) -> None:
    small = picture(tmp_path / "small.nii").read_bytes()[:352]
    sizes = np.array([3, 400, 400, 400], dtype="<i2").tobytes()
    nifti = sparse(tmp_path / "big.nii", small[:40] + sizes + small[48:])
    meta = sparse(tmp_path / "big.mha", HEADER.encode())
    command = [sys.executable, "-c", UNDER_A_LIMIT, str(nifti), str(meta)]
    done = subprocess.run(command, capture_output=True, text=True, env=worker_environment(), check=True)
    told = done.stdout.splitlines()
    assert len(told) == 2, done.stdout
    for line, file in zip(told, (nifti, meta), strict=True):
        assert line.startswith("ResourceError there is not enough memory"), line
        assert str(file) in line
        assert "crop the image" in line


@pytest.mark.parametrize("read", [read_image, read_label_map])
@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("Failed to allocate memory for image."), OSError(errno.ENOMEM, "no memory")]
)
def test_whoever_runs_out_of_memory_while_reading_it_is_told_in_the_same_words(
    read: object, error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(error.errno, os.strerror(error.errno)) if isinstance(error, OSError) else error

    monkeypatch.setattr(image_file, "read_itk", fail)
    with pytest.raises(ResourceError, match=r"not enough memory.*scan\.mha"):
        read(picture(tmp_path / "scan.mha"))  # type: ignore[operator]


def test_a_damaged_file_is_still_a_damaged_file(tmp_path: Path) -> None:
    path = picture(tmp_path / "scan.mha")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError):
        read_image(path)
