"""``multitaskseg demo``: from the command line to pictures and a story that holds, and what else it may end with."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from MultiTaskSegLib.runtime import cli
from MultiTaskSegLib.runtime.image.image_file import read_label_map
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.prediction.segmentation import Segmentation
from MultiTaskSegLib.runtime.predictor import Predictor
from trainer import cli as trainer_cli
from trainer.demo import demo
from trainer.report.run_folder import RunFolder

PICTURES = ("overview", "spectrum", "spectrum_known", "ood_scores", "dice", "training_curves")
RESULTS = {"segmentation.nii.gz", "segmentation.seg.nrrd", "uncertainty.nii.gz", "report.json"}


class WellTrained:
    """The model of a few seconds, with the labels and the verdicts that one of some minutes gives.

    Args:
        path, device: as for `Predictor.load`. Beside the model lies the data with its exact labels.
    """

    def __init__(self, path: Path, device: str) -> None:
        self._learner = Predictor.load(path, device)
        self._truths = {file.name: file for file in path.parent.glob("data/*/labelsTs/*")}

    def __getattr__(self, name: str) -> object:
        return getattr(self._learner, name)

    def segment(self, volume: Volume) -> Segmentation:
        """The exact labels of a case of the data; anything else is foreign."""
        found = self._learner.segment(volume)
        truth = self._truths.get(volume.name.replace("_0000.", "."))
        if truth is None:
            return replace(found, verdict=replace(found.verdict, is_ood=True))
        labels, _ = read_label_map(truth)
        return replace(
            found,
            labels=labels.astype(found.labels.dtype),
            task=self._learner.manifest.task(truth.parents[1].name),
            verdict=replace(found.verdict, is_ood=False),
        )


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The trainer's command line runs here instead of in a process of its own; the commands that were given to it."""
    commands: list[list[str]] = []

    def run(command: list[str], *, check: bool) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        assert command[:3] == [sys.executable, "-m", "trainer"]
        return subprocess.CompletedProcess(command, trainer_cli.main(command[3:]))

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(trainer_cli, "keep_freed_memory", lambda: True)  # a setting of the whole process
    return commands


@dataclass(frozen=True)
class Told:
    """A whole demo that was run."""

    folder: Path
    code: int
    said: str


@pytest.fixture(scope="module")
def briefly_trained(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """The whole demo with four steps of training."""
    folder, said = tmp_path_factory.mktemp("demo") / "new", io.StringIO()
    size = demo.DemoSize(cases=4, test_cases=1, steps=4)
    return Told(folder, demo.run_demo(folder, size=size, stream=io.StringIO(), output=said), said.getvalue())


def test_the_whole_demo_runs_and_says_honestly_when_its_model_is_too_weak(briefly_trained: Told) -> None:
    told = json.loads((briefly_trained.folder / "demo.json").read_text(encoding="utf-8"))
    # Four steps cannot reach the promised Dice.
    assert briefly_trained.code == 1
    assert any("mean Dice" in failure for failure in told["failures"])
    assert "did NOT hold" in briefly_trained.said
    for name in PICTURES:
        assert (briefly_trained.folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    report = (briefly_trained.folder / "report.html").read_text(encoding="utf-8")
    assert report.count("data:image/png;base64,") == 6
    for name in ("brain_p004_1", "knee"):
        assert {path.name for path in (briefly_trained.folder / "results" / name).iterdir()} >= RESULTS


def taken_from(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next demo takes data and model of one that was run before: making them is not what is looked at."""

    def write_cohort(directory: Path, *_: object) -> list[Path]:
        """The same phantoms."""
        shutil.copytree(told.folder / "data", directory)
        return sorted(directory.iterdir())

    def train(folders: list[Path], model: Path, *_: object) -> float:
        """The same model and its run folder."""
        shutil.copy(told.folder / demo.MODEL, model)
        shutil.copytree(RunFolder(told.folder / demo.MODEL).path, RunFolder(model).path, dirs_exist_ok=True)
        return 1.0

    monkeypatch.setattr(demo, "write_cohort", write_cohort)
    monkeypatch.setattr(demo, "_train", train)


def test_the_demo_ends_with_pictures_results_and_a_story_that_holds(
    briefly_trained: Told,
    tmp_path: Path,
    in_this_process: list[list[str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    taken_from(briefly_trained, monkeypatch)
    monkeypatch.setattr(demo, "Predictor", SimpleNamespace(load=WellTrained))
    folder = tmp_path / "new"
    assert cli.main(["demo", "-o", str(folder)]) == 0
    assert len(in_this_process) == 1
    assert "The story held" in capsys.readouterr().out
    told = json.loads((folder / "demo.json").read_text(encoding="utf-8"))
    assert told["failures"] == []
    assert {case["task"] for case in told["known"]} == {path.name for path in (folder / "data").iterdir()}
    assert len(told["known"]) == 3
    assert all(set(case["dice"].values()) == {1.0} for case in told["known"])
    assert told["foreign"]
    assert all(verdict["is_ood"] for verdict in told["foreign"].values())
    for name in PICTURES:
        assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    for case in told["known"]:
        assert {path.name for path in (folder / "results" / case["case"]).iterdir()} == RESULTS


@pytest.mark.parametrize("code", [0, 1])
def test_the_exit_code_of_the_demo_says_whether_its_story_held(
    tmp_path: Path, in_this_process: list[list[str]], monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    folders: list[Path] = []
    monkeypatch.setattr(demo, "run_demo", lambda folder: folders.append(folder) or code)
    assert cli.main(["demo", "-o", str(tmp_path / "here")]) == code
    assert folders == [tmp_path / "here"]


@pytest.mark.parametrize("missing", ["trainer", "matplotlib"])
def test_without_the_trainer_or_its_pictures_the_demo_says_what_to_install(
    missing: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "find_spec", lambda name: None if name == missing else object())
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("nothing may start"))
    assert cli.main(["demo"]) == 2
    assert "start.py demo" in capsys.readouterr().err
