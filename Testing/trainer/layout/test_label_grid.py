"""Labels that do not lie on their image, and values nobody declared, are refused wherever pairs are read."""

from __future__ import annotations

from pathlib import Path

import pytest
import SimpleITK as sitk

from MultiTaskSegLib.runtime.errors import DatasetError, UsageError
from MultiTaskSegLib.runtime.image.profile import Intensity, Profile
from MultiTaskSegLib.runtime.model.manifest import LabelInfo, TaskInfo
from Testing.trainer.dataset_folder import CASES, label_path, write_dataset
from trainer.config import TrainingConfig
from trainer.data.case_cache import prepare_cases
from trainer.data.dataset import Dataset, read_dataset
from trainer.data.labelled_case import read_labelled_case
from trainer.data.planning import make_plan
from trainer.evaluation.evaluation import evaluate
from trainer.verification.verify import verify_datasets

FAULTS = ["mirrored and shifted", "shifted", "stretched", "undeclared"]
SAYS = {
    "mirrored and shifted": "origin is",
    "shifted": "origin is",
    "stretched": "spacing is",
    "undeclared": "does not declare: 7",
}


def spoilt(folder: Path, fault: str) -> Path:
    """One label map that is wrong in one respect."""
    path = label_path(folder, CASES[1])
    image = sitk.ReadImage(str(path))
    if "mirrored" in fault:
        image = sitk.Flip(image, [True, False, False])
    if "shifted" in fault:
        image.SetOrigin([value + 3 for value in image.GetOrigin()])
    elif fault == "stretched":
        image.SetSpacing([1.01 * value for value in image.GetSpacing()])
    else:
        image[1, 2, 3] = 7
    sitk.WriteImage(image, str(path))
    return folder


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "Dataset001_Good")


@pytest.mark.parametrize("fault", FAULTS)
def test_a_pair_is_refused_in_the_words_of_verify(dataset: Path, fault: str) -> None:
    read = read_dataset(spoilt(dataset, fault))
    with pytest.raises(DatasetError, match=SAYS[fault]) as refusal:
        read.cases[1].read_pair(read.labels)
    assert refusal.value.file == str(label_path(dataset, CASES[1]))
    assert any(SAYS[fault] in defect.what for defect in verify_datasets([dataset]))
    for case in (read.cases[0], read.cases[2]):
        case.read_pair(read.labels)


def prepared(read: Dataset, folder: Path) -> None:
    (task,) = make_plan([read], TrainingConfig(patch_voxels=512, channels=(2, 2, 2))).tasks
    prepare_cases(task, read.cases, folder)


def held_out(read: Dataset) -> None:
    profile = Profile("p", "spacing", Intensity("percentile", 1.0, 99.0), spacing_zyx_mm=(2.0, 1.5, 1.0))
    labels = tuple(LabelInfo(value, name, name, (1, 2, 3), "") for value, name in read.labels.items())
    task = TaskInfo(read.name, "T1", "head", labels, profile, 0, 1.0, "none", 0, 3)
    for case in read.cases:
        read_labelled_case(case, task, read.labels)


@pytest.mark.parametrize("fault", FAULTS)
def test_training_and_calibration_refuse_what_verify_finds(dataset: Path, tmp_path: Path, fault: str) -> None:
    good = read_dataset(dataset)
    prepared(good, tmp_path / "good")
    held_out(good)
    read = read_dataset(spoilt(dataset, fault))
    with pytest.raises(DatasetError, match=SAYS[fault]):
        prepared(read, tmp_path / "cache")
    with pytest.raises(DatasetError, match=SAYS[fault]):
        held_out(read)


def test_figures_are_not_written_over_the_groups_of_a_dataset(dataset: Path, tmp_path: Path) -> None:
    before = (dataset / "cases.csv").read_bytes()
    for folder in (dataset, Path(f"{dataset}::axial")):
        with pytest.raises(UsageError, match="would overwrite the dataset"):
            evaluate(tmp_path / "not read.safetensors", [folder], dataset)
    assert (dataset / "cases.csv").read_bytes() == before
