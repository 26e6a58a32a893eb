"""Date, scanner and site come from the headers, and where these say nothing, nothing is said."""

from __future__ import annotations

import json
import struct
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


DEEP = "[" * 200_000


@pytest.mark.parametrize(
    "text",
    ["not json", "[1]", DEEP, '{"Manufacturer": 3, "AcquisitionDateTime": "soon"}'],
    ids=["text", "list", "deep", "kinds"],
)
def test_what_cannot_be_read_says_nothing(tmp_path: Path, text: str):
    (tmp_path / "a.json").write_text(text)
    assert scan_origin(Case("x", tmp_path / "a.nii")) == ScanOrigin()


def test_a_table_beside_an_image_that_is_no_table_does_not_fail_its_case(tmp_path: Path):
    """A cell beyond the reader's limit, which is an error of its own kind."""
    image = tmp_path / "sub-01" / "anat" / "a.nii"
    image.parent.mkdir(parents=True)
    (tmp_path / "sub-01" / "sub-01_scans.tsv").write_text("filename\tacq_time\n" + "x" * 200_000 + "\t1\n")
    assert scan_origin(Case("x", image)) == ScanOrigin()


@pytest.mark.parametrize(
    ("characters", "encoded"),
    [
        ("ISO_IR 192", "Universität Łódź".encode()),
        ("ISO_IR 101", "Universität Łódź".encode("iso8859_2")),
        ("\\ISO 2022 IR 101", "Universität Łódź".encode("iso8859_2")),
    ],
)
def test_one_site_has_one_name_in_every_character_set(tmp_path: Path, characters: str, encoded: bytes):
    assert scan_origin(Case("x", dicom_file(tmp_path, characters, encoded))).site == "Universität Łódź"


@pytest.mark.parametrize(
    ("characters", "encoded", "name"),
    [
        ("\\ISO 2022 IR 87", b"\x1b$B;3ED\x1b(B", "山田"),
        ("\\ISO 2022 IR 149", b"\x1b$)C" + "병원".encode("euc_kr"), "병원"),
        ("GB18030", "医院".encode("gb18030"), "医院"),
        ("", b"North \x1b[31m\nEast", "North [31m East"),
        ("unheard of", "Köln".encode("latin_1"), "Köln"),
    ],
)
def test_names_are_read_in_their_set_and_move_no_terminal(tmp_path: Path, characters: str, encoded: bytes, name: str):
    assert scan_origin(Case("x", dicom_file(tmp_path, characters, encoded))).site == name


def dicom_file(folder: Path, characters: str, site: bytes) -> Path:
    """The elements that matter, explicit and little endian, without a preamble."""

    def element(number: int, kind: bytes, value: bytes) -> bytes:
        value += b" " * (len(value) % 2)
        return struct.pack("<HH2sH", 8, number, kind, len(value)) + value

    content = (
        element(0x05, b"CS", characters.encode()) + element(0x20, b"DA", b"2026.01.31") + element(0x80, b"LO", site)
    )
    (folder / "0.dcm").write_bytes(content)
    return folder


@pytest.mark.parametrize(
    ("told", "day"),
    [
        ("2026-01-31T23:59:59.5+14:00", "2026-01-31"),
        (" 2026-01-31", "2026-01-31"),
        ("2026-02-31", ""),
        ("202601311", ""),
        ("0000-01-01", ""),
        ("31.01.2026", ""),
    ],
)
def test_a_day_is_one_of_the_calendar_as_it_is_written(tmp_path: Path, told: str, day: str):
    (tmp_path / "a.json").write_text(json.dumps({"AcquisitionDateTime": told}), encoding="utf-8-sig")
    assert scan_origin(Case("x", tmp_path / "a.nii")).date == day


def test_names_that_no_file_can_hold_are_none(tmp_path: Path):
    (tmp_path / "a.json").write_text('{"InstitutionName": "No\\ud800rth", "Manufacturer": " ACME "}')
    assert scan_origin(Case("x", tmp_path / "a.nii")) == ScanOrigin("", "ACME", "", "No rth")
