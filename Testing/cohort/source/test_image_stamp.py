"""An image is known again by its files, and one that was changed is told from it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from MultiTaskSegLib.cohort.source.case import Case
from MultiTaskSegLib.cohort.source.image_stamp import image_digest, image_stamp


def written(path: Path, text: str, time_s: int = 1_000_000_000) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="ascii")
    os.utime(path, (time_s, time_s))
    return path


def test_copies_that_keep_name_and_time_have_one_stamp_and_changed_images_another(tmp_path: Path):
    image = written(tmp_path / "a.nii", "xyz")
    before = image_stamp(Case("a", image))
    assert before.startswith("1 files, 3 bytes, ")
    (tmp_path / "copy").mkdir()
    assert image_stamp(Case("b", Path(shutil.copy2(image, tmp_path / "copy" / "a.nii")))) == before
    assert image_stamp(Case("a", written(image, "xyzz"))) != before
    assert image_stamp(Case("a", written(image, "xyz", 1_000_000_001))) != before


def test_a_slice_that_is_replaced_by_one_of_its_size_and_of_an_earlier_time_is_seen(tmp_path: Path):
    """Slices are all of one size, and one from a backup is older than the latest."""
    files = [written(tmp_path / "series" / name, "xyz", 1_000_000_000 + number) for number, name in enumerate("abc")]
    before = image_stamp(Case("1.2", tmp_path / "series"))
    written(files[1], "zzz", 999_999_999)
    assert image_stamp(Case("1.2", tmp_path / "series")) != before


def test_what_programs_put_beside_a_series_is_no_part_of_it(tmp_path: Path):
    dicom = bytes(128) + b"DICM" + bytes(8)
    (tmp_path / "0.dcm").write_bytes(dicom)
    case = Case("1.2", tmp_path)
    stamp, digest = image_stamp(case), image_digest(case)
    written(tmp_path / ".DS_Store", "x")
    assert (image_stamp(case), image_digest(case)) == (stamp, digest)
    written(tmp_path / "Thumbs.db", "x")
    assert image_digest(case) == digest


def test_of_a_series_all_files_count_however_they_are_given(tmp_path: Path):
    files = [written(tmp_path / "series" / name, name) for name in ("a", "bb")]
    stamp = image_stamp(Case("1.2", tmp_path / "series"))
    assert stamp.startswith("2 files, 3 bytes")
    assert image_stamp(Case("1.2", tmp_path / "series", tuple(files))) == stamp


def test_the_digest_is_that_of_the_bytes_wherever_the_files_lie(tmp_path: Path):
    files = [tmp_path / "series" / name for name in ("a", "bb")]
    files[0].parent.mkdir()
    for file in files:
        file.write_bytes(bytes(128) + b"DICM" + file.name.encode())
    digest = image_digest(Case("1.2", tmp_path / "series"))
    assert image_digest(Case("1.2", tmp_path, tuple(files[::-1]))) == digest
    files[0].write_bytes(bytes(128) + b"DICMc")
    assert image_digest(Case("1.2", tmp_path / "series")) != digest


def test_what_is_gone_has_none(tmp_path: Path):
    with pytest.raises(OSError):
        image_stamp(Case("a", tmp_path / "gone"))
