"""Several channels through the doors: command line and worker."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from MultiTaskSegLib.runtime import cli
from MultiTaskSegLib.runtime.errors import UsageError
from MultiTaskSegLib.runtime.hosting.channel_files import named_files, ordered_files
from MultiTaskSegLib.runtime.image.sitk_image import to_sitk
from MultiTaskSegLib.runtime.worker import Worker, read_volume
from Testing.runtime.channel_model import ONE, REGIONS, TWO, ball_image, write_channel_model
from Testing.runtime.imported.imported_models import imported


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_channel_model(tmp_path_factory.mktemp("model") / "c.mts.safetensors")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """First and second channel."""
    folder, volume = tmp_path_factory.mktemp("image"), ball_image(70)
    paths = folder / "flair.nii.gz", folder / "t1c.nii.gz"
    for path, channel in zip(paths, volume.channels, strict=True):
        sitk.WriteImage(to_sitk(channel, volume), str(path))
    return paths


def segmented(model: Path, output: Path, *words: str) -> dict[str, Any]:
    assert cli.main(["segment", *words, "-m", str(model), "-o", str(output), "--device", "cpu"]) == 0
    report: dict[str, Any] = json.loads((output / "report.json").read_text(encoding="utf-8"))
    return report


def test_images_in_the_models_order_and_channels_by_name_give_the_same(
    model: Path, files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flair, t1c = files
    in_order = segmented(model, tmp_path / "a", str(flair), str(t1c), "--task", TWO)
    by_name = segmented(model, tmp_path / "b", "--channel", f"t1c={t1c}", "--channel", f"FLAIR={flair}", "--task", TWO)
    assert in_order["channels"] == by_name["channels"] == ["FLAIR", "T1c"]
    for report in (in_order, by_name):
        del report["timings"], report["sha256"]["report.json"]
    assert in_order == by_name


def test_swapped_images_are_told(
    model: Path, files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flair, t1c = files
    report = segmented(model, tmp_path, str(t1c), str(flair), "--task", TWO)
    assert report["ood"]["is_ood"]
    assert any("right order" in warning for warning in report["warnings"])
    assert "right order" in capsys.readouterr().err


def test_several_images_are_several_checks_and_channels_are_one(
    model: Path, files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    flair, t1c = files
    assert cli.main(["check", str(flair), str(t1c), "-m", str(model), "--json"]) == 0
    entries = json.loads(capsys.readouterr().out)
    assert [entry["ood"]["nearest_task"] for entry in entries] == [ONE, ONE]
    by_name = ["--channel", f"T1c={t1c}", "--channel", f"FLAIR={flair}"]
    assert cli.main(["check", *by_name, "-m", str(model), "--json"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)
    assert set(entry["ood"]["distances"]) == {TWO, REGIONS}
    assert entry["channels"] == {"FLAIR": str(flair), "T1c": str(t1c)}


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["{flair}", "--task", TWO], 4, "takes 2 channels (FLAIR, T1c)"),
        (["{flair}", "{t1c}", "--task", ONE], 4, "Dataset001_One takes one channel"),
        (["{flair}", "{t1c}", "{t1c}"], 4, "3 channels were given"),
        (["--channel", "FLAIR={flair}"], 2, "no task has the channels FLAIR"),
        (["--channel", "FLAIR={flair}", "--channel", "flair={t1c}"], 2, "given twice"),
        (["--channel", "{flair}"], 2, "not NAME=FILE"),
        (["--channel", "FLAIR={flair}", "--task", "Nothing"], 2, "the model has no task 'Nothing'"),
        (["--channel", "T1={flair}", "--task", ONE], 2, f"Images of {ONE} have one channel"),
    ],
)
def test_wrong_use_is_told_in_one_line(
    model: Path,
    files: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    code: int,
    told: str,
) -> None:
    flair, t1c = files
    filled = [word.format(flair=flair, t1c=t1c) for word in words]
    assert cli.main(["segment", *filled, "-m", str(model), "-o", str(tmp_path)]) == code
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("words", [[], ["a.nii", "--channel", "T1=b.nii"]])
def test_images_or_channels_must_be_given_and_not_both(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["check", *words], ["segment", *words, "-o", "out"]):
        with pytest.raises(SystemExit) as ended:
            cli.main(command)
        assert ended.value.code == 2
        assert "--channel" in capsys.readouterr().err


def test_channels_by_name_need_a_model(files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", "--channel", f"T1={files[0]}"]) == 2
    assert "needs a model" in capsys.readouterr().err


def test_another_grid_is_told_and_another_place_refused(
    model: Path, files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flair, t1c = files
    other = sitk.ReadImage(str(t1c))
    finer = sitk.Expand(other, (2, 2, 2))
    sitk.WriteImage(finer, str(tmp_path / "finer.nii.gz"))
    report = segmented(model, tmp_path / "o", str(flair), str(tmp_path / "finer.nii.gz"), "--task", TWO)
    assert any("lies on another grid" in warning for warning in report["warnings"])
    other.SetOrigin((500.0, 500.0, 500.0))
    sitk.WriteImage(other, str(tmp_path / "away.nii.gz"))
    words = ["segment", str(flair), str(tmp_path / "away.nii.gz"), "-m", str(model), "-o", str(tmp_path / "p")]
    assert cli.main(words) == 4
    assert "covers 0 % of the field of view" in capsys.readouterr().err


def test_tasks_with_other_orders_must_be_named() -> None:
    given = named_files(["b=1", "a=2"])
    orders = {"one": ("a", "b"), "two": ("b", "a"), "three": ()}
    with pytest.raises(UsageError, match="different orders"):
        ordered_files(given, orders)
    assert list(ordered_files(given, orders, "two")) == ["b", "a"]
    assert list(ordered_files(given, orders, "one").values()) == [Path("2"), Path("1")]


def asked(request: dict[str, Any]) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    Worker(events.append).handle(json.dumps({"id": 1, **request}))
    return events


def test_the_worker_takes_further_channels_and_says_which_a_task_wants(
    model: Path, files: tuple[Path, Path], tmp_path: Path
) -> None:
    flair, t1c = files
    volume = ball_image(70)
    np.save(tmp_path / "second.npy", volume.further[0])
    arrays = {"voxels": str(tmp_path / "second.npy"), "ijk_to_ras": volume.ijk_to_ras.tolist()}
    for further in ({"image": str(t1c)}, arrays):
        request = {"command": "segment", "model": str(model), "image": str(flair), "further": [further]}
        events = asked({**request, "task": REGIONS, "device": "cpu", "output": str(tmp_path / "out")})
        result = events[-1]
        assert result["event"] == "result", result
        regions = np.load(result["regions"])
        assert regions.dtype == bool
        assert regions.shape == (2, *volume.shape)
        assert result["report"]["channels"] == ["FLAIR", "T1c"]
    info = asked({"command": "info", "model": str(model), "device": "cpu"})[-1]
    assert info["checked"] is True
    assert {task["name"]: task["inputs"] for task in info["tasks"]}[TWO] == ["FLAIR", "T1c"]
    assert {task["name"]: task["inputs"] for task in info["tasks"]}[ONE] == []


@pytest.mark.parametrize("further", [["text"], [{"voxels": 3}], "text"])
def test_nonsense_instead_of_further_channels_is_told(files: tuple[Path, Path], further: object) -> None:
    events = asked({"command": "check", "image": str(files[0]), "further": further})
    assert events[-1]["event"] == "error"
    assert events[-1]["kind"] == "UsageError"


def test_a_request_without_further_channels_has_one(files: tuple[Path, Path]) -> None:
    assert read_volume({"image": str(files[0])}).channel_count == 1


def test_channels_of_imported_models_are_given_by_name_too(
    files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = str(imported(tmp_path))
    words = ["segment", "--channel", f"t1={files[0]}", "-m", model, "-o", str(tmp_path / "out")]
    assert cli.main(words) == 0
    assert json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))["channels"] == ["T1"]
    words[2] = f"FLAIR={files[0]}"
    assert cli.main(words) == 2
    assert "takes T1" in capsys.readouterr().err
