"""When, with which scanner and where an image was made, as far as its headers say it."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from MultiTaskSegLib.cohort.source.case import Case
from MultiTaskSegLib.runtime.header.dicom_element import Elements, looks_like_dicom, read_elements, text_of

# Acquisition, series and study date; scanner and site: PS3.6, section 6.
_DATES = (0x00080022, 0x00080021, 0x00080020)
_MAKER, _SCANNER, _DEVICE, _SITE = 0x00080070, 0x00081090, 0x00181000, 0x00080080
_CHARACTERS = 0x00080005
_DAY = re.compile(r"(\d{4})[-.]?(\d{2})[-.]?(\d{2})(?!\d)")  # with dots before 1993 (PS3.5, 6.2, DA)
# Character sets of PS3.3, C.12.1.1.2 by their names in Python; of the others what is not ASCII is told as Latin.
_ENCODINGS = {
    **{f"ISO_IR {number}": f"iso8859_{part}" for number, part in ((100, 1), (101, 2), (109, 3), (110, 4), (144, 5))},
    **{f"ISO_IR {number}": f"iso8859_{part}" for number, part in ((127, 6), (126, 7), (138, 8), (148, 9), (203, 15))},
    "ISO_IR 192": "utf_8",
    "GB18030": "gb18030",
    "GBK": "gbk",
    "ISO_IR 13": "shift_jis",
    "ISO_IR 166": "tis_620",
    "ISO 2022 IR 87": "iso2022_jp_2",
    "ISO 2022 IR 149": "euc_kr",
    "ISO 2022 IR 58": "gb2312",
}
_EIGHT_BITS = re.compile(rb"\x1b\$\)[AC]")  # escapes to Chinese and Korean, which Python's names take for granted
_SHOWN = 64  # characters of a name (PS3.5, LO)
_NIFTI = re.compile(r"\.nii(\.gz)?$", re.IGNORECASE)


@dataclass(frozen=True)
class ScanOrigin:
    """What headers say; empty where they do not.

    Attributes:
        date: ``YYYY-MM-DD``.
        scanner: maker and model.
        device: serial number of the scanner, by which two of one model are told apart.
        site: institution.
    """

    date: str = ""
    scanner: str = ""
    device: str = ""
    site: str = ""


def scan_origin(case: Case) -> ScanOrigin:
    """From DICOM elements, or from what lies beside a NIfTI file as BIDS has it: a JSON file and ``_scans.tsv``.

    An image is worth more than what is said about it: what cannot be read says nothing.
    """
    try:
        if _NIFTI.search(case.image.name):
            return _beside(case.image)
        first = next(iter(case.files), None) or _first_dicom(case.image)
        return ScanOrigin() if first is None else _of_dicom(first)
    except (OSError, ValueError, RecursionError, csv.Error):  # what lies beside an image may come from anybody
        return ScanOrigin()


def _first_dicom(image: Path) -> Path | None:
    files = sorted(entry for entry in image.iterdir() if entry.is_file()) if image.is_dir() else [image]
    return next((file for file in files if looks_like_dicom(file)), None)


def _of_dicom(file: Path) -> ScanOrigin:
    elements = read_elements(file)
    dates = (_day(text_of(elements, tag)) for tag in _DATES)
    maker, model, device, site = (_told(elements, tag) for tag in (_MAKER, _SCANNER, _DEVICE, _SITE))
    scanner = _scanner(maker, model)
    return ScanOrigin(next(filter(None, dates), ""), scanner, device, site)


def _beside(image: Path) -> ScanOrigin:
    notes = image.with_name(_NIFTI.sub("", image.name) + ".json")
    found = json.loads(notes.read_text(encoding="utf-8-sig")) if notes.is_file() else {}
    found = found if isinstance(found, dict) else {}
    day = _day(_text(found, "AcquisitionDateTime")) or _day(_acquired(image))
    scanner = _scanner(_text(found, "Manufacturer"), _text(found, "ManufacturersModelName"))
    return ScanOrigin(day, scanner, _text(found, "DeviceSerialNumber"), _text(found, "InstitutionName"))


def _acquired(image: Path) -> str:
    """``acq_time`` of the image in the ``_scans.tsv`` of its session or subject (BIDS 1.9, Scans file)."""
    for folder in image.parents[1:3]:
        for table in sorted(folder.glob("*_scans.tsv")):
            with table.open(encoding="utf-8", newline="") as stream:
                for row in csv.DictReader(stream, delimiter="\t"):
                    if row.get("filename") == image.relative_to(folder).as_posix():
                        return row.get("acq_time") or ""
    return ""


def _text(found: Mapping[str, Any], key: str) -> str:
    value = found.get(key, "")
    return _plain(value) if isinstance(value, str) else ""


def _told(elements: Elements, tag: int) -> str:
    """A text in the character set of its file, so that one site has one name, whatever wrote it."""
    value = elements.get(tag, b"")
    # Of several sets the last one; the first is mostly ASCII, and the others need their escapes, which are ASCII, too.
    words = text_of(elements, _CHARACTERS).split("\\")[-1].strip()
    single = words.replace("ISO 2022 IR", "ISO_IR")
    encoding = _ENCODINGS.get(words) or _ENCODINGS.get(single, "latin_1")
    return _plain(_EIGHT_BITS.sub(b"", value).decode(encoding, "replace")) if isinstance(value, bytes) else ""


def _plain(text: str) -> str:
    """Of what terminals and tables show as it is, and no longer than names are."""
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())[:_SHOWN]


def _scanner(maker: str, model: str) -> str:
    """Both, the maker once where the model names it, too.

    >>> _scanner("SIEMENS", "Skyra"), _scanner("GE", "GE Signa")
    ('SIEMENS Skyra', 'GE Signa')
    """
    return model if model.casefold().startswith(maker.casefold()) else f"{maker} {model}".strip()


def _day(text: str) -> str:
    """The day of a DICOM date or of an ISO time; empty where it is none.

    >>> _day("20260131"), _day("2026-01-31T12:00:00"), _day("n/a"), _day("20260231")
    ('2026-01-31', '2026-01-31', '', '')
    """
    match = _DAY.match(text.strip())
    try:
        return "" if match is None else date(*map(int, match.groups())).isoformat()
    except ValueError:  # such as the 31st of February
        return ""
