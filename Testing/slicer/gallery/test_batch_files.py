"""Table and page in the folder of the results: both or neither, and nothing is lost that somebody edited."""

from __future__ import annotations

import hashlib
import os
import sys

import pytest

from MultiTaskSegLib.batch import BatchRow
from MultiTaskSegLib.gallery import batch_files
from MultiTaskSegLib.gallery.batch_files import write_batch_files
from MultiTaskSegLib.runtime.errors import ResourceError


def names(folder) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_table_and_page_lie_beside_each_other_with_their_checksums(tmp_path):
    page = write_batch_files([BatchRow("scan ü")], tmp_path / "out")
    assert page == tmp_path / "out" / "batch.html"
    assert names(tmp_path / "out") == ["batch.csv", "batch.html", "batch.sha256"]
    assert "scan ü" in page.read_text(encoding="utf-8")
    for line in (tmp_path / "out" / "batch.sha256").read_text().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256((tmp_path / "out" / name).read_bytes()).hexdigest() == digest


def test_checksums_have_the_line_ends_that_sha256sum_reads_on_every_system(tmp_path, line_ends_of_windows):
    write_batch_files([BatchRow("a")], tmp_path)
    assert b"\r" not in (tmp_path / "batch.sha256").read_bytes()
    assert b"\r" not in (tmp_path / "batch.html").read_bytes()
    write_batch_files([BatchRow("b")], tmp_path)
    assert names(tmp_path) == ["batch.csv", "batch.html", "batch.sha256"]


def test_untouched_ones_are_replaced(tmp_path):
    write_batch_files([BatchRow("first")], tmp_path)
    page = write_batch_files([BatchRow("second")], tmp_path)
    assert names(tmp_path) == ["batch.csv", "batch.html", "batch.sha256"]
    assert "second" in page.read_text()


@pytest.mark.parametrize("ending", [".csv", ".html", ".sha256"])
def test_edited_ones_are_kept_and_the_new_ones_get_another_name(tmp_path, ending):
    write_batch_files([BatchRow("first")], tmp_path)
    edited = tmp_path / f"batch{ending}"
    edited.write_text("mine")
    for name in ("second", "third"):
        page = write_batch_files([BatchRow(name)], tmp_path)
        assert page.name == "batch_2.html"
        assert name in page.read_text()
    assert edited.read_text() == "mine"
    assert len(names(tmp_path)) == 6


@pytest.mark.parametrize("ending", [".csv", ".html", ".sha256"])
def test_a_file_of_somebody_else_is_kept(tmp_path, ending):
    (tmp_path / f"batch{ending}").write_text("mine")
    assert write_batch_files([BatchRow("first")], tmp_path).name == "batch_2.html"
    assert (tmp_path / f"batch{ending}").read_text() == "mine"


def test_a_page_that_fails_leaves_no_table(tmp_path, monkeypatch):
    write_batch_files([BatchRow("first")], tmp_path)
    before = {name: (tmp_path / name).read_bytes() for name in names(tmp_path)}
    monkeypatch.setattr(batch_files, "batch_page", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_batch_files([BatchRow("second")], tmp_path)
    assert {name: (tmp_path / name).read_bytes() for name in names(tmp_path)} == before


def test_a_folder_that_cannot_be_made_is_told_in_words(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ResourceError, match="file is in the place of the folder"):
        write_batch_files([BatchRow("first")], tmp_path / "file")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux names files with any bytes")
def test_a_name_that_is_no_text_does_not_cost_the_page(tmp_path):
    name = os.fsdecode(b"scan-\xff")
    (tmp_path / name).mkdir()
    (tmp_path / name / "report.json").touch()
    page = write_batch_files([BatchRow(name, output=str(tmp_path / name))], tmp_path)
    assert "scan-%FF/report.json" in page.read_text(encoding="utf-8")
