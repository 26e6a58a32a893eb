"""Ranking models for a target without training: the model that tells most apart in the target's images comes first."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from MultiTaskSegLib.runtime.errors import DatasetError
from MultiTaskSegLib.runtime.image.preparation import prepare
from MultiTaskSegLib.runtime.predictor import Predictor
from Testing.trainer.pretraining.tiny_run import CONFIG
from Testing.trainer.synthetic_dataset import BallDataset
from trainer.cli import main
from trainer.data.dataset import read_dataset
from trainer.recommendation.predictor import effective_rank, image_facts, predict_transfer, source_facts
from trainer.recommendation.ranking import Recommendation, recommend
from trainer.training.train_model import train_model
from trainer.training.training import Budget

SHAPE = (1, 16, 16)
LIKE = BallDataset("Dataset001_Like", shape=SHAPE, patients=9)
UNLIKE = BallDataset("Dataset002_Unlike", shape=SHAPE, patients=9, offset=400.0, contrast=-390.0, modality="CT")
SOLID = BallDataset("Dataset003_Solid", shape=(8, 16, 16), patients=9)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model of each dataset, and the data beside it."""
    root = tmp_path_factory.mktemp("models")
    for dataset in (LIKE, UNLIKE, SOLID):
        folder = dataset.write(root / "data")
        output = root / "models" / f"{dataset.name}.mts.safetensors"
        train_model([folder], output, CONFIG, Budget(steps=4), stream=io.StringIO())
    return root


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Other patients of the same kind as the first dataset's."""
    folder = BallDataset("Dataset009_Target", shape=SHAPE, patients=5).write(tmp_path)
    return folder


def test_the_richest_model_comes_first_and_one_of_another_dimension_last_with_the_reason(models: Path, target: Path):
    found = recommend(target, [models / "models"], stream=io.StringIO())
    assert {r.name for r in found[:2]} == {LIKE.name, UNLIKE.name}
    assert found[0].predictors["richness"] > found[1].predictors["richness"]
    assert "2-D" in found[2].trouble
    assert "3-D" in found[2].trouble


def test_a_model_that_was_trained_on_the_very_images_is_marked(models: Path, target: Path):
    own = {r.name: r for r in recommend(models / "data" / LIKE.name, [models / "models"], stream=io.StringIO())}
    other = recommend(target, [models / "models"], stream=io.StringIO())
    assert "very images" in own[LIKE.name].remark
    assert own[UNLIKE.name].remark == ""
    assert [r.remark for r in other[:2]] == ["", ""]


@pytest.mark.parametrize("nearness, own", [(2.99, False), (3.0, False), (3.01, True)])
def test_images_that_lie_as_near_as_a_twentieth_of_the_typical_distance_are_the_model_s_own(nearness: float, own: bool):
    # exp(-3) is a twentieth.
    assert bool(Recommendation(Path("m"), "m", {"spectral": nearness}).remark) is own
    assert "cannot be used" in Recommendation(Path("m"), "", {}, "it is broken").remark


def test_labels_of_the_target_are_not_looked_at(models: Path, target: Path):
    before = recommend(target, [models / "models"], stream=io.StringIO())
    for label in (target / "labelsTr").iterdir():
        label.write_bytes(b"no image")
    assert recommend(target, [models / "models"], stream=io.StringIO()) == before


def test_the_command_prints_the_ranking_and_writes_it(
    models: Path, target: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    arguments = ["recommend", "--data", str(target), "--models", str(models / "models"), "-o", str(tmp_path / "out")]
    assert main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    ranking = json.loads((tmp_path / "out" / "recommendation.json").read_text())["ranking"]
    for place, row in enumerate(ranking[:2], start=1):
        assert lines[place - 1].startswith(f"{place}. models/{row['name']}")
        assert f"log effective rank {row['predictors']['richness']:.3f}" in lines[place - 1]
    assert "Which model to start from" in (tmp_path / "out" / "report.html").read_text()


def test_a_damaged_model_is_named_and_the_others_are_ranked(models: Path, target: Path, tmp_path: Path):
    broken = tmp_path / "broken.mts.safetensors"
    broken.write_bytes(b"nothing")
    found = recommend(target, [broken, models / "models" / f"{LIKE.name}.mts.safetensors"], stream=io.StringIO())
    assert [bool(r.trouble) for r in found] == [False, True]


def test_without_models_there_is_nothing_to_rank(target: Path, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="no model file"):
        recommend(target, [tmp_path / "empty"])


def test_the_controls_are_zero_for_the_source_itself_and_lower_for_others(models: Path):
    like, unlike = (read_dataset(models / "data" / name) for name in (LIKE.name, UNLIKE.name))
    predictor = Predictor.load(models / "models" / f"{LIKE.name}.mts.safetensors")
    own = predict_transfer(predictor, like, like.cases, 9, source_facts([like], 9))
    other = predict_transfer(predictor, unlike, unlike.cases, 9, source_facts([like], 9))
    assert (own["histogram"], own["size"]) == (0.0, 0.0)
    assert other["histogram"] < -0.01
    assert other["spectral"] < own["spectral"]


def test_facts_do_not_depend_on_the_scale_of_the_intensities(models: Path):
    volumes = [case.read_image() for case in read_dataset(models / "data" / LIKE.name).cases]
    stretched = [replace(v, voxels=7 * v.voxels + 100) for v in volumes]
    assert image_facts(stretched).histogram == pytest.approx(image_facts(volumes).histogram, abs=0.01)


@pytest.mark.parametrize("count", [1, 3, 8])
def test_directions_of_equal_strength_count_in_full_whatever_their_strength(count: int):
    values = np.concatenate([np.full(count, 0.3), np.zeros(4)])
    assert effective_rank(values) == pytest.approx(count)
    assert effective_rank(100 * values) == pytest.approx(count)


def test_a_weaker_direction_counts_less_and_nothing_at_all_counts_as_one():
    assert 1 < effective_rank(np.array([1.0, 0.1])) < effective_rank(np.array([1.0, 0.5])) < 2
    assert effective_rank(np.zeros(5)) == 1.0


def test_richness_is_that_of_the_deepest_map_the_check_looks_at(models: Path):
    dataset = read_dataset(models / "data" / LIKE.name)
    predictor = Predictor.load(models / "models" / f"{LIKE.name}.mts.safetensors")
    case = dataset.cases[0]
    voxels = prepare(case.read_image(), predictor.manifest.tasks[0].profile).voxels
    maps = predictor.network.features(torch.from_numpy(voxels)[None, None])
    deepest = max((name for name in predictor.model.reference.spec.layers), key=lambda name: -maps[name].shape[-1])
    rows = maps[deepest][0].detach().flatten(1).T.double().numpy()
    found = predict_transfer(predictor, dataset, [case], 1)
    assert found["richness"] == pytest.approx(np.log(effective_rank(np.linalg.svd(rows, compute_uv=False))), rel=1e-3)
