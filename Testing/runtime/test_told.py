"""Nothing that is known gets lost on its way to the user: warnings, verdicts beside failures, sizes that are not."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MultiTaskSegLib.runtime import cli
from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.runtime.network.network_stream import NetworkStream
from MultiTaskSegLib.runtime.prediction.network_pass import IN_PARTS
from MultiTaskSegLib.runtime.predictor import Predictor
from MultiTaskSegLib.runtime.worker import Worker
from Testing.runtime.tiny_model import write_tiny_model

MENDED = "1 NaN or infinite voxels were replaced by the smallest finite value"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.mts.safetensors", with_cells=True)


@pytest.fixture(scope="module")
def planar_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("planar") / "tiny.mts.safetensors", is_planar=True)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three images; the second has a voxel that is no number."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(8)
    paths = [folder / f"{name}.nrrd" for name in ("first", "second", "third")]
    for path in paths:
        voxels = rng.normal(200, 40, (10, 11, 12)).astype(np.float32)
        if path.stem == "second":
            voxels[3, 3, 3] = np.nan
        sitk.WriteImage(sitk.GetImageFromArray(voxels), str(path))
    return paths


@pytest.fixture
def short_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory runs out at the first attempt of every pass."""
    begin, calls = NetworkStream.__init__, [0]

    def fail_at_first(self: NetworkStream, *arguments: object) -> None:
        calls[0] += 1
        if calls[0] % 2:
            raise MemoryError
        begin(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(NetworkStream, "__init__", fail_at_first)


def fail_on(monkeypatch: pytest.MonkeyPatch, name: str, error: BaseException) -> None:
    """One image fails with this."""
    check = Predictor.check

    def failing(self: Predictor, volume: object, progress: object = None) -> object:
        if volume.name == name:  # type: ignore[attr-defined]
            raise error
        return check(self, volume)  # type: ignore[arg-type]

    monkeypatch.setattr(Predictor, "check", failing)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (MemoryError(), "there is not enough memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "there is not enough memory"),
        (OSError(28, "No space left on device", "/tmp/x"), "no space left on device: /tmp/x"),
        (InputError("the image is constant", file="second.nrrd", remedy="Choose another"), "the image is constant"),
        (ZeroDivisionError("two\nlines"), "unexpected error, please report it (ZeroDivisionError: two lines)"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_image_that_fails_is_listed_with_its_error_between_the_verdicts_on_the_others(
    model: Path,
    images: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    says: str,
) -> None:
    fail_on(monkeypatch, "second.nrrd", error)
    assert cli.main(["check", *map(str, images), "-m", str(model), "--json"]) == 4
    printed = capsys.readouterr()
    entries = json.loads(printed.out)
    assert [entry["image"] for entry in entries] == [str(path) for path in images]
    assert [set(entry) for entry in entries] == [
        {"image", "model", "ood", "network_grid", "warnings"},
        {"image", "error"},
        {"image", "model", "ood", "network_grid", "warnings"},
    ]
    assert entries[1]["error"].startswith(says)
    assert printed.err.count(entries[1]["error"]) == 1


def test_an_image_that_is_refused_is_listed_too(
    model: Path, images: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    absent = tmp_path / "absent.nrrd"
    assert cli.main(["check", str(absent), str(images[0]), "-m", str(model), "--json", "--fail-on-ood"]) == 4
    refused, checked = json.loads(capsys.readouterr().out)
    assert "there is no such file" in refused["error"]
    assert "ood" in checked


def test_what_is_known_is_told_when_the_user_ends_the_run(
    model: Path, images: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fail_on(monkeypatch, "second.nrrd", KeyboardInterrupt())
    assert cli.main(["check", *map(str, images), "-m", str(model), "--json"]) == cli.EXIT_INTERRUPTED
    assert [entry["image"] for entry in json.loads(capsys.readouterr().out)] == [str(images[0])]


@pytest.mark.usefixtures("short_memory")
def test_a_check_tells_what_was_mended_and_that_memory_was_short(
    model: Path, images: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for more in ([], ["--map", str(tmp_path)]):
        assert cli.main(["check", str(images[1]), "-m", str(model), "--json", *more]) == 0
        assert json.loads(capsys.readouterr().out)[0]["warnings"] == [MENDED, IN_PARTS]
    assert cli.main(["check", str(images[1]), "-m", str(model)]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"warning: {images[1]}: {MENDED}", f"warning: {images[1]}: {IN_PARTS}"]


@pytest.mark.usefixtures("short_memory")
@pytest.mark.parametrize("command", ["check", "segment"])
@pytest.mark.parametrize("with_map", [False, True])
def test_the_worker_s_report_tells_it_too(
    model: Path, images: list[Path], tmp_path: Path, command: str, with_map: bool
) -> None:
    events: list[dict] = []
    request = {"id": 1, "command": command, "image": str(images[1]), "model": str(model), "device": "cpu"}
    Worker(events.append).handle(json.dumps({**request, "output": str(tmp_path), "map": with_map}))
    warnings = events[-1]["report"]["warnings"]
    assert warnings[0] == MENDED
    assert warnings.count(IN_PARTS) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux names files with any bytes")
def test_a_file_name_that_is_no_text_does_not_hide_the_verdicts(
    model: Path, images: list[Path], tmp_path: Path
) -> None:
    import subprocess

    odd = os.path.join(os.fsencode(tmp_path), b"\xff.nrrd")
    Path(os.fsdecode(odd)).write_bytes(images[0].read_bytes())
    command = [sys.executable, "-m", "MultiTaskSegLib.runtime.cli", "check", "--json", "-m", str(model)]
    found = subprocess.run([*command, odd, str(images[0])], capture_output=True, check=False)
    entries = json.loads(found.stdout.decode("utf-8"))
    assert "no text in UTF-8" in entries[0]["error"]
    assert "ood" in entries[1]
    assert found.returncode == 4


def summary(image: Path, model: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[list[dict], str]:
    """The labels of the report, and what was printed."""
    task = ["--task", "Dataset001_Balls"]
    assert cli.main(["segment", str(image), "-m", str(model), "-o", str(folder), *task]) == 0
    return json.loads((folder / "report.json").read_text(encoding="utf-8"))["labels"], capsys.readouterr().out


def test_a_picture_has_pixels_and_no_millilitres(
    planar_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pixels = np.random.default_rng(3).integers(0, 255, (40, 48)).astype(np.uint8)
    sitk.WriteImage(sitk.GetImageFromArray(pixels), str(tmp_path / "a.png"))
    labels, printed = summary(tmp_path / "a.png", planar_model, tmp_path, capsys)
    for label in labels:
        assert (label["volume_mm3"], label["area_mm2"]) == (None, None)
        assert f" {label['voxels']} pixels" in printed
    assert not any(unit in printed for unit in (" ml", "mm", "cm"))


def test_pixels_with_a_size_and_no_thickness_have_an_area(
    planar_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = sitk.GetImageFromArray(np.random.default_rng(3).normal(size=(40, 48)).astype(np.float32))
    image.SetSpacing((5.0, 4.0))
    sitk.WriteImage(image, str(tmp_path / "a.nrrd"))
    labels, printed = summary(tmp_path / "a.nrrd", planar_model, tmp_path, capsys)
    for label in labels:
        assert label["volume_mm3"] is None
        assert label["area_mm2"] == pytest.approx(20.0 * label["voxels"])
        assert f" {label['voxels'] * 0.2:.2f} cm²" in printed


def test_a_volume_without_a_size_has_voxels_and_says_why(
    model: Path, images: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = tmp_path / "bare.nrrd"
    lines = images[0].read_bytes().split(b"\n\n", 1)
    head = [line for line in lines[0].split(b"\n") if not line.startswith((b"space", b"kinds"))]
    bare.write_bytes(b"\n".join(head) + b"\n\n" + lines[1])
    labels, printed = summary(bare, model, tmp_path, capsys)
    for label in labels:
        assert (label["volume_mm3"], label["area_mm2"]) == (None, None)
        assert f" {label['voxels']} voxels" in printed
    warnings = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["warnings"]
    assert any("states no size" in warning for warning in warnings)
