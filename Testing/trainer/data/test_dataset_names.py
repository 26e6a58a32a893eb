"""What a dataset, a patient and a label are called, and that no two things have one name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from MultiTaskSegLib.runtime.errors import DatasetError
from Testing.trainer.dataset_folder import CASES, write_dataset
from trainer.data.dataset import datasets_with_masks, read_dataset, read_datasets
from trainer.evaluation.evaluation import evaluate
from trainer.layout.nnunet import read_groups
from trainer.ood.benchmark import run_benchmark
from trainer.refitting.recalibration import refit_calibration
from trainer.refitting.spectral_refit import refit_reference
from trainer.uncertainty.experiment import CalibrationOptions, run_calibration
from trainer.verification.verify import verify_datasets


@pytest.mark.parametrize("given", [".", "imagesTr/..", "./imagesTr/../"])
def test_a_folder_that_is_given_from_inside_has_its_own_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    monkeypatch.chdir(write_dataset(tmp_path / "Dataset007_BrainT1"))
    dataset = read_dataset(Path(given))
    assert (dataset.name, dataset.region) == ("Dataset007_BrainT1", "head")
    assert {defect.dataset for defect in verify_datasets([given])} <= {"Dataset007_BrainT1"}


def test_a_link_keeps_the_name_of_the_link(tmp_path: Path) -> None:
    (tmp_path / "Dataset001_Link").symlink_to(write_dataset(tmp_path / "there"), target_is_directory=True)
    assert read_dataset(tmp_path / "Dataset001_Link").name == "Dataset001_Link"


@pytest.mark.parametrize("rows", ["{0},P1\n{1},P1 \n{2}, P2\n", "{0} ,P1\n {1},P1\n{2},P2\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_blanks_and_the_mark_of_a_spreadsheet_are_no_part_of_a_patients_name(
    tmp_path: Path, rows: str, mark: str
) -> None:
    folder = write_dataset(tmp_path / "Dataset001_A")
    (folder / "cases.csv").write_text(mark + "case,group\n" + rows.format(*CASES), encoding="utf-8")
    assert read_groups(folder) == dict(zip(CASES, ("P1", "P1", "P2"), strict=True))
    assert [case.group for case in read_dataset(folder).cases] == ["P1", "P1", "P2"]
    assert verify_datasets([folder]) == []


def test_groups_to_leave_out_are_found_whatever_blanks_are_around_them(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "Dataset001_A")
    (tmp_path / "out.txt").write_text("\ufeffpatient_1\r\n patient_2 \r\n\r\n", encoding="utf-8")
    (case,) = read_dataset(Path(f"{folder}::without={tmp_path / 'out.txt'}")).cases
    assert case.group == "patient_3"


def test_two_labels_of_one_name_are_refused(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "Task01_A", labels={"0": "background", "1": "lesion", "2": "lesion"})
    with pytest.raises(DatasetError, match=r"two labels in dataset\.json have the same name"):
        read_dataset(folder)


COMMANDS: dict[str, Callable[[list[Path], Path], Any]] = {
    "evaluation.evaluation": lambda data, out: evaluate(out, data, out),
    "refitting.recalibration": lambda data, out: refit_calibration(out, data, out),
    "refitting.spectral_refit": lambda data, out: refit_reference(out, data, out),
    "uncertainty.experiment": lambda data, out: run_calibration(CalibrationOptions(out, tuple(data)), out),
    "ood.benchmark": lambda data, out: run_benchmark([out], data, [], out),
}


@pytest.fixture
def twins(tmp_path: Path) -> list[Path]:
    return [write_dataset(tmp_path / parent / "Dataset001_A") for parent in ("x", "y")]


@pytest.mark.parametrize("module", COMMANDS)
def test_no_command_mixes_up_two_datasets_of_one_name(
    twins: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    monkeypatch.setattr(f"trainer.{module}.Predictor", Mock())
    with pytest.raises(DatasetError, match=r"same name, Dataset001_A: .*y/Dataset001_A"):
        COMMANDS[module](twins, tmp_path / "out")


def test_training_refuses_them_and_verify_says_so(twins: list[Path]) -> None:
    for read in (read_datasets, datasets_with_masks):
        with pytest.raises(DatasetError, match="same name"):
            read(twins)
    said = [defect for defect in verify_datasets(twins) if "same name" in defect.what]
    assert len(said) == 1
    assert said[0].is_warning
