"""The check is fitted on images that stand in for a task's own: by person, recorded, and never measured on again."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from MultiTaskSegLib.runtime.errors import DatasetError, UsageError
from MultiTaskSegLib.runtime.model.model_file import load_model, read_manifest, rewrite_manifest
from Testing.runtime.tiny_model import write_tiny_model
from Testing.trainer.seen_groups import trained_on
from Testing.trainer.synthetic_dataset import BallDataset
from trainer import cli
from trainer.data.dataset import read_dataset
from trainer.data.provenance import Provenance, unseen
from trainer.refitting.standing_in import images_by_task, read_standing_in

NAMES = ("Dataset001_Balls", "Dataset002_Cubes")


def images(tmp_path: Path, name: str, patients: int) -> Path:
    """Images without labels; two visits of the first person."""
    folder = BallDataset(name, shape=(6, 12, 14), patients=patients).write(tmp_path)
    shutil.rmtree(folder / "labelsTr")
    rows = (folder / "cases.csv").read_text(encoding="utf-8").replace("case_01,patient_1", "case_01,patient_0")
    (folder / "cases.csv").write_text(rows, encoding="utf-8")
    return folder


def model_of(tmp_path: Path, groups: Sequence[str] = ("somebody",)) -> Path:
    """A model that says whom it has seen."""
    path = write_tiny_model(tmp_path / "tiny.mts.safetensors")
    seen = trained_on(dict.fromkeys(NAMES, groups))
    rewrite_manifest(path, replace(read_manifest(path)[0], training=seen), path)
    return path


def test_a_third_of_the_persons_is_held_out_with_all_their_images(tmp_path: Path) -> None:
    own = read_standing_in(images(tmp_path, "real", 10))
    held_out = {case.group for case in own.dataset.cases if case.name in own.held_out}
    known = {case.group for case in own.dataset.cases if case.name not in own.held_out}
    assert len(held_out) == 3
    assert len(known) == 6
    assert not held_out & known
    assert not own.dataset.labels


def test_images_of_five_persons_are_too_few(tmp_path: Path) -> None:
    assert read_standing_in(images(tmp_path, "enough", 7))
    with pytest.raises(DatasetError, match=r"5 groups \(patients\), a check needs 6"):
        read_standing_in(images(tmp_path, "few", 6))


def test_the_reference_knows_the_images_and_the_file_says_so(tmp_path: Path) -> None:
    model, target = model_of(tmp_path), tmp_path / "known.mts.safetensors"
    real, other = (images(tmp_path, name, count) for name, count in (("real", 10), ("other", 8)))
    words = ["reference", "-m", str(model), "--images", f"{NAMES[0]}={real}", f"{NAMES[1]}={other}", "-o", str(target)]
    assert cli.main(words) == 0
    found, reference = read_manifest(target)[0], load_model(target).reference
    assert found.training["check_knows_images_of"] == {NAMES[0]: "real", NAMES[1]: "other"}
    own = read_standing_in(real)
    assert int((reference.tasks == 0).sum()) == len(own.dataset.cases) - len(own.held_out)
    # Nobody whom the check knows is measured on; those of the limit were not learnt from.
    seen = Provenance.of(found)
    assert {case.name for case in unseen(own.dataset, found)} <= own.held_out
    assert all(seen.saw(case.group) for case in own.dataset.cases if case.name not in own.held_out)
    before, after = (load_model(path).network.state_dict() for path in (model, target))
    assert before
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_the_record_names_the_images_once_and_those_of_an_earlier_check_no_more(tmp_path: Path) -> None:
    model, target = model_of(tmp_path, ("patient_2", "patient_3")), tmp_path / "known.mts.safetensors"
    real, own = images(tmp_path, "real", 10), BallDataset(NAMES[1], shape=(6, 12, 14), patients=10).write(tmp_path)
    words = ["reference", "--images", f"{NAMES[0]}={real}", "--data", str(own), "-o", str(target)]
    assert cli.main([*words, "-m", str(model)]) == 0
    # With more patients than before, who are noted.
    shutil.rmtree(own)
    BallDataset(NAMES[1], shape=(6, 12, 14), patients=12).write(tmp_path)
    assert cli.main([*words, "-m", str(target)]) == 0
    record = Provenance.of(read_manifest(target)[0])
    assert (len(record.generations), record.knows("patient_11")) == (2, True)
    mine = BallDataset(NAMES[0], shape=(6, 12, 14), patients=10).write(tmp_path)
    assert cli.main(["reference", "-m", str(target), "--data", str(mine), str(own)]) == 0
    found = read_manifest(target)[0]
    assert "check_knows_images_of" not in found.training
    assert len(Provenance.of(found).generations) == 2  # what was learnt from cannot be unlearnt


def test_a_model_that_does_not_say_whom_it_has_seen_gets_no_record_that_names_others_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, target = write_tiny_model(tmp_path / "tiny.mts.safetensors"), tmp_path / "known.mts.safetensors"
    words = [f"{name}={images(tmp_path, folder, 8)}" for name, folder in zip(NAMES, ("real", "other"), strict=True)]
    assert cli.main(["reference", "-m", str(model), "--images", *words, "-o", str(target)]) == 4
    assert "does not say on which patients it was trained" in capsys.readouterr().err
    assert not target.exists()


def test_a_task_that_is_not_there_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, real = write_tiny_model(tmp_path / "tiny.mts.safetensors"), images(tmp_path, "real", 10)
    assert cli.main(["reference", "-m", str(model), "--images", f"Dataset009={real}"]) != 0
    assert "the model has no task Dataset009" in capsys.readouterr().err
    assert cli.main(["reference", "-m", str(model), "--images", f"{NAMES[0]}={real}"]) == 4
    assert f"no folder for {NAMES[1]}" in capsys.readouterr().err


@pytest.mark.parametrize("word", ["folder", "=folder", "task=", "a=x"])
def test_words_that_are_no_task_and_folder_are_refused(word: str) -> None:
    with pytest.raises(UsageError, match="Give TASK=DIR"):
        images_by_task(["a=b", word])


def test_the_images_of_a_dataset_with_labels_stand_in_too(tmp_path: Path) -> None:
    folder = BallDataset("labelled", shape=(6, 12, 14), patients=6).write(tmp_path)
    assert not read_standing_in(folder).dataset.labels
    assert read_dataset(folder).labels
