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


def test_copies_that_keep_their_times_have_one_stamp_and_changed_images_another(tmp_path: Path):
    image = written(tmp_path / "a.nii", "xyz")
    before = image_stamp(Case("a", image))
    assert before == "1 files, 3 bytes, changed 2001-09-09T01:46:40Z"
    assert image_stamp(Case("b", Path(shutil.copy2(image, tmp_path / "b.nii")))) == before
    assert image_stamp(Case("a", written(image, "xyzz"))) != before
    assert image_stamp(Case("a", written(image, "xyz", 1_000_000_001))) != before


def test_of_a_series_all_files_count_however_they_are_given(tmp_path: Path):
    files = [written(tmp_path / "series" / name, name) for name in ("a", "bb")]
    stamp = image_stamp(Case("1.2", tmp_path / "series"))
    assert stamp.startswith("2 files, 3 bytes")
    assert image_stamp(Case("1.2", tmp_path / "series", tuple(files))) == stamp


def test_the_digest_is_that_of_the_bytes_wherever_the_files_lie(tmp_path: Path):
    files = [written(tmp_path / "series" / name, name) for name in ("a", "bb")]
    digest = image_digest(Case("1.2", tmp_path / "series"))
    assert image_digest(Case("1.2", tmp_path, tuple(files[::-1]))) == digest
    written(files[0], "c")
    assert image_digest(Case("1.2", tmp_path / "series")) != digest


def test_what_is_gone_has_none(tmp_path: Path):
    with pytest.raises(OSError):
        image_stamp(Case("a", tmp_path / "gone"))
