"""What compiled code prints is caught as lines; the terminal is given back whatever happens."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MultiTaskSegLib.runtime.image.image_file import read_image
from MultiTaskSegLib.runtime.machine import native_output
from MultiTaskSegLib.runtime.machine.native_output import captured_native_output


def write(descriptor: int, text: str) -> None:
    os.write(descriptor, text.encode())


def test_both_descriptors_are_caught_and_given_back(capfd: pytest.CaptureFixture[str]) -> None:
    with captured_native_output() as lines:
        write(1, "Premature end of JPEG file\n")
        write(2, "libpng error: bad adaptive filter value\n")
    write(1, "after\n")
    assert lines == ["Premature end of JPEG file", "libpng error: bad adaptive filter value"]
    assert capfd.readouterr() == ("after\n", "")


def test_lines_are_kept_and_descriptors_given_back_after_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    caught: list[list[str]] = []

    def fail() -> None:
        with captured_native_output() as lines:
            caught.append(lines)
            write(2, "noise\n")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    write(2, "after\n")
    assert caught == [["noise"]]
    assert capfd.readouterr().err == "after\n"


def test_itk_warnings_become_one_sentence_each() -> None:
    with captured_native_output() as lines:
        for _ in range(3):
            write(2, "WARNING: In /a/itkNiftiImageIO.cxx, line 12\nNiftiImageIO (0x55ab): odd scales\n\n")
    assert lines == ["odd scales"]


def test_what_python_had_buffered_is_not_taken_for_noise(capfd: pytest.CaptureFixture[str]) -> None:
    sys.stdout.write("waiting in the buffer")
    with captured_native_output() as lines:
        pass
    assert lines == []
    assert capfd.readouterr().out == "waiting in the buffer"


def test_without_capture_a_truncated_jpeg_is_read_and_prints_on_standard_output(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.jpg"
    pixels = np.random.default_rng(3).integers(0, 255, (64, 80)).astype(np.uint8)
    sitk.WriteImage(sitk.GetImageFromArray(pixels), str(path))
    path.write_bytes(path.read_bytes()[:-1000])
    sitk.ReadImage(str(path))
    # Where the tests' own output is a file, compiled code keeps what it prints until there is more.
    native_output._flush_compiled_code()
    assert "Premature end" in "".join(capfd.readouterr())


def test_many_threads_read_without_losing_descriptors_or_voxels(tmp_path: Path) -> None:
    paths = []
    for number in range(12):
        voxels = np.full((5, 6, 7), number, np.int16)
        voxels[0, 0, 0] = -1
        paths.append(tmp_path / f"{number}.{('nrrd', 'mha', 'nii.gz')[number % 3]}")
        sitk.WriteImage(sitk.GetImageFromArray(voxels), str(paths[-1]))
    before = [os.fstat(descriptor).st_ino for descriptor in (1, 2)]
    with ThreadPoolExecutor(8) as pool:
        volumes = list(pool.map(read_image, paths * 8))
    assert [volume.voxels[1, 1, 1] for volume in volumes] == list(range(12)) * 8
    assert all(volume.warnings == () for volume in volumes)
    assert [os.fstat(descriptor).st_ino for descriptor in (1, 2)] == before


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open descriptors are counted through /proc")
def test_reading_leaves_no_file_open(tmp_path: Path) -> None:
    path = tmp_path / "a.nrrd"
    sitk.WriteImage(sitk.GetImageFromArray(np.arange(60, dtype=np.int16).reshape(3, 4, 5)), str(path))
    read_image(path)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        read_image(path)
    assert len(os.listdir("/proc/self/fd")) == before


def run_buffered(code: str, *words: str) -> str:
    """What a Python prints whose standard output is a pipe, in blocks, as that of most programs."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, env=environment, check=True
    )
    return done.stdout


C_LIBRARY = "ctypes.CDLL('ucrtbase' if os.name == 'nt' else None)"
PUTS = f"{C_LIBRARY}.puts"


def test_lines_that_the_c_library_holds_back_are_caught_too() -> None:
    code = (
        "import ctypes, os\n"
        "from MultiTaskSegLib.runtime.machine.native_output import captured_native_output\n"
        f"{PUTS}(b'before')\n"
        "with captured_native_output() as lines:\n"
        f"    {PUTS}(b'Premature end of JPEG file')\n"
        f"{PUTS}(b'after')\n"
        "print(lines, flush=True)\n"
    )
    said = run_buffered(code).split("\n")
    assert "['Premature end of JPEG file']" in said
    assert "before" in said
    assert "after" in said
    assert "Premature end of JPEG file" not in said


def test_a_thread_that_waits_for_input_holds_nothing_up() -> None:
    code = (
        "import ctypes, os, threading, time\n"
        "from MultiTaskSegLib.runtime.machine.native_output import captured_native_output\n"
        "os.dup2(os.pipe()[0], 0)\n"
        f"threading.Thread(target={C_LIBRARY}.getchar, daemon=True).start()\n"
        "time.sleep(0.5)\n"
        "def capture():\n"
        "    with captured_native_output():\n"
        "        pass\n"
        "reader = threading.Thread(target=capture, daemon=True)\n"
        "reader.start()\n"
        "reader.join(10)\n"
        "os.write(1, b'waits' if reader.is_alive() else b'done')\n"
        "os._exit(0)\n"
    )
    assert run_buffered(code) == "done"


def test_a_picture_that_is_cut_off_is_refused_where_the_output_is_a_pipe(tmp_path: Path) -> None:
    picture = tmp_path / "picture.jpg"
    noise = np.random.default_rng(0).integers(0, 255, (64, 64)).astype(np.uint8)
    sitk.WriteImage(sitk.GetImageFromArray(noise), str(picture))
    picture.write_bytes(picture.read_bytes()[:-400])
    code = (
        "import sys\n"
        "from MultiTaskSegLib.runtime.errors import InputError\n"
        "from MultiTaskSegLib.runtime.image.image_file import read_image\n"
        "try:\n"
        "    read_image(sys.argv[1])\n"
        "except InputError as error:\n"
        "    print('refused:', error)\n"
    )
    assert run_buffered(code, str(picture)).startswith("refused: ")
