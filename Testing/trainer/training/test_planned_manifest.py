"""What no model file could hold is refused before anything is prepared or trained."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from MultiTaskSegLib.runtime.errors import ModelError, UsageError
from MultiTaskSegLib.runtime.model.manifest_bounds import MAX_TOTAL_STRIDE
from Testing.trainer.synthetic_dataset import BallDataset
from trainer.config import TrainingConfig
from trainer.data.dataset import read_dataset
from trainer.data.provenance import Generation
from trainer.report.run_folder import RunFolder
from trainer.training import training
from trainer.training.planned_manifest import planned_manifest, require_storable
from trainer.training.train_model import train_model, train_prepared
from trainer.training.training import Budget, PreparedData, prepare_data

CONFIG = TrainingConfig(channels=(3, 4), fit_matrix=16, workers=0, threads=1, validations=0, ood_layers=("encoder0",))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return BallDataset("Dataset001_Discs", shape=(1, 16, 16)).write(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def data(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    run = RunFolder(tmp_path_factory.mktemp("run") / "m.mts.safetensors")
    return prepare_data([read_dataset(folder)], CONFIG, run, io.StringIO())


@pytest.mark.parametrize(
    "changes, word",
    [
        ({"fit_matrix": 2049}, "matrix is 2049"),
        ({"fit_matrix": 7}, "matrix is 7"),
        ({"fit_matrix": 2048, "channels": (33, 4)}, "maps of"),
        ({"channels": (2,) * 9}, f"more than {MAX_TOTAL_STRIDE}"),
        ({"channels": (2,) * 11}, "11 entries"),
        ({"channels": (4097, 4)}, "channels"),
        ({"learning_rate": float("nan")}, "learning_rate"),
    ],
    ids=["large pictures", "small pictures", "large maps", "strides", "levels", "channels", "no number"],
)
def test_settings_that_no_file_can_hold_are_refused_before_a_case_is_prepared(
    changes: dict[str, Any], word: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "prepare_cases", lambda *arguments: pytest.fail("a case was prepared"))
    output = tmp_path / "m.mts.safetensors"
    with pytest.raises(UsageError, match=word) as caught:
        train_model([folder], output, replace(CONFIG, **changes), Budget(steps=1), stream=io.StringIO())
    assert "configuration" in str(caught.value)
    assert not output.exists()


@pytest.mark.parametrize(
    "change, words",
    [({"licence": "CC\x07BY"}, "licence"), ({"labels": {"background": 0, "left\x1bside": 1}}, "labels")],
)
def test_texts_that_no_file_can_hold_are_refused_before_the_training(
    tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    folder = BallDataset("A", shape=(1, 16, 16)).write(tmp_path)
    path = folder / "dataset.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    output = tmp_path / "m.mts.safetensors"
    with pytest.raises(UsageError, match=f"no model file can hold what would be trained: .*{words}"):
        train_model([folder], output, CONFIG, Budget(steps=1), stream=io.StringIO())
    assert not output.exists()


def test_a_plan_made_elsewhere_is_looked_at_before_the_first_step(data: PreparedData, tmp_path: Path) -> None:
    (task,) = data.plan.tasks
    odd = replace(data, plan=replace(data.plan, tasks=(replace(task, label_values=((256,),)),)))
    output = tmp_path / "m.mts.safetensors"
    with pytest.raises(UsageError, match="value is 256"):
        train_prepared(odd, output, CONFIG, Budget(steps=1), stream=io.StringIO())
    assert list(tmp_path.iterdir()) == []


def test_more_patients_than_a_model_file_can_name_are_refused_before_the_first_step(
    data: PreparedData, tmp_path: Path
) -> None:
    many = Generation("m", "00" * 16, {"Dataset001_Discs": [f"{n:032x}" for n in range(30_000)]}, {}, {})
    with pytest.raises(UsageError, match=r"more than 900000\. Train on fewer patients"):
        train_prepared(
            data, tmp_path / "m.mts.safetensors", CONFIG, Budget(steps=1), generation=many, stream=io.StringIO()
        )
    assert list(tmp_path.iterdir()) == []


def test_layers_that_the_network_does_not_have_are_named(data: PreparedData) -> None:
    with pytest.raises(ModelError, match="encoder9"):
        require_storable(data.plan, replace(CONFIG, ood_layers=("encoder9",)))


def test_what_can_be_held_passes_and_says_nothing_that_was_not_measured(data: PreparedData) -> None:
    require_storable(data.plan, CONFIG)
    (task,) = planned_manifest(data.plan, CONFIG, "m").tasks
    assert (task.temperature, task.surface_temperature, task.held_out_dice, task.calibration) == (1.0, None, {}, {})


def test_a_lesion_lies_in_the_region_of_its_dataset_whatever_its_modality_is_called(data: PreparedData) -> None:
    (task,) = data.plan.tasks
    dataset = replace(task.dataset, name="D", modality="heart perfusion", region="brain")
    named = replace(task, dataset=dataset, label_names=("lesion",))
    (info,) = planned_manifest(replace(data.plan, tasks=(named,)), CONFIG, "m").tasks
    assert (info.name, info.modality, info.anatomy) == ("D", "heart perfusion", "brain")
    assert info.labels[0].terminology.split("~")[5] == "SCT^12738006^Brain"
