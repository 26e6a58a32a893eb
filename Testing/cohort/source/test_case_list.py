"""A list becomes cases: paths beside it, names that stay, and what is wrong with it is told with the line."""

from __future__ import annotations

from pathlib import Path

import pytest

from MultiTaskSegLib.cohort.source.case_list import MISSING
from MultiTaskSegLib.cohort.source.case_tree import cases_of
from MultiTaskSegLib.runtime.errors import InputError, UsageError


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for name in ("a.nii.gz", "deep/b.nii.gz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


def written(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text, encoding="utf-8-sig")
    return folder / name


def test_lines_of_a_text_file_are_paths_beside_it(images: Path):
    found = cases_of(written(images, "list.txt", f"# ours\n\ndeep/b.nii.gz\n{images / 'a.nii.gz'}\n"))
    assert [(case.identity, case.image, case.problem) for case in found] == [
        ("deep/b.nii.gz", images / "deep" / "b.nii.gz", ""),
        ("a.nii.gz", images / "a.nii.gz", ""),
    ]


def test_a_table_may_name_its_cases_and_its_column_of_paths(images: Path):
    table = written(images, "list.csv", 'case,age,scan\none,7,a.nii.gz\n,8,"deep/b.nii.gz"\n')
    assert [case.identity for case in cases_of(table, column="scan")] == ["one", "deep/b.nii.gz"]
    with pytest.raises(UsageError, match=r"there are case, age, scan.*--column"):
        cases_of(table)
    tabs = written(images, "list.tsv", "Path\tx\na.nii.gz\t1\n")
    assert [case.identity for case in cases_of(tabs)] == ["a.nii.gz"]


def test_a_path_that_leads_nowhere_stops_no_other(images: Path):
    found = cases_of(written(images, "list.txt", "gone.nii.gz\na.nii.gz\n"))
    assert [case.problem for case in found] == [MISSING, ""]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("list.txt", "a.nii.gz\n\ndeep/../a.nii.gz\n", "lines 1 and 3 name the same image"),
        ("list.csv", "case,path\nx,a.nii.gz\nx,deep/b.nii.gz\n", "two cases have the same name"),
        ("list.csv", "case,path\nx,\n", "line 2 of list.csv names no image"),
    ],
)
def test_what_would_give_two_cases_one_result_is_refused(images: Path, name: str, text: str, words: str):
    with pytest.raises(UsageError, match=words):
        cases_of(written(images, name, text))


def test_an_empty_list_is_refused(images: Path):
    with pytest.raises(InputError, match="names no image"):
        cases_of(written(images, "list.txt", "# nothing\n"))


@pytest.mark.parametrize(
    ("name", "data"),
    [("list.txt", "a.nii.gz\n".encode("utf-16")), ("scan.nii.gz", b"\x1f\x8b\0\0"), ("x.csv", b"path\0")],
)
def test_an_image_or_a_text_in_another_encoding_is_no_list(images: Path, name: str, data: bytes):
    (images / name).write_bytes(data)
    with pytest.raises(InputError, match=r"neither a folder nor a list in UTF-8.*'multitaskseg segment'"):
        cases_of(images / name)


def test_a_path_that_cannot_be_followed_stops_no_other(images: Path):
    found = cases_of(written(images, "list.txt", f"{'x' * 5000}\na.nii.gz\n"))
    assert [bool(case.problem) for case in found] == [True, False]
    (images / "round").symlink_to("round")
    found = cases_of(written(images, "list.txt", "round\na.nii.gz\n"))
    assert found[0].problem.startswith("this path cannot be followed")


def test_a_cell_may_hold_a_line_break_and_titles_may_be_capitals(images: Path):
    found = cases_of(written(images, "list.csv", 'Case,IMAGE\r\n"x\ny",a.nii.gz\r\nz,deep/b.nii.gz\r\n'))
    assert [case.identity for case in found] == ["x\ny", "z"]


def test_a_table_that_is_damaged_is_told_in_words(images: Path):
    with pytest.raises(InputError, match="the table cannot be read"):
        cases_of(written(images, "list.csv", "path\n" + "x" * 200_000 + "\n"))


def test_a_column_is_refused_where_there_are_none(images: Path):
    for place in (written(images, "list.txt", "a.nii.gz\n"), images):
        with pytest.raises(UsageError, match="--column is for tables"):
            cases_of(place, column="path")
