"""A patient whom one training of a chain has seen is measured in none of the later ones."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from MultiTaskSegLib.runtime.errors import DatasetError, ModelError
from MultiTaskSegLib.runtime.model.manifest import Manifest
from MultiTaskSegLib.runtime.model.model_file import load_model, read_manifest, rewrite_manifest
from MultiTaskSegLib.runtime.predictor import Predictor
from Testing.trainer.synthetic_dataset import BallDataset
from trainer.config import TrainingConfig
from trainer.data.dataset import read_dataset
from trainer.data.provenance import Provenance, unseen
from trainer.evaluation.evaluation import evaluate
from trainer.pretraining.finetune import finetune
from trainer.pretraining.pretrain import pretrain
from trainer.report.run_folder import RunFolder
from trainer.training.train_model import train_model
from trainer.training.training import Budget, prepare_data
from trainer.transfer.measurement import measure
from trainer.two_stage.examination import examine

CONFIG = TrainingConfig(channels=(4, 8), patch_voxels=2048, workers=0, validations=0)
SHAPE = (6, 12, 12)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Twenty patients with T1; ten of them have a FLAIR, too."""
    parent = tmp_path_factory.mktemp("study")
    flair = BallDataset("Dataset2_FLAIR", shape=SHAPE, patients=10, modality="FLAIR", offset=300.0)
    return BallDataset("Dataset1_T1", shape=SHAPE, patients=20).write(parent), flair.write(parent)


@pytest.fixture(scope="module")
def pretrained(study: tuple[Path, Path]) -> Path:
    model = study[0].parent / "pretrained.mts.safetensors"
    pretrain(study, model, "segmentation", CONFIG, Budget(steps=1), stream=io.StringIO())
    return model


def finetuned(start: Path, folder: Path, output: Path, config: TrainingConfig = CONFIG) -> tuple[Manifest, str]:
    """The manifest, and what was said."""
    said = io.StringIO()
    return finetune(start, [folder], output, config, Budget(steps=1), stream=said), said.getvalue()


def seen_by(manifest: Manifest, folder: Path) -> set[str]:
    provenance = Provenance.of(manifest)
    return {group for group in read_dataset(folder).groups if provenance.saw(group)}


def test_fine_tuning_holds_out_nobody_whom_its_source_has_seen(
    study: tuple[Path, Path], pretrained: Path, tmp_path: Path
) -> None:
    before = read_manifest(pretrained)[0]
    after, _ = finetuned(pretrained, study[1], tmp_path / "m.mts.safetensors")
    assert [g.model for g in Provenance.of(after).generations] == ["m", "pretrained"]
    assert seen_by(before, study[1]) <= seen_by(after, study[1])
    left = unseen(read_dataset(study[1]), after)
    assert after.tasks[0].held_out_cases == len(left) > 0
    figures = evaluate(tmp_path / "m.mts.safetensors", [study[1]], tmp_path / "out", stream=io.StringIO())
    assert figures["Dataset2_FLAIR"]["cases"] == len(left)


def test_a_third_training_knows_whom_the_first_has_seen(
    study: tuple[Path, Path], pretrained: Path, tmp_path: Path
) -> None:
    second, third = tmp_path / "second.mts.safetensors", tmp_path / "third.mts.safetensors"
    finetuned(pretrained, study[1], second)
    manifest, _ = finetuned(second, study[0], third)
    assert seen_by(read_manifest(pretrained)[0], study[0]) <= seen_by(manifest, study[0])
    assert len(Provenance.of(manifest).generations) == 3


def test_another_split_seed_measures_on_fewer_with_a_word(
    study: tuple[Path, Path], pretrained: Path, tmp_path: Path
) -> None:
    known = seen_by(read_manifest(pretrained)[0], study[0])
    manifest, said = finetuned(pretrained, study[0], tmp_path / "a.mts.safetensors", replace(CONFIG, split_seed=1))
    assert {c.group for c in unseen(read_dataset(study[0]), manifest)}.isdisjoint(known)
    many = replace(CONFIG, split_seed=1, validation_fraction=0.33)
    _, said = finetuned(pretrained, study[0], tmp_path / "b.mts.safetensors", many)
    assert "groups are held out, not 6: the model to start from has seen the others" in said


def test_a_dataset_of_which_everybody_was_seen_is_refused_before_any_training(
    study: tuple[Path, Path], pretrained: Path, tmp_path: Path
) -> None:
    known = sorted(seen_by(read_manifest(pretrained)[0], study[0]))[:4]
    folder = BallDataset("Dataset4_T1", shape=SHAPE, patients=4).write(tmp_path)
    rows = [f"{case.name},{group}" for case, group in zip(read_dataset(folder).cases, known, strict=True)]
    (folder / "cases.csv").write_text("case,group\n" + "\n".join(rows) + "\n", encoding="utf-8")
    with pytest.raises(DatasetError, match="no group of dataset Dataset4_T1 can be held out") as refused:
        finetuned(pretrained, folder, tmp_path / "m.mts.safetensors")
    assert "cases.csv" in refused.value.remedy
    assert not (tmp_path / "m.mts.safetensors").exists()


def test_a_model_that_does_not_say_whom_it_has_seen_is_no_start(
    study: tuple[Path, Path], pretrained: Path, tmp_path: Path
) -> None:
    silent = tmp_path / "silent.mts.safetensors"
    rewrite_manifest(pretrained, replace(read_manifest(pretrained)[0], training={}), silent)
    with pytest.raises(ModelError, match="does not say on which patients"):
        finetuned(silent, study[1], tmp_path / "m.mts.safetensors")


def test_images_without_labels_are_seen_as_well(study: tuple[Path, Path], tmp_path: Path) -> None:
    model = tmp_path / "bare.mts.safetensors"
    manifest = pretrain(
        [study[1]], model, "self-supervised", CONFIG, Budget(steps=1), pretexts=["denoising"], stream=io.StringIO()
    )
    (generation,) = Provenance.of(manifest).generations
    assert not generation.labelled
    assert len(generation.unlabelled["Dataset2_FLAIR"]) == manifest.tasks[0].training_cases
    assert seen_by(manifest, study[0]) == seen_by(manifest, study[1])


def test_labels_of_held_out_patients_have_no_part_in_the_plan(tmp_path: Path) -> None:
    liver = BallDataset("Dataset1_LiverCT", shape=SHAPE, patients=8, modality="CT", offset=-500.0, contrast=560.0)
    folder = liver.write(tmp_path)

    def planned() -> tuple[float, float, set[str]]:
        """The clip of CT values, and the held-out cases."""
        data = prepare_data([read_dataset(folder)], CONFIG, RunFolder(tmp_path / "m.mts.safetensors"), io.StringIO())
        intensity = data.plan.tasks[0].profile.intensity
        return intensity.low, intensity.high, {case.case.name for case in data.held_out[0]}

    low, high, held_out = planned()
    for case in read_dataset(folder).cases:
        if case.name in held_out:
            image = sitk.ReadImage(str(case.image))
            raised = sitk.GetImageFromArray(
                sitk.GetArrayFromImage(image) + 600.0 * (sitk.GetArrayFromImage(sitk.ReadImage(str(case.label))) > 0)
            )
            raised.CopyInformation(image)
            sitk.WriteImage(raised, str(case.image))
    assert planned() == (low, high, held_out)


def test_the_head_of_the_paper_is_measured_by_every_way_of_measuring(tmp_path: Path) -> None:
    datasets = (
        BallDataset("Dataset1_A", shape=SHAPE, patients=6, label_values=(1, 2)),
        BallDataset("Dataset2_B", shape=SHAPE, patients=6, label_values=(3,), modality="T2", offset=300.0),
    )
    folders = [dataset.write(tmp_path) for dataset in datasets]
    config = replace(CONFIG, head="shared_foreground", learning_rate=1e-2, warmup_steps=5)
    model = tmp_path / "m.mts.safetensors"
    manifest = train_model(folders, model, config, Budget(steps=60), stream=io.StringIO())
    said = {task.name: task.held_out_dice["foreground"] for task in manifest.tasks}
    assert min(said.values()) > 0.5
    figures = evaluate(model, folders, tmp_path / "out", task="dataset", stream=io.StringIO())
    dataset, predictor = read_dataset(folders[0]), Predictor.load(model, "cpu")
    cases = unseen(dataset, predictor.manifest)
    for name, value in said.items():
        assert figures[name]["dice"]["foreground"] == pytest.approx(value, abs=0.1)
    expected = figures["Dataset1_A"]["dice"]["foreground"]
    assert measure(predictor, dataset, cases, False)["dice"] == pytest.approx(expected)
    counts = np.array(examine([load_model(model)], dataset, cases, torch.device("cpu"))["foreground"])
    assert np.mean(2 * counts[:, 2] / counts[:, :2].sum(axis=1)) == pytest.approx(expected)
