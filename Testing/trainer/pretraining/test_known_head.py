"""A training goes on with those outputs of a model's head that know its labels, and only with those."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from MultiTaskSegLib.runtime.model.model_file import load_model
from Testing.trainer.pretraining.tiny_run import CONFIG
from Testing.trainer.synthetic_dataset import BallDataset
from trainer.data.dataset import read_dataset
from trainer.data.planning import Plan
from trainer.pretraining.finetune import start_from
from trainer.pretraining.pretrain import pretrain
from trainer.report.run_folder import RunFolder
from trainer.training.training import Budget, prepare_data

DISCS = BallDataset("Dataset005_Discs", shape=(1, 16, 16), patients=9)
RINGS = replace(DISCS, name="Dataset008_Rings", label_values=(1, 2))
TWICE = replace(DISCS, name="Dataset009_Twice")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Datasets by name, and one of the rings under a user's own name."""
    parent = tmp_path_factory.mktemp("data")
    mine = replace(RINGS, name="Dataset201_Mine")
    return {dataset.name: dataset.write(parent) for dataset in (DISCS, RINGS, TWICE, mine)}


@pytest.fixture(scope="module")
def model(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the discs (outputs 0 and 1) and the rings (outputs 2 to 4)."""
    path = tmp_path_factory.mktemp("model") / "both.mts.safetensors"
    data = [folders[DISCS.name], folders[RINGS.name]]
    pretrain(data, path, "segmentation", CONFIG, Budget(steps=2), stream=io.StringIO())
    return path


def planned(folder: Path, *names: Path) -> Plan:
    datasets = [read_dataset(name) for name in names]
    return prepare_data(datasets, CONFIG, RunFolder(folder / "m.mts.safetensors"), io.StringIO()).plan


@pytest.mark.parametrize(
    ("names", "outputs"),
    [
        ((DISCS.name, RINGS.name), [0, 1, 2, 3, 4]),
        ((RINGS.name, DISCS.name), [2, 3, 4, 0, 1]),
        ((RINGS.name,), [2, 3, 4]),
        (("Dataset201_Mine",), [2, 3, 4]),  # known by its labels
        ((DISCS.name, TWICE.name), [0, 1, 0, 1]),  # both begin with the same outputs
    ],
)
def test_known_labels_keep_their_outputs_whatever_else_the_model_knows(
    folders, model, tmp_path, names, outputs
) -> None:
    recipe, said = start_from(model, planned(tmp_path, *(folders[name] for name in names)))
    head = load_model(model).network.head
    assert recipe.weights is not None
    for name, own in (("weight", head.weight.data), ("bias", head.bias.data)):
        torch.testing.assert_close(recipe.weights[f"head.{name}"], own[outputs])
    assert said["finetuning"]["head"]


def test_labels_that_are_not_known_or_known_twice_begin_anew(
    folders: dict[str, Path], model: Path, tmp_path: Path
) -> None:
    plan = planned(tmp_path, folders[RINGS.name])
    other = replace(plan.tasks[0], label_names=("part2", "part1"))  # the order is another one
    twins = tmp_path / "twins.mts.safetensors"
    pretrain(
        [folders[DISCS.name], folders[TWICE.name]], twins, "segmentation", CONFIG, Budget(steps=2), stream=io.StringIO()
    )
    named = replace(plan.tasks[0], label_names=("part1",))  # of neither name
    for start, task in ((model, other), (twins, named)):
        recipe, said = start_from(start, replace(plan, tasks=(task,)))
        assert recipe.weights is not None
        assert "head.weight" not in recipe.weights
        assert not said["finetuning"]["head"]
