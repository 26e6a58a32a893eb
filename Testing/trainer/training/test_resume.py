"""A run goes on only where it is the same run: what was exchanged, changed or left by another one is refused."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import SimpleITK as sitk
import torch

from MultiTaskSegLib.runtime.errors import ModelError, MtsError, ResourceError
from Testing.trainer.synthetic_dataset import BallDataset
from trainer.config import TrainingConfig
from trainer.data.dataset import read_dataset
from trainer.pretraining.finetune import finetune
from trainer.pretraining.pretrain import pretrain
from trainer.report.run_folder import RunFolder
from trainer.training import train_model as whole
from trainer.training.optimization import Optimization
from trainer.training.train_model import train_model
from trainer.training.training import Budget, prepare_data, train

CONFIG = TrainingConfig(
    channels=(3, 4), patches_per_group=1, groups_per_step=1, patch_voxels=256, workers=0, warmup_steps=1,
    validations=0, minimum_validation_groups=1, threads=1,
)  # fmt: skip


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    """Two small datasets; the first has two labels."""
    first = BallDataset("A", shape=(2, 8, 8), patients=3, label_values=(1, 2))
    return [first.write(tmp_path), BallDataset("B", shape=(2, 8, 8), patients=3, region="chest").write(tmp_path)]


@pytest.fixture
def begun(folders: list[Path], tmp_path: Path) -> RunFolder:
    """The folder of a run on both datasets."""
    run(folders, tmp_path, resume=False)
    return RunFolder(tmp_path / "m.mts.safetensors")


def run(
    folders: list[Path], tmp_path: Path, *, steps: int = 2, resume: bool = True, watch: Any = None, **changes: Any
) -> Optimization:
    """What `train_model` does up to the trained weights."""
    folder, config = RunFolder(tmp_path / "m.mts.safetensors"), replace(CONFIG, **changes)
    data = prepare_data([read_dataset(f) for f in folders], config, folder, io.StringIO())
    cpu, stream = torch.device("cpu"), io.StringIO()
    return train(data, config, Budget(steps=steps), folder, resume=resume, device=cpu, stream=stream, watch=watch)


def exchange(folders: list[Path]) -> None:
    folders.reverse()


def renumber(folders: list[Path]) -> None:
    path = folders[0] / "dataset.json"
    info = json.loads(path.read_text())
    path.write_text(json.dumps(info | {"labels": {"background": 0, "part1": 2, "part2": 1}}))


def redraw(folders: list[Path]) -> None:
    for path in sorted((folders[1] / "labelsTr").iterdir()):
        image = sitk.ReadImage(str(path))
        image[0, 0, 0] = 1
        sitk.WriteImage(image, str(path))


@pytest.mark.parametrize(
    "change, words",
    [
        (exchange, r"begun with the datasets A, B, not B, A: .*checkpoint\.pt\. Give them in the order A B"),
        (renumber, r"the labels of A were part1 = 1, part2 = 2 and are part2 = 1, part1 = 2"),
        (redraw, r"cases of B hold something else than before \(\d, first case_0"),
        (lambda folders: folders.pop(), r"begun with the datasets A, B, not A"),
    ],
)
def test_a_run_is_not_taken_up_on_other_data(
    begun: RunFolder, folders: list[Path], tmp_path: Path, change: Callable[[list[Path]], None], words: str
) -> None:
    before = {path.name: path.read_bytes() for path in begun.path.iterdir() if path.is_file()}
    change(folders)
    with pytest.raises(ModelError, match=words):
        run(folders, tmp_path)
    assert {path.name: path.read_bytes() for path in begun.path.iterdir() if path.is_file()} == before


def test_the_settings_of_a_run_that_is_refused_do_not_replace_those_of_the_one_that_is_there(
    begun: RunFolder, folders: list[Path], tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=r"learning_rate was 0\.002 and is 1\.0"):
        run(folders, tmp_path, learning_rate=1.0)
    assert json.loads((begun.path / "config.json").read_text())["learning_rate"] == 0.002


def test_a_run_is_taken_up_when_files_were_copied_or_touched(
    begun: RunFolder, folders: list[Path], tmp_path: Path
) -> None:
    for path in (folders[0] / "imagesTr").iterdir():
        path.touch()
    assert run(folders, tmp_path, steps=3).step == 3


class PowerCut(Exception):
    """The run ends without warning."""


def cut(*arguments: Any, **words: Any) -> Any:
    raise PowerCut


@pytest.mark.parametrize("where", ["while preparing", "in the first step"])
def test_a_fresh_run_that_was_killed_before_its_first_checkpoint_does_not_go_on_with_an_earlier_one(
    begun: RunFolder, folders: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    with monkeypatch.context() as context:
        if where == "while preparing":
            context.setattr(whole, "prepare_data", cut)
        else:
            context.setattr(Optimization, "train_step", cut)
        with pytest.raises(PowerCut):
            train_model(folders, tmp_path / "m.mts.safetensors", CONFIG, Budget(steps=2), stream=io.StringIO())
    steps: list[int] = []
    run(folders, tmp_path, watch=lambda optimization, time: steps.append(optimization.step))
    assert steps == [1, 2]
    assert [record["step"] for record in begun.records()] == [2]


def pre_train(task: Any) -> Callable[..., Any]:
    return lambda folders, output: pretrain(folders, output, task, CONFIG, Budget(steps=2))


def fine_tune(folders: list[Path], output: Path) -> Any:
    return finetune(None, folders, output, CONFIG, Budget(steps=2))


@pytest.mark.parametrize("command", [pre_train("segmentation"), pre_train("classification"), fine_tune])
def test_pre_training_and_fine_tuning_begin_anew_before_they_prepare_anything(
    begun: RunFolder, folders: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Any
) -> None:
    monkeypatch.setattr("trainer.pretraining.pretrain.prepare_data", cut)
    monkeypatch.setattr("trainer.pretraining.finetune.prepare_data", cut)
    with pytest.raises(PowerCut):
        command(folders, tmp_path / "m.mts.safetensors")
    assert not begun.checkpoint.exists()


def test_what_a_fresh_run_replaces_is_put_aside(begun: RunFolder, folders: list[Path], tmp_path: Path) -> None:
    checkpoint, log = begun.checkpoint.read_bytes(), begun.steps.read_bytes()
    run(folders, tmp_path, steps=1, resume=False)
    assert (begun.path / "previous-checkpoint.pt").read_bytes() == checkpoint
    assert (begun.path / "previous-metrics.jsonl").read_bytes() == log
    assert begun.checkpoint.read_bytes() != checkpoint


def test_a_checkpoint_that_cannot_be_put_aside_is_said(begun: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("trainer.report.run_folder.os.replace", refuse)
    with pytest.raises(ResourceError, match=r"put aside \(Permission denied\): .*checkpoint\.pt"):
        begun.begin_anew()


def test_a_log_whose_last_line_is_cut_goes_on(begun: RunFolder, folders: list[Path], tmp_path: Path) -> None:
    with begun.steps.open("a") as stream:
        stream.write('{"step": 3, "elap')
    run(folders, tmp_path, steps=4)
    assert [record["step"] for record in begun.records()] == [2, 4]


def test_a_log_that_was_lost_says_at_least_how_long_the_run_has_taken(
    begun: RunFolder, folders: list[Path], tmp_path: Path
) -> None:
    took_s = begun.records()[-1]["elapsed_s"]
    begun.steps.write_text('{"step": 2, "elap')
    run(folders, tmp_path)
    (record,) = begun.records()
    assert record["step"] == 2
    assert record["elapsed_s"] == pytest.approx(took_s, abs=1.0)


def test_a_log_that_is_damaged_elsewhere_is_refused(begun: RunFolder, folders: list[Path], tmp_path: Path) -> None:
    begun.steps.write_text('{"step": 1, "elap\n{"step": 2}\n')
    with pytest.raises(MtsError, match=r"line 1 of 2 is damaged: .*metrics\.jsonl"):
        run(folders, tmp_path)


@pytest.mark.parametrize("setting, value", [("measuring_share", 0.0), ("validation_cases", 1), ("threads", 2)])
def test_a_run_goes_on_with_another_setting_that_no_weight_depends_on(
    begun: RunFolder, folders: list[Path], tmp_path: Path, setting: str, value: float
) -> None:
    assert run(folders, tmp_path, steps=3, **{setting: value}).step == 3
