"""``describe``: what a model says of its data is written anew, and nothing else of it changes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from MultiTaskSegLib.runtime.model.model_file import read_manifest, rewrite_manifest
from MultiTaskSegLib.runtime.model.weights_licence import weights_licence
from Testing.runtime.tiny_model import write_tiny_model
from Testing.trainer.seen_groups import trained_on
from Testing.trainer.synthetic_dataset import BallDataset
from trainer import cli


def test_the_words_of_the_datasets_reach_the_file_and_nothing_else_changes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ("Dataset001_Balls", "Dataset002_Cubes")
    folders = [BallDataset(name, shape=(6, 12, 14), patients=3).write(tmp_path) for name in names]
    for folder, licence in zip(folders, ("CC BY-SA 4.0", "CC BY 4.0"), strict=True):
        info = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
        changed = info | {"licence": licence, "ages": "adults"}
        (folder / "dataset.json").write_text(json.dumps(changed), encoding="utf-8")
    model, target = write_tiny_model(tmp_path / "tiny.mts.safetensors"), tmp_path / "described.mts.safetensors"
    seen = trained_on({names[0]: ["patient_0", "patient_1"], names[1]: ["patient_0"]})
    rewrite_manifest(model, replace(read_manifest(model)[0], training=seen), model)
    manifest, digest = read_manifest(model)
    words = ["describe", "-m", str(model), "--data", *map(str, folders), "-o", str(target)]
    assert cli.main(words) == 0
    assert "licence of the weights: CC BY-SA 4.0 (Dataset001_Balls)" in capsys.readouterr().out
    found = read_manifest(target)[0]
    assert found.training["measured_as"] == [digest]
    assert [task.licence for task in found.tasks] == ["CC BY-SA 4.0", "CC BY 4.0"]
    assert [task.data.sizes.images for task in found.tasks if task.data.sizes] == [2, 2]  # one patient in two datasets
    assert {task.data.ages for task in found.tasks} == {"adults"}
    assert not weights_licence(found).refusals()
    assert found.training["provenance"][0]["terms"][names[0]]["licence"] == "CC BY-SA 4.0"
    # Taken back, what was written leaves the file as it was.
    bare = tuple(
        replace(new, licence=old.licence, data=old.data) for new, old in zip(found.tasks, manifest.tasks, strict=True)
    )
    assert replace(found, tasks=bare, training={}) == replace(manifest, training={})
    before, after = load_file(model), load_file(target)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_every_task_needs_its_dataset(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = write_tiny_model(tmp_path / "tiny.mts.safetensors")
    folder = BallDataset("Dataset001_Balls").write(tmp_path)
    assert cli.main(["describe", "-m", str(model), "--data", str(folder)]) == 4
    assert "no folder for Dataset002_Cubes" in capsys.readouterr().err
