"""A BIDS dataset gets a derivative dataset: one segmentation for each scan, with its labels and where it is from."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from MultiTaskSegLib.cohort.overview.bids_derivatives import (
    DERIVATIVES,
    derivative_name,
    require_bids,
    write_derivatives,
)
from MultiTaskSegLib.cohort.result.case_record import FAILED, CaseRecord
from MultiTaskSegLib.cohort.result.results import case_folder, new_result
from MultiTaskSegLib.cohort.source.case import Case
from MultiTaskSegLib.runtime.errors import UsageError
from MultiTaskSegLib.runtime.machine.result_record import digest_of

SCANS = ("sub-01/anat/sub-01_T1w.nii.gz", "sub-01/anat/sub-01_T2w.nii.gz", "sub-02/ses-1/anat/sub-02_ses-1_T1w.nii.gz")
ROW = CaseRecord(SCANS[0], "scan", task="Brain", model="tiny", model_sha256="ab")


def write(output: Path, name: str, voxels: str = "") -> CaseRecord:
    with new_result(output, Case(name, Path("scan"))) as stage:
        (stage / "segmentation.nii.gz").write_bytes((voxels or name).encode())
        digests = {"segmentation.nii.gz": digest_of(stage / "segmentation.nii.gz")}
        report = {"labels": [{"value": 1, "name": "grey matter"}, {"value": 3, "name": "fluid"}], "sha256": digests}
        (stage / "report.json").write_text(json.dumps(report))
    return replace(ROW, case=name)


def test_each_scan_that_is_done_has_its_segmentation_with_labels_and_source(tmp_path: Path):
    rows = [write(tmp_path, name) for name in SCANS]
    failed = replace(ROW, case="sub-03/anat/sub-03_T1w.nii.gz", status=FAILED)
    place = tmp_path / DERIVATIVES
    assert write_derivatives([*rows, failed], tmp_path / "raw", tmp_path) == {}
    stems = [
        "sub-01/anat/sub-01_seg-Brain_desc-T1w_dseg",
        "sub-01/anat/sub-01_seg-Brain_desc-T2w_dseg",
        "sub-02/ses-1/anat/sub-02_ses-1_seg-Brain_desc-T1w_dseg",
    ]
    found = {path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()}
    assert found == {
        "dataset_description.json",
        *(stem + end for stem in stems for end in (".nii.gz", ".tsv", ".json")),
    }
    for name, stem in zip(SCANS, stems, strict=True):
        assert (place / f"{stem}.nii.gz").read_bytes() == name.encode()
        assert (place / f"{stem}.tsv").read_text() == "index\tname\n1\tgrey matter\n3\tfluid\n"
        assert json.loads((place / f"{stem}.json").read_text())["Sources"] == [f"bids:raw:{name}"]
    description = json.loads((place / "dataset_description.json").read_text())
    assert description["DatasetType"] == "derivative"
    assert description["DatasetLinks"] == {"raw": (tmp_path / "raw").as_uri()}


def test_what_is_there_stays(tmp_path: Path):
    row = write(tmp_path, SCANS[0])
    write_derivatives([row], tmp_path, tmp_path)
    (image,) = (tmp_path / DERIVATIVES).rglob("*.nii.gz")
    image.unlink()
    image.write_bytes(b"corrected by hand")
    write_derivatives([row], tmp_path, tmp_path)
    assert image.read_bytes() == b"corrected by hand"


@pytest.mark.parametrize("is_edited", [False, True])
def test_of_a_result_that_was_made_anew_the_copy_is_replaced_unless_it_was_edited(tmp_path: Path, is_edited: bool):
    write_derivatives([write(tmp_path, SCANS[0])], tmp_path, tmp_path)
    (image,) = (tmp_path / DERIVATIVES).rglob("*.nii.gz")
    if is_edited:
        image.write_bytes(b"corrected by hand")
    shutil.rmtree(case_folder(tmp_path, Case(SCANS[0], Path("scan"))))
    told = write_derivatives([write(tmp_path, SCANS[0], "anew")], tmp_path, tmp_path)
    assert image.read_bytes() == (b"corrected by hand" if is_edited else b"anew")
    assert [reason.split(";")[0] for reason in told.values()] == ["that of an earlier result was edited"] * is_edited


def test_a_copy_whose_run_was_killed_before_it_was_noted_is_noted_by_the_next(tmp_path: Path):
    row = write(tmp_path, SCANS[0])
    write_derivatives([row], tmp_path, tmp_path)
    (notes,) = (tmp_path / DERIVATIVES / "sub-01").rglob("*.json")
    text = notes.read_text()
    notes.unlink()
    assert write_derivatives([row], tmp_path, tmp_path) == {}
    assert notes.read_text() == text


def test_cases_without_a_name_of_their_own_are_told_and_take_no_other_s(tmp_path: Path):
    twins = ["sub-01/anat/sub-01_T1w.nii", "sub-01/anat/sub-01_T1w.nii.gz"]
    rows = [write(tmp_path, name) for name in ("sub-01/notes.nrrd", *twins)]
    for _ in range(2):
        assert write_derivatives(rows, tmp_path, tmp_path).keys() == {"sub-01/notes.nrrd", twins[1]}
    (image,) = (tmp_path / DERIVATIVES).rglob("*.nii.gz")
    assert image.read_bytes() == twins[0].encode()


def test_scans_of_one_subject_never_share_a_name():
    names = [derivative_name(name, "Brain") for name in (*SCANS, "sub-01/anat/sub-01_run-1_T1w.nii.gz")]
    assert len(set(names)) == len(names)


def test_what_is_no_bids_dataset_is_refused(tmp_path: Path):
    with pytest.raises(UsageError, match=r"has no dataset_description.json"):
        require_bids(tmp_path)
