"""What is learnt of the quality of results goes into the file, and nothing else changes."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from MultiTaskSegLib.runtime.errors import DatasetError
from MultiTaskSegLib.runtime.model.manifest import Manifest
from MultiTaskSegLib.runtime.model.model_file import load_model, rewrite_manifest
from MultiTaskSegLib.runtime.model.precision_info import PrecisionFigures, PrecisionInfo
from MultiTaskSegLib.runtime.quality.quality_info import QualityInfo, TaskQuality
from MultiTaskSegLib.runtime.quality.trait_names import TRAITS
from Testing.trainer.synthetic_dataset import BallDataset
from trainer.config import TrainingConfig
from trainer.data.dataset import read_dataset
from trainer.data.provenance import unseen
from trainer.quality.quality_fit import FEWEST_SPOILT
from trainer.refitting.descent import CHECKED_AS
from trainer.refitting.quality_refit import refit_quality
from trainer.refitting.recalibration import refit_calibration
from trainer.refitting.spectral_refit import refit_reference
from trainer.training.train_model import train_model
from trainer.training.training import Budget

CONFIG = TrainingConfig(
    seed=1, channels=(4, 6), patches_per_group=2, groups_per_step=1, patch_voxels=1024, workers=0, warmup_steps=2,
    validations=0, minimum_validation_groups=2, threads=1, learning_rate=1e-2, ema_decay=0.8,
)  # fmt: skip
BALLS = BallDataset("Dataset001_BallT1", shape=(6, 12, 12), label_values=(2,))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return BALLS.write(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def trained(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest]:
    path = tmp_path_factory.mktemp("model") / "balls.mts.safetensors"
    return path, train_model([folder], path, CONFIG, Budget(steps=30), stream=io.StringIO())


def test_a_training_says_how_many_held_out_patients_a_bound_could_rest_on(
    trained: tuple[Path, Manifest], folder: Path
) -> None:
    manifest = load_model(trained[0]).manifest
    assert manifest.quality is not None
    (known,) = manifest.quality.tasks
    assert known.patients == len({case.group for case in unseen(read_dataset(folder), manifest)})
    assert (known.traits, known.margin is None) == ((), known.patients < 9)


def test_spoilt_images_teach_what_corrects_the_expected_dice_and_all_else_stays(
    trained: tuple[Path, Manifest], folder: Path, tmp_path: Path
) -> None:
    output = tmp_path / "informed.mts.safetensors"
    before = load_model(trained[0])
    refit_quality(trained[0], [folder], output, faults=FEWEST_SPOILT + 10, stream=io.StringIO())
    after = load_model(output)
    assert after.manifest.quality is not None
    assert after.manifest.quality.tasks[0].traits == TRAITS
    assert after.manifest.training[CHECKED_AS] == [before.digest]
    told = replace(after.manifest, quality=before.manifest.quality, training=before.manifest.training)
    assert told == before.manifest
    tensors, others = load_file(trained[0]), load_file(output)
    assert tensors.keys() == others.keys()
    assert all(torch.equal(tensors[name], others[name]) for name in tensors)


def test_an_earlier_correction_does_not_enter_a_later_one(
    trained: tuple[Path, Manifest], folder: Path, tmp_path: Path
) -> None:
    once, twice = tmp_path / "once.mts.safetensors", tmp_path / "twice.mts.safetensors"
    first = refit_quality(trained[0], [folder], once, faults=FEWEST_SPOILT + 5, stream=io.StringIO())
    assert refit_quality(once, [folder], twice, faults=FEWEST_SPOILT + 5, stream=io.StringIO()).quality == first.quality


def test_figures_of_labels_and_verdicts_are_those_of_the_file_before_until_the_check_is_fitted_anew(
    trained: tuple[Path, Manifest], folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "told.mts.safetensors"
    notes = {"measured_as": ["named"], "checked_as": ["checked"], "refitted_from": ["fitted"]}
    rewrite_manifest(trained[0], replace(trained[1], training=trained[1].training | notes), path)
    before = load_model(path).digest
    informed = refit_quality(path, [folder], path, faults=0, stream=io.StringIO()).training
    assert "measured_as" not in informed
    assert informed["checked_as"] == [before, "named", "checked"]
    assert informed["refitted_from"] == ["fitted"]
    once = load_model(path).digest
    refit_calibration(path, [folder], path, stream=io.StringIO())
    after = load_model(path).manifest.training
    assert "checked_as" not in after
    assert after["refitted_from"] == [once, before, "named", "checked", "fitted"]


def test_a_task_without_a_folder_is_refused(trained: tuple[Path, Manifest], tmp_path: Path) -> None:
    other = replace(BALLS, name="Dataset002_OtherT1").write(tmp_path)
    with pytest.raises(DatasetError, match="no folder for Dataset001_BallT1"):
        refit_quality(trained[0], [other], tmp_path / "new.mts.safetensors", stream=io.StringIO())


CORRECTED = QualityInfo(1, (TaskQuality(0, None, ("log_score",), (0.0,), (1.0,), (-0.1,)),))
BOUND_ALONE = QualityInfo(1, (TaskQuality(9, 0.2),))


def with_quality(trained: tuple[Path, Manifest], path: Path, quality: QualityInfo) -> Path:
    rewrite_manifest(trained[0], replace(trained[1], quality=quality), path)
    return path


def test_what_lower_precisions_cost_is_no_other_because_quality_was_learnt(
    trained: tuple[Path, Manifest], folder: Path, tmp_path: Path
) -> None:
    dice = {BALLS.name: 0.9}
    measured = PrecisionInfo(1, (PrecisionFigures("bfloat16", "torch", dice, dice, 5, 0, 0.9, 0.9),))
    path = tmp_path / "measured.mts.safetensors"
    rewrite_manifest(trained[0], replace(trained[1], precision=measured), path)
    assert refit_quality(path, [folder], path, faults=0, stream=io.StringIO()).precision == measured
    assert load_model(path).manifest.precision == measured


def test_new_temperatures_end_a_correction_with_a_word_and_are_silent_where_there_was_none(
    trained: tuple[Path, Manifest], folder: Path, tmp_path: Path
) -> None:
    for quality, is_told in ((CORRECTED, True), (BOUND_ALONE, False)):
        path, told = with_quality(trained, tmp_path / "model.mts.safetensors", quality), io.StringIO()
        after = refit_calibration(path, [folder], path, stream=told)
        assert after.quality is not None
        assert after.quality.tasks[0].traits == ()
        assert ("left out: learn it again with 'multitaskseg-trainer quality'" in told.getvalue()) is is_told


def test_new_scores_end_what_rests_on_them_with_a_word_and_leave_a_bound_that_does_not(
    trained: tuple[Path, Manifest], folder: Path, tmp_path: Path
) -> None:
    for quality, kept in ((CORRECTED, None), (BOUND_ALONE, BOUND_ALONE)):
        path, told = with_quality(trained, tmp_path / "model.mts.safetensors", quality), io.StringIO()
        assert refit_reference(path, [folder], path, stream=told).quality == kept
        assert ("left out, and with it the bound" in told.getvalue()) is (kept is None)
