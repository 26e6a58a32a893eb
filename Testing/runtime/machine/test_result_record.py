"""Results may be written again, but not over what somebody has made of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.runtime.machine.result_place import REPORT, RESULT_FILES
from MultiTaskSegLib.runtime.machine.result_record import DIGESTS, digest_of, require_untouched, with_digests


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A folder with results as they are written, and a file of the user's."""
    files = [tmp_path / name for name in RESULT_FILES if name != REPORT]
    for file in files:
        file.write_text(file.name)
    report = with_digests({"image": "Schädel.nii", "labels": [{"value": 1, "volume_mm3": 0.1}]}, files)
    (tmp_path / REPORT).write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (tmp_path / "notes.txt").write_text("mine")
    return tmp_path


def without_digests(folder: Path) -> None:
    report = json.loads((folder / REPORT).read_text(encoding="utf-8"))
    del report[DIGESTS]
    (folder / REPORT).write_text(json.dumps(report))


def with_other_volume(folder: Path) -> None:
    text = (folder / REPORT).read_text(encoding="utf-8")
    (folder / REPORT).write_text(text.replace("0.1", "0.2"), encoding="utf-8")


def test_results_as_they_were_written_no_results_and_other_files_are_no_obstacle(results: Path, tmp_path: Path) -> None:
    require_untouched(results)
    require_untouched(results / "not there")
    (results / "segmentation.nii.gz").unlink()  # what somebody took away is nothing to lose
    require_untouched(results)


@pytest.mark.parametrize("name", RESULT_FILES)
def test_a_file_that_was_edited_is_not_replaced(results: Path, name: str) -> None:
    with (results / name).open("a") as stream:
        stream.write("edited")
    with pytest.raises(InputError, match="would be overwritten, though it was changed") as refused:
        require_untouched(results)
    assert refused.value.file == str(results / name)
    assert "--overwrite" in refused.value.remedy


@pytest.mark.parametrize("name", RESULT_FILES)
def test_a_file_of_the_same_name_that_is_no_result_is_not_replaced(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(InputError, match="would be overwritten"):
        require_untouched(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        without_digests,
        with_other_volume,
        lambda folder: (folder / REPORT).unlink(),
        lambda folder: (folder / REPORT).write_text("[]"),
        lambda folder: (folder / REPORT).write_text('{"sha256": 1}'),
        lambda folder: (folder / REPORT).write_bytes(b"\xff\xfe"),
    ],
)
def test_a_report_that_tells_nothing_or_was_changed_is_an_obstacle(
    results: Path, change: Callable[[Path], object]
) -> None:
    change(results)
    with pytest.raises(InputError, match="would be overwritten"):
        require_untouched(results)


def test_a_digest_is_that_of_sha256sum(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    # FIPS 180-2, appendix B.1
    assert digest_of(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
