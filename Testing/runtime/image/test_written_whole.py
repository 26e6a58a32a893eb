"""A file that was not written completely never takes the place of what was there."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MultiTaskSegLib.runtime.errors import ResourceError
from MultiTaskSegLib.runtime.image.image_file import read_image
from MultiTaskSegLib.runtime.image.sitk_image import made_here, to_sitk, write_image
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.worker_process import worker_environment

NOISE = np.random.default_rng(0).normal(size=(20, 21, 22)).astype(np.float32)
VOLUME = Volume(NOISE, np.diag([1.0, 2.0, 3.0, 1.0]))
ENDINGS = pytest.mark.parametrize("ending", ["nii.gz", "seg.nrrd"])
ON_A_SMALL_DISK = """
import resource, sys
from pathlib import Path
import numpy as np
from MultiTaskSegLib.runtime.errors import ResourceError
from MultiTaskSegLib.runtime.image.sitk_image import to_sitk, write_image
from MultiTaskSegLib.runtime.image.volume import Volume
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
voxels = np.random.default_rng(0).normal(size=(20, 21, 22)).astype(np.float32)
try:
    write_image(to_sitk(voxels, Volume(voxels, np.eye(4))), Path(sys.argv[1]))
except ResourceError as error:
    # Whoever records which lines run writes more at the end.
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    sys.exit("refused: " + str(error))
"""


@ENDINGS
@pytest.mark.parametrize("most_bytes", [400, 4096, 30_000])
@pytest.mark.skipif(sys.platform == "win32", reason="limits on the size of files are of Unix")
def test_where_files_cannot_grow_the_earlier_file_stays(tmp_path: Path, ending: str, most_bytes: int) -> None:
    target = tmp_path / f"a.{ending}"
    target.write_text("earlier")
    words = [sys.executable, "-c", ON_A_SMALL_DISK, str(target), str(most_bytes)]
    done = subprocess.run(words, env=worker_environment(), capture_output=True, text=True, check=False)
    assert done.stderr.startswith("refused: ")
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""
    assert target.read_text() == "earlier"
    assert [path.name for path in tmp_path.iterdir()] == [target.name]


@ENDINGS
@pytest.mark.parametrize("voxels", [NOISE, np.zeros((1, 1, 1), np.uint8)], ids=["many voxels", "one byte"])
@pytest.mark.parametrize("kept", [0.0, 0.3, 0.999])
def test_a_writer_that_reports_success_for_a_cut_file_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, kept: float, voxels: np.ndarray
) -> None:
    write = sitk.WriteImage

    def cut(image: sitk.Image, name: str, **options: object) -> None:
        """The whole file, and then only a share of it."""
        write(image, name, **options)
        data = Path(name).read_bytes()
        Path(name).write_bytes(data[: int(kept * len(data))])

    monkeypatch.setattr(sitk, "WriteImage", cut)
    with pytest.raises(ResourceError, match="could not be written completely"):
        write_image(to_sitk(voxels, VOLUME), tmp_path / f"a.{ending}")
    assert list(tmp_path.iterdir()) == []


@ENDINGS
def test_a_whole_file_is_put_in_place(tmp_path: Path, ending: str) -> None:
    for voxels in (NOISE, np.zeros((1, 1, 1), np.uint8)):
        write_image(to_sitk(voxels, VOLUME), tmp_path / f"a.{ending}")
        np.testing.assert_array_equal(read_image(tmp_path / f"a.{ending}").voxels, voxels)


def test_a_folder_whose_name_is_no_text_is_called_that(tmp_path: Path) -> None:
    folder = tmp_path / "M\udcfcller"
    with pytest.raises(ResourceError, match="no text in UTF-8"):
        write_image(to_sitk(NOISE, VOLUME), folder / "a.nii.gz")


def test_files_written_here_are_known_again_and_others_are_not(tmp_path: Path) -> None:
    write_image(to_sitk(NOISE, VOLUME), tmp_path / "own.nii.gz")
    sitk.WriteImage(sitk.GetImageFromArray(NOISE), str(tmp_path / "other.nii.gz"))
    (tmp_path / "damaged.nii.gz").write_bytes(gzip.compress(bytes(900))[:20])
    (tmp_path / "empty.nii.gz").touch()
    known = {path.name: made_here(path) for path in tmp_path.iterdir()}
    assert known == {"own.nii.gz": True, "other.nii.gz": False, "damaged.nii.gz": False, "empty.nii.gz": False}
    assert not made_here(tmp_path / "missing.nii.gz")
