"""Stroke and MS datasets with the names under which they are published."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from MultiTaskSegLib.runtime.errors import DatasetError
from Testing.trainer.layout.written import noise, write_scan
from trainer.data.dataset import read_dataset
from trainer.verification.verify import verify_datasets

SHAPE = (4, 6, 6)
SPACE = "space-MNI152NLin2009aSym"


def mask(value: int = 1, at: int = 2) -> np.ndarray:
    array = np.zeros(SHAPE, dtype=np.uint8)
    array[1, at, 2:4] = value
    return array


@pytest.fixture
def atlas(tmp_path: Path) -> Path:
    for number in range(1, 4):
        subject = f"sub-r001s00{number}"
        stem = tmp_path / "ATLAS_2" / "Training" / "R001" / subject / "ses-1" / "anat" / f"{subject}_ses-1_{SPACE}"
        write_scan(Path(f"{stem}_T1w.nii.gz"), noise(number, SHAPE))
        write_scan(Path(f"{stem}_label-L_desc-T1lesion_mask.nii.gz"), mask())
    return tmp_path / "ATLAS_2"


def msseg(root: Path) -> Path:
    for number in range(1, 4):
        patient = root / "Training" / "Center_01" / f"Patient_0{number}"
        for sequence in ("FLAIR", "T1"):
            write_scan(patient / "Preprocessed_Data" / f"{sequence}_preprocessed.nii.gz", noise(number, SHAPE))
        write_scan(patient / "Masks" / "Consensus.nii.gz", mask())
        write_scan(patient / "Masks" / "ManualSegmentation_1.nii.gz", mask(at=3))
    return root


def wmh(root: Path) -> Path:
    for number, place in enumerate(("Utrecht/0", "Singapore/50", "Amsterdam/GE3T/100")):
        for sequence in ("FLAIR", "T1"):
            for kind in ("pre", "orig"):
                write_scan(root / place / kind / f"{sequence}.nii.gz", noise(10 * number + len(sequence + kind), SHAPE))
        write_scan(root / place / "wmh.nii.gz", mask() + mask(2, at=4))
    return root


def test_atlas_scans_and_masks_find_each_other_and_subjects_are_groups(atlas: Path):
    dataset = read_dataset(atlas)
    assert [case.name for case in dataset.cases] == [f"sub-r001s00{n}_ses-1" for n in (1, 2, 3)]
    assert [case.group for case in dataset.cases] == [f"sub-r001s00{n}" for n in (1, 2, 3)]
    assert (dataset.modality, dataset.region, dataset.labels) == ("T1", "head", {1: "lesion"})
    assert all(case.image.name.endswith("_T1w.nii.gz") for case in dataset.cases)
    assert (dataset.cases[0].read_labels()[0] == mask()).all()
    assert verify_datasets([atlas]) == []


def test_atlas_reads_from_any_level_of_its_tree(atlas: Path):
    names = [case.name for case in read_dataset(atlas).cases]
    for folder in (atlas / "Training", atlas / "Training" / "R001"):
        assert [case.name for case in read_dataset(folder).cases] == names


def test_several_masks_of_one_session_are_united(atlas: Path):
    anat = next(atlas.glob("Training/R001/sub-r001s002/ses-1/anat"))
    write_scan(anat / f"sub-r001s002_ses-1_{SPACE}_label-R_desc-T1lesion_mask.nii.gz", mask(at=4))
    write_scan(anat / f"sub-r001s002_ses-1_{SPACE}_desc-brain_mask.nii.gz", np.ones(SHAPE, np.uint8))
    assert (read_dataset(atlas).cases[1].read_labels()[0] == np.maximum(mask(), mask(at=4))).all()


def test_a_session_without_mask_is_refused_by_name(atlas: Path):
    next(atlas.rglob("sub-r001s003*_mask.nii.gz")).unlink()
    with pytest.raises(DatasetError, match="1 sessions have no mask, the first is sub-r001s003_ses-1"):
        read_dataset(atlas)


def test_masks_in_derivatives_belong_to_scans_in_the_raw_data(tmp_path: Path):
    root = tmp_path / "isles"
    for number in (1, 2):
        name = f"sub-strokecase000{number}"
        raw = root / "rawdata" / name / "ses-0001"
        for suffix in ("dwi", "adc"):
            write_scan(raw / f"{name}_ses-0001_{suffix}.nii.gz", noise(number, SHAPE))
        write_scan(root / "derivatives" / name / "ses-0001" / f"{name}_ses-0001_msk.nii.gz", mask())
    dataset = read_dataset(root)
    assert [case.image.name for case in dataset.cases] == [f"sub-strokecase000{n}_ses-0001_dwi.nii.gz" for n in (1, 2)]
    assert read_dataset(Path(f"{root}::adc")).modality == "adc"
    with pytest.raises(DatasetError, match="no FLAIR"):
        read_dataset(Path(f"{root}::FLAIR"))


@pytest.mark.parametrize("write", [msseg, wmh])
@pytest.mark.parametrize("sequence", ["FLAIR", "T1"])
def test_a_challenge_folder_gives_the_sequence_that_is_asked_for(tmp_path: Path, write, sequence: str):
    root = write(tmp_path / "challenge")
    dataset = read_dataset(root if sequence == "FLAIR" else Path(f"{root}::{sequence}"))
    assert len(dataset.cases) == 3
    assert dataset.modality == sequence
    assert all(case.image.name.startswith(sequence) for case in dataset.cases)
    assert all((case.read_labels()[0] == mask()).all() for case in dataset.cases)
    assert verify_datasets([root]) == []


def test_the_consensus_counts_not_a_single_rater(tmp_path: Path):
    cases = read_dataset(msseg(tmp_path / "m")).cases
    assert {case.label.name for case in cases} == {"Consensus.nii.gz"}
    assert [case.name for case in cases] == [f"Training_Center_01_Patient_0{n}" for n in (1, 2, 3)]


def test_wmh_takes_the_preprocessed_scan_and_only_value_1(tmp_path: Path):
    cases = read_dataset(wmh(tmp_path / "w")).cases
    assert {case.image.parent.name for case in cases} == {"pre"}
    assert [case.name for case in cases] == ["Amsterdam_GE3T_100", "Singapore_50", "Utrecht_0"]


@pytest.mark.parametrize("write, missing", [(msseg, "Masks/Consensus.nii.gz"), (wmh, "wmh.nii.gz")])
def test_a_patient_without_mask_is_refused_by_folder(tmp_path: Path, write, missing: str):
    root = write(tmp_path / "challenge")
    gone = sorted(root.rglob(missing.rsplit("/", 1)[-1]))[0]
    gone.unlink()
    with pytest.raises(DatasetError, match="the patient has no mask"):
        read_dataset(root)


def test_a_sequence_that_a_patient_lacks_is_refused(tmp_path: Path):
    with pytest.raises(DatasetError, match="no GADO scan"):
        read_dataset(Path(f"{msseg(tmp_path / 'm')}::GADO"))
