"""A result is there whole or not at all, and belongs to its case."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path

import pytest

from MultiTaskSegLib.cohort.result.case_record import RECORD_FILE, CaseRecord, read_record
from MultiTaskSegLib.cohort.result.results import (
    KnownResults,
    case_folder,
    count_results,
    known_results,
    new_result,
    remove_leftovers,
    require_writable,
    set_aside,
)
from MultiTaskSegLib.cohort.source.case import Case
from MultiTaskSegLib.cohort.source.image_stamp import image_digest, image_stamp
from MultiTaskSegLib.runtime.errors import InputError, ResourceError

CASE = Case("a/scan.nii.gz", Path("scan.nii.gz"))


def write(output: Path, case: Case = CASE, reason: str = "") -> None:
    with new_result(output, case) as stage:
        (stage / RECORD_FILE).write_text(CaseRecord(case.identity, "scan", reason=reason, warnings=("w",)).as_text())


def test_a_result_is_read_back_as_it_was_written(tmp_path: Path):
    record = CaseRecord("a", "b", p_value=0.25, volumes_ml={"x": 1.5}, warnings=("one", "two"))
    (tmp_path / RECORD_FILE).write_text(record.as_text())
    assert read_record(tmp_path) == record


def test_until_the_last_file_is_written_there_is_no_result(tmp_path: Path):
    with new_result(tmp_path, CASE) as stage:
        (stage / RECORD_FILE).write_text(CaseRecord(CASE.identity, "scan.nii.gz").as_text())
        assert known_results(tmp_path, [CASE]).finished == {}
        assert count_results(tmp_path) == 0
    assert known_results(tmp_path, [CASE]).finished == {CASE.identity: CaseRecord(CASE.identity, "scan.nii.gz")}
    assert count_results(tmp_path) == 1


def test_a_failure_in_between_leaves_nothing_and_names_the_place(tmp_path: Path):
    def fill_the_disk() -> None:
        with new_result(tmp_path, CASE) as stage:
            (stage / "half").write_bytes(b"x")
            raise OSError(errno.ENOSPC, "No space left on device", str(stage / "half"))

    with pytest.raises(ResourceError, match=r"cases.*a_scan.nii.gz-") as told:
        fill_the_disk()
    assert "No space left" in str(told.value)
    assert ".mts-partial" not in str(told.value)
    assert list((tmp_path / "cases").iterdir()) == []


def test_of_two_that_do_the_same_case_the_first_one_counts(tmp_path: Path):
    write(tmp_path, reason="first")
    write(tmp_path, reason="second")
    assert known_results(tmp_path, [CASE]).finished[CASE.identity].reason == "first"
    assert [entry.name for entry in (tmp_path / "cases").iterdir()] == [CASE.folder_name]


def test_what_a_killed_worker_left_counts_nothing_and_goes(tmp_path: Path):
    write(tmp_path)
    left = tmp_path / "cases" / ".mts-partial-x" / CASE.folder_name
    left.mkdir(parents=True)
    (left / "segmentation.nii.gz").write_bytes(b"half")
    assert count_results(tmp_path) == 1
    remove_leftovers(tmp_path)
    assert [entry.name for entry in (tmp_path / "cases").iterdir()] == [CASE.folder_name]


def test_a_result_of_another_case_or_a_damaged_one_is_refused(tmp_path: Path):
    write(tmp_path)
    file = case_folder(tmp_path, CASE) / RECORD_FILE
    file.write_text(CaseRecord("other", "scan").as_text())
    with pytest.raises(InputError, match="another case, other"):
        known_results(tmp_path, [CASE])
    for text in ("{", "[]", '{"case": "x"}'):
        file.write_text(text)
        with pytest.raises(InputError, match="Remove this folder"):
            known_results(tmp_path, [CASE])


def test_results_of_earlier_versions_are_read_and_those_of_later_ones_are_not(tmp_path: Path):
    row = json.loads(CaseRecord("a", "b", model_sha256="d", date="2026-01-31").as_text())
    earlier = {key: value for key, value in row.items() if key not in ("device", "stamp", "image_sha256")}
    (tmp_path / RECORD_FILE).write_text(json.dumps(earlier))
    assert read_record(tmp_path) == CaseRecord("a", "b", model_sha256="d", date="2026-01-31")
    (tmp_path / RECORD_FILE).write_text(json.dumps({**row, "further": 1}))
    with pytest.raises(InputError, match="it has other entries"):
        read_record(tmp_path)


def test_a_place_where_nothing_can_be_written_is_refused(tmp_path: Path):
    (tmp_path / "cases").write_bytes(b"")
    with pytest.raises(ResourceError, match="cannot write"):
        require_writable(tmp_path)


def of_image(output: Path, image: Path) -> Case:
    """A case with a result that was made of its image as it is."""
    image.parent.mkdir(exist_ok=True)
    image.write_bytes(b"voxels")
    case = Case("scan.nii", image)
    row = CaseRecord(case.identity, str(image), stamp=image_stamp(case), image_sha256=image_digest(case))
    with new_result(output, case) as stage:
        (stage / RECORD_FILE).write_text(row.as_text())
    return case


def test_an_image_that_was_changed_is_no_longer_done_and_its_result_goes(tmp_path: Path):
    output = tmp_path / "out"
    case = of_image(output, tmp_path / "one" / "scan.nii")
    assert known_results(output, [case]).finished.keys() == {case.identity}
    case.image.write_bytes(b"other voxels")
    assert known_results(output, [case]) == KnownResults({}, [case])
    assert set_aside(output, case) == ""
    assert count_results(output) == 0
    assert known_results(output, [case]) == KnownResults({}, [])


def test_an_image_that_was_only_touched_or_is_gone_keeps_its_result(tmp_path: Path):
    output = tmp_path / "out"
    case = of_image(output, tmp_path / "one" / "scan.nii")
    os.utime(case.image, (1, 1))
    assert known_results(output, [case]).changed == []
    case.image.unlink()
    assert known_results(output, [case]).changed == []


@pytest.mark.parametrize("name", ["segmentation.nii.gz", "segmentation.dcm", "corrected.nii.gz"])
def test_what_somebody_has_made_of_a_result_is_not_removed_with_it(tmp_path: Path, name: str):
    output = tmp_path / "out"
    case = of_image(output, tmp_path / "one" / "scan.nii")
    case.image.write_bytes(b"other voxels")
    (case_folder(output, case) / name).write_bytes(b"by hand")
    assert "the result was edited since" in set_aside(output, case)
    assert (case_folder(output, case) / name).read_bytes() == b"by hand"


def test_a_result_of_another_image_of_the_same_name_is_never_taken_for_this_one(tmp_path: Path):
    case = of_image(tmp_path / "out", tmp_path / "one" / "scan.nii")
    other = Case(case.identity, tmp_path / "two" / "scan.nii")
    other.image.parent.mkdir()
    shutil.copy2(case.image, other.image)  # moved, and the same
    assert known_results(tmp_path / "out", [other]).finished[case.identity].source == str(other.image)
    other.image.write_bytes(b"VOXELS")  # of another patient, of the same size and time
    os.utime(other.image, (case.image.stat().st_mtime,) * 2)
    with pytest.raises(InputError, match=r"result of the same name, scan.nii, of another image, .*one"):
        known_results(tmp_path / "out", [other])
