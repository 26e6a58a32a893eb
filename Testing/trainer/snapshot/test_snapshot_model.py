"""Snapshots as model files: the finished model with the weights of a member, and nobody else's."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from MultiTaskSegLib.runtime.errors import ModelError, UsageError
from MultiTaskSegLib.runtime.image.image_file import read_image
from MultiTaskSegLib.runtime.model.data_file import read_data_file
from MultiTaskSegLib.runtime.model.model_file import load_model, read_manifest, rewrite_manifest
from MultiTaskSegLib.runtime.model.structure import to_plain
from MultiTaskSegLib.runtime.network.architecture import Architecture, SegmentationNetwork
from MultiTaskSegLib.runtime.predictor import Predictor
from Testing.runtime.tiny_model import write_tiny_model
from Testing.trainer.synthetic_dataset import BallDataset
from trainer.config import TrainingConfig
from trainer.recommendation.ranking import model_files
from trainer.report.run_folder import RunFolder
from trainer.snapshot.member_store import Member, MemberStore
from trainer.snapshot.snapshot_model import KEY, require_snapshots_of, write_snapshot_models
from trainer.training import train_model as whole
from trainer.training.train_model import train_model
from trainer.training.training import Budget

CONFIG = TrainingConfig(
    channels=(3, 4), patches_per_group=1, groups_per_step=1, patch_voxels=512, workers=0, warmup_steps=1, validations=0,
    minimum_validation_groups=1, threads=1, learning_rate=1e-2, measuring_share=0.0, precision="float32", snapshots=3,
)  # fmt: skip


class PowerCut(Exception):
    """The run ends without warning."""


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return BallDataset("A", shape=(4, 8, 8), patients=4).write(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def trained(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A model whose run was cut before its snapshots were model files, then resumed; and what was said."""
    path, stream = tmp_path_factory.mktemp("model") / "m.mts.safetensors", io.StringIO()

    def cut(*_: object) -> None:
        raise PowerCut

    with pytest.MonkeyPatch.context() as context:
        context.setattr(whole, "write_snapshot_models", cut)
        with pytest.raises(PowerCut):
            train_model([dataset], path, CONFIG, Budget(steps=6), stream=io.StringIO())
    train_model([dataset], path, CONFIG, Budget(steps=6), resume=True, stream=stream)
    return path, stream.getvalue()


def snapshots(model: Path) -> list[Path]:
    return sorted(RunFolder(model).snapshots.glob("*.mts.safetensors"))


def test_a_training_leaves_its_snapshots_as_model_files_in_the_run_folder_and_says_so(
    trained: tuple[Path, str],
) -> None:
    path, said = trained
    folder = RunFolder(path).snapshots
    assert [own.name for own in snapshots(path)] == ["m.snapshot1.mts.safetensors", "m.snapshot2.mts.safetensors"]
    assert f"snapshots: 2 beside the model, in {folder}" in said
    assert load_model(path).manifest.training["config"]["snapshots"] == 3


def test_a_snapshot_has_its_own_weights_and_all_else_of_the_finished_model(trained: tuple[Path, str]) -> None:
    path, _ = trained
    model, store = load_model(path), MemberStore(RunFolder(path).snapshots)
    assert KEY not in model.manifest.training
    seen = [model]
    for number, own_path in enumerate(snapshots(path), start=1):
        own = load_model(own_path)
        plain, finished = to_plain(own.manifest), to_plain(model.manifest)
        said = plain["training"].pop(KEY)
        assert (plain.pop("name"), finished.pop("name")) == (f"m.snapshot{number}", "m")
        assert plain == finished
        assert (said["of"], said["number"], said["cycles"], said["step"]) == ("m", number, 3, 2 * number)
        assert "are those of the finished model" in said["measured"]
        assert np.array_equal(own.reference.calibration_scores, model.reference.calibration_scores)
        weights = store.weights(Member(number, 2 * number, _digest(store, number)))
        assert all(torch.equal(value, weights[name].float()) for name, value in own.network.state_dict().items())
        assert own.digest != model.digest
        assert not any(torch.equal(own.network.head.weight, other.network.head.weight) for other in seen)
        seen.append(own)


def _digest(store: MemberStore, number: int) -> str:
    return read_data_file(store.folder / f"cycle{number}.safetensors", lambda text, path: text)[0]["digest"]


def test_a_snapshot_segments_as_any_model_does(trained: tuple[Path, str], dataset: Path) -> None:
    volume = read_image(sorted((dataset / "imagesTr").iterdir())[0])
    for path in snapshots(trained[0]):
        assert Predictor.load(path, "cpu").segment(volume, "A").labels.shape == volume.shape


def test_who_ranks_the_models_of_a_folder_meets_no_snapshots(trained: tuple[Path, str]) -> None:
    path, _ = trained
    assert model_files([path.parent]) == [path]
    assert model_files(snapshots(path)) == snapshots(path), "those that are named are taken"


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "tiny.mts.safetensors")


def member_of(path: Path, store: MemberStore, number: int) -> Member:
    """A network whose weights are a little larger than those of the model."""
    network = load_model(path).network
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(1 + number / 100)
    return store.keep(number, 10 * number, network)


def test_only_snapshots_of_the_very_training_pass(finished: Path, tmp_path: Path) -> None:
    store = MemberStore(tmp_path / "snapshots")
    (path,) = write_snapshot_models(finished, store, [member_of(finished, store, 1)], 2)
    model, own = load_model(finished), load_model(path)
    require_snapshots_of(model, [own])
    require_snapshots_of(model, [])
    # What was measured anew since does not make it another training.
    refitted = tmp_path / "refitted.mts.safetensors"
    rewrite_manifest(finished, replace(model.manifest, intended_use="another"), refitted)
    require_snapshots_of(load_model(refitted), [own])
    with pytest.raises(UsageError, match="is no snapshot"):
        require_snapshots_of(model, [own, model])
    with pytest.raises(UsageError, match=f"is a snapshot of another {model.manifest.name}"):
        require_snapshots_of(own, [own])


def test_weights_of_another_network_make_no_model_file(finished: Path, tmp_path: Path) -> None:
    manifest, target = read_manifest(finished)[0], tmp_path / "other.mts.safetensors"
    other = SegmentationNetwork(Architecture((2, 3), ((1, 2, 2),), ((1, 3, 3),) * 2, 2))
    with pytest.raises(ModelError, match="do not fit the architecture"):
        rewrite_manifest(finished, manifest, target, other.state_dict())
    assert not target.exists()
