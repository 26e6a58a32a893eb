"""The command line overwrites no input, says what stands in its way before it runs, and lets its reader go."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MultiTaskSegLib.runtime import cli
from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.runtime.machine.closed_pipe import EXIT_CLOSED_PIPE
from MultiTaskSegLib.runtime.machine.result_place import RESULT_FILES
from MultiTaskSegLib.worker_process import worker_environment
from Testing.runtime.tiny_model import write_tiny_model
from trainer import cli as trainer_cli


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.mts.safetensors", with_cells=True)


def written(path: Path) -> Path:
    voxels = np.random.default_rng(8).normal(200, 40, (8, 9, 10)).astype(np.float32)
    sitk.WriteImage(sitk.GetImageFromArray(voxels), str(path))
    return path


def test_the_results_are_the_files_that_inputs_are_compared_with(model: Path, tmp_path: Path) -> None:
    image = written(tmp_path / "scan.nii.gz")
    assert cli.main(["segment", str(image), "-m", str(model), "-o", str(tmp_path / "out")]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(RESULT_FILES)


def test_an_edited_segmentation_stays_until_it_is_given_up(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image, out = written(tmp_path / "scan.nii.gz"), tmp_path / "out"
    words = ["segment", str(image), "-m", str(model), "-o", str(out)]
    assert [cli.main(words), cli.main(words)] == [0, 0]
    edited = sitk.ReadImage(str(out / "segmentation.seg.nrrd"))
    edited[1, 1, 1] = 7
    sitk.WriteImage(edited, str(out / "segmentation.seg.nrrd"))
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert cli.main(words) == cli.EXIT_REFUSED
    assert "segmentation.seg.nrrd" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert cli.main([*words, "--overwrite"]) == 0
    assert cli.main(words) == 0


def test_what_is_edited_while_the_image_is_segmented_stays_too(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, out = written(tmp_path / "scan.nii.gz"), tmp_path / "out"
    out.mkdir()
    monkeypatch.setattr(cli, "_progress_line", lambda: lambda share, step: (out / RESULT_FILES[0]).write_text("mine"))
    assert cli.main(["segment", str(image), "-m", str(model), "-o", str(out)]) == cli.EXIT_REFUSED
    assert [(path.name, path.read_text()) for path in out.iterdir()] == [(RESULT_FILES[0], "mine")]


@pytest.mark.parametrize("name", ["segmentation.nii.gz", "uncertainty.nii.gz", "segmentation.seg.nrrd"])
def test_segment_does_not_overwrite_its_image(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    image = written(tmp_path / name)
    before = image.read_bytes()
    assert cli.main(["segment", str(image), "-m", str(model), "-o", str(tmp_path)]) == cli.EXIT_REFUSED
    assert "would overwrite the image" in capsys.readouterr().err
    assert image.read_bytes() == before
    assert list(tmp_path.iterdir()) == [image]


def test_check_overwrites_neither_an_image_nor_a_foreign_file_and_its_own_map_only(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = written(tmp_path / "a.nii.gz"), written(tmp_path / "a_foreign.nii.gz")
    before = second.read_bytes()
    words = ["check", "-m", str(model), "--map", str(tmp_path)]
    assert cli.main([*words, str(first), str(second)]) == cli.EXIT_REFUSED
    assert cli.main([*words, str(first)]) == cli.EXIT_REFUSED
    assert "no map of an earlier check" in capsys.readouterr().err
    assert second.read_bytes() == before
    second.unlink()
    assert cli.main([*words, str(first)]) == 0
    assert cli.main([*words, str(first)]) == 0  # an earlier map may be written again
    assert second.exists()


@pytest.mark.parametrize("empty", ["", " "])
@pytest.mark.parametrize("main", [cli.main, trainer_cli.main])
def test_an_empty_word_is_wrong_use_and_not_the_folder_in_which_somebody_works(
    main: Callable[[list[str]], int], empty: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for words in (["segment", "a.nii.gz", "-o", empty], ["segment", empty, "-o", "out"], ["verify", empty]):
        with pytest.raises(SystemExit) as ended:
            main(words)
        assert ended.value.code == 2
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_given_as_a_dot_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert f"image: {tmp_path}. Give" in str(InputError("no image", file=".", remedy="Give another"))


@pytest.mark.parametrize("words", [["segment", "-o"], ["check", "--map"]])
def test_a_file_in_the_place_of_the_output_is_told_before_the_image_is_read(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    (tmp_path / "notes").write_text("mine")
    image = tmp_path / "not there.nii.gz"
    assert cli.main([*words, str(tmp_path / "notes"), "-m", str(model), str(image)]) == cli.EXIT_REFUSED
    said = capsys.readouterr().err
    assert "a file is in the place of the folder" in said
    assert "disk space" not in said


@pytest.mark.skipif(sys.platform == "win32", reason="closed pipes are told otherwise on Windows")
@pytest.mark.parametrize("module", ["MultiTaskSegLib.runtime.cli", "trainer"])
@pytest.mark.parametrize("is_buffered", [True, False])
def test_a_reader_that_goes_is_no_error(model: Path, module: str, is_buffered: bool) -> None:
    read, write = os.pipe()
    os.close(read)
    environment = worker_environment() | ({} if is_buffered else {"PYTHONUNBUFFERED": "1"})
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    words = [sys.executable, "-m", module, "info", str(model)]
    done = subprocess.run(words, env=environment, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (EXIT_CLOSED_PIPE, "")


def test_an_image_after_a_closed_pipe_is_not_blamed(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "_print_explanation", lambda verdict: (_ for _ in ()).throw(BrokenPipeError))
    monkeypatch.setattr(cli, "leave_closed_pipe", lambda: EXIT_CLOSED_PIPE)
    images = [str(written(tmp_path / name)) for name in ("a.nii.gz", "b.nii.gz")]
    assert cli.main(["check", *images, "-m", str(model)]) == EXIT_CLOSED_PIPE
