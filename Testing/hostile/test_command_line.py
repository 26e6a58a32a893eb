"""Broken images and models through the command line: exit 4, one line, no traceback, nothing half-written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MultiTaskSegLib.runtime import cli
from Testing.hostile.broken_image import BrokenImage
from Testing.hostile.catalogue import broken_images
from Testing.hostile.model_bytes import poison, resealed
from Testing.runtime.tiny_model import write_tiny_model

RESULTS = {"segmentation.nii.gz", "segmentation.seg.nrrd", "uncertainty.nii.gz", "report.json"}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.mts.safetensors")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "good.nii.gz"
    voxels = np.random.default_rng(8).normal(200, 40, (12, 14, 16)).astype(np.float32)
    sitk.WriteImage(sitk.GetImageFromArray(voxels), str(path))
    return path


def assert_refused(code: int, out: str, err: str, output: Path | None = None) -> None:
    """One line on standard error, nothing on standard output, exit code 4, no result."""
    assert code == 4
    assert out == ""
    assert len(err.splitlines()) == 1, err
    assert "Traceback" not in err
    assert "unexpected error" not in err
    assert output is None or not output.exists() or not any(output.iterdir())


def broken_input(name: str) -> BrokenImage:
    return next(broken for broken in broken_images() if broken.name == name)


@pytest.mark.parametrize("broken", broken_images(), ids=lambda broken: broken.name)
def test_segment_refuses_every_broken_image(
    broken: BrokenImage, model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source, output = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    path = broken.make(source)
    before = sorted(source.rglob("*"))
    capfd.readouterr()
    code = cli.main(["segment", str(path), "-m", str(model), "-o", str(output)])
    assert_refused(code, *capfd.readouterr(), output)
    assert sorted(source.rglob("*")) == before


@pytest.mark.parametrize("broken", broken_images()[::4], ids=lambda broken: broken.name)
def test_check_refuses_broken_images(
    broken: BrokenImage, model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = broken.make(tmp_path)
    capfd.readouterr()
    code = cli.main(["check", str(path), "-m", str(model)])
    assert_refused(code, *capfd.readouterr())


@pytest.mark.parametrize("command", ["segment", "check"])
@pytest.mark.parametrize("value", [0.0, -5.0, 1000.0])
def test_a_constant_image_is_refused(
    command: str, value: float, model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path, output = tmp_path / "flat.nrrd", tmp_path / "out"
    sitk.WriteImage(sitk.GetImageFromArray(np.full((9, 9, 9), value, np.float32)), str(path))
    code = cli.main([command, str(path), "-m", str(model), *(["-o", str(output)] if command == "segment" else [])])
    out, err = capfd.readouterr()
    assert_refused(code, out, err, output)
    assert "constant" in err
    assert str(path) in err or path.name in err


def damaged(change: Callable[[bytes], bytes]) -> Callable[[Path, Path], Path]:
    def make(good: Path, target: Path) -> Path:
        target.write_bytes(change(good.read_bytes()))
        return target

    return make


MODELS: dict[str, Callable[[Path, Path], Path]] = {
    "missing": lambda good, target: target,
    "empty": damaged(lambda data: b""),
    "truncated": damaged(lambda data: data[:-200]),
    "flipped byte": damaged(lambda data: data[:-99] + bytes([data[-99] ^ 0x10]) + data[-98:]),
    "text": damaged(lambda data: b"not a model\n" * 50),
    "NaN weight": lambda good, target: resealed(good, target, poison(float("nan"))),
    "other version": lambda good, target: resealed(good, target, lambda m, t, e: m.update(format_version=99)),
    "no manifest": lambda good, target: resealed(good, target, lambda m, t, e: e.update(manifest="")),
    "folder": lambda good, target: target.parent,
}


@pytest.mark.parametrize("command", ["segment", "check", "info"])
@pytest.mark.parametrize("name", MODELS)
def test_a_bad_model_is_refused(
    command: str, name: str, model: Path, image: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path, output = MODELS[name](model, tmp_path / "bad.mts.safetensors"), tmp_path / "out"
    arguments = {
        "segment": ["segment", str(image), "-m", str(path), "-o", str(output)],
        "check": ["check", str(image), "-m", str(path)],
        "info": ["info", str(path)],
    }[command]
    code = cli.main(arguments)
    out, err = capfd.readouterr()
    assert_refused(code, out, err, output)
    assert str(path) in err


def test_a_good_image_leaves_exactly_the_four_results(model: Path, image: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    assert cli.main(["segment", str(image), "-m", str(model), "-o", str(output)]) == 0
    assert {path.name for path in output.iterdir()} == RESULTS


def test_refusing_an_image_leaves_the_results_of_another_alone(
    model: Path, image: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    assert cli.main(["segment", str(image), "-m", str(model), "-o", str(output)]) == 0
    before = {path.name: path.read_bytes() for path in output.iterdir()}
    broken = broken_input("nifti cut in half").make(tmp_path)
    assert cli.main(["segment", str(broken), "-m", str(model), "-o", str(output)]) == 4
    assert {path.name: path.read_bytes() for path in output.iterdir()} == before


def test_one_broken_image_does_not_hide_the_verdicts_on_the_others(
    model: Path, image: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    broken = broken_input("nifti cut in half").make(tmp_path)
    code = cli.main(["check", str(broken), str(image), "-m", str(model), "--json"])
    out, err = capfd.readouterr()
    assert code == 4
    refused, answered = json.loads(out)
    assert (refused["image"], set(refused)) == (str(broken), {"image", "error"})
    assert (answered["image"], set(answered)) == (str(image), {"image", "model", "ood", "network_grid", "warnings"})
    assert len(err.splitlines()) == 1


def test_mended_voxels_are_reported(model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    voxels = np.random.default_rng(8).normal(200, 40, (12, 14, 16)).astype(np.float32)
    voxels[3, 3, 3] = np.nan
    path = tmp_path / "one_nan.nrrd"
    sitk.WriteImage(sitk.GetImageFromArray(voxels), str(path))
    assert cli.main(["segment", str(path), "-m", str(model), "-o", str(tmp_path / "out"), "--json"]) == 0
    assert any("NaN" in text for text in json.loads(capfd.readouterr().out)["warnings"])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--task", "Dataset999_None"], "no task 'Dataset999_None'"),
        (["--device", "quantum"], "quantum"),
    ],
)
def test_wrong_use_exits_with_2(
    arguments: list[str], says: str, model: Path, image: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command = ["segment", str(image), "-m", str(model), "-o", str(tmp_path / "out"), *arguments]
    try:
        code: object = cli.main(command)
    except SystemExit as stop:
        code = stop.code
    assert code == 2
    assert says in capfd.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_output_folder_that_is_a_file_is_refused(
    model: Path, image: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    output.write_text("precious")
    code = cli.main(["segment", str(image), "-m", str(model), "-o", str(output)])
    out, err = capfd.readouterr()
    assert_refused(code, out, err)
    assert output.read_text() == "precious"


def test_as_a_process_a_refusal_is_one_line_too(model: Path, tmp_path: Path, repository: Path) -> None:
    broken = broken_input("jpeg truncated").make(tmp_path)
    command = [sys.executable, "-m", "MultiTaskSegLib.runtime.cli", "segment", str(broken), "-m", str(model)]
    environment = {**os.environ, "PYTHONPATH": str(repository / "MultiTaskSeg")}
    run = subprocess.run(
        [*command, "-o", str(tmp_path / "out")], capture_output=True, text=True, env=environment, check=False
    )
    assert_refused(run.returncode, run.stdout, run.stderr, tmp_path / "out")
    assert str(broken) in run.stderr
