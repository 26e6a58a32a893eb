"""Date, scanner and site come from the headers, and where these say nothing, nothing is said."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from MultiTaskSegLib.cohort.source.case import Case
from MultiTaskSegLib.cohort.source.scan_origin import ScanOrigin, scan_origin


def test_of_a_dicom_series_its_first_file_says_it(tmp_path: Path):
    pytest.importorskip("pydicom", reason="pydicom writes the DICOM files of these tests")
    from Testing.hostile.dicom_series import dicom_slice

    told = {"SeriesDate": "20250207", "StudyDate": "20240101", "Manufacturer": "ACME", "ManufacturerModelName": "Ray 3"}
    pixels = np.zeros((4, 4), np.uint16)
    slice_ = dicom_slice(pixels, np.eye(4), 0, "1.2", InstitutionName="North", DeviceSerialNumber="00123", **told)
    slice_.save_as(tmp_path / "0.dcm", enforce_file_format=True)
    assert scan_origin(Case("1.2", tmp_path)) == ScanOrigin("2025-02-07", "ACME Ray 3", "00123", "North")
    assert scan_origin(Case("1.2", tmp_path / "x", (tmp_path / "0.dcm",))).site == "North"


def test_of_a_nifti_file_what_bids_puts_beside_it_says_it(tmp_path: Path):
    folder = tmp_path / "sub-01" / "anat"
    folder.mkdir(parents=True)
    image = folder / "sub-01_T1w.nii.gz"
    image.write_bytes(b"")
    assert scan_origin(Case("x", image)) == ScanOrigin()
    facts = {
        "Manufacturer": "ACME",
        "ManufacturersModelName": "ACME One",
        "DeviceSerialNumber": "7",
        "InstitutionName": "South",
    }
    (folder / "sub-01_T1w.json").write_text(json.dumps(facts))
    scans = "filename\tacq_time\nanat/other.nii.gz\t2001-01-01\nanat/sub-01_T1w.nii.gz\t2026-03-04T10:00:00\n"
    (tmp_path / "sub-01" / "sub-01_scans.tsv").write_text(scans)
    assert scan_origin(Case("x", image)) == ScanOrigin("2026-03-04", "ACME One", "7", "South")


@pytest.mark.parametrize("text", ["not json", "[1]", '{"Manufacturer": 3, "AcquisitionDateTime": "soon"}'])
def test_what_cannot_be_read_says_nothing(tmp_path: Path, text: str):
    (tmp_path / "a.json").write_text(text)
    assert scan_origin(Case("x", tmp_path / "a.nii")) == ScanOrigin()
