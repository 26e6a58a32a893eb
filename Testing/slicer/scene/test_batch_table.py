"""One table for segmentations and for checks: exact after saving, whatever is in its texts."""

from __future__ import annotations

import csv

import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")

from MultiTaskSegLib.batch import BatchRow
from MultiTaskSegLib.batch_table import write_batch_csv
from MultiTaskSegLib.runtime.ood.verdict import Verdict
from MultiTaskSegLib.scene import result_table
from MultiTaskSegLib.scene.batch.batch_table import add_batch_table, batch_rows_of, fill_batch_table
from MultiTaskSegLib.verdict_words import verdict_words
from Testing.slicer import scene_samples as samples

NASTY = 'the worker ended: File "C:\\x\\worker.py", line 3 |\tno\nmemory'
VERDICT = Verdict(False, 1.2, 1.4, 0.03, "heart", {"heart": 1.2}, rivals=("brain",))
ROWS = [
    BatchRow('a "1"', "t", "in distribution", 0.5, {'the "left" part': 1.0}, 1.0, ("odd\tthing",), ood=VERDICT),
    BatchRow("two", error=NASTY, file='C:/x "y"/z.nrrd'),
    BatchRow(
        "three",
        "t",
        "in distribution",
        0.5,
        {'the "left" part': 2.0},
        1.0,
        model="m",
        model_sha256="ab",
        quality="good",
        thorough="look here",
        agreement=0.8,
        agreements={'the "left" part': 0.8},
    ),
]


def saved_and_read(node, folder):
    storage = node.CreateDefaultStorageNode()
    slicer.mrmlScene.AddNode(storage)
    storage.SetFileName(str(folder / "table.tsv"))
    assert storage.WriteData(node)
    assert storage.ReadData(node)
    table = node.GetTable()
    return [
        {table.GetColumnName(column): table.GetValue(row, column).ToString() for column in range(columns(table))}
        for row in range(table.GetNumberOfRows())
    ]


def columns(table) -> int:
    return int(table.GetNumberOfColumns())


def test_quotes_tabs_and_lines_mutilate_no_row_of_a_saved_table(session, tmp_path):
    rows = saved_and_read(add_batch_table(slicer.mrmlScene, ROWS, "batch"), tmp_path)
    assert [row["image"] for row in rows] == ["a '1'", "two", "three"]
    assert rows[1]["error"] == "the worker ended: File 'C:\\x\\worker.py', line 3 | no memory"
    assert [row["the 'left' part [mL]"] for row in rows] == ["1", "nan", "2"]


def test_the_rows_are_read_back_to_the_sign_after_the_scene_was_saved(session, tmp_path):
    volume = samples.volume()
    rows = [*ROWS, BatchRow("Scan", ood=VERDICT, volume_id=volume.GetID())]
    add_batch_table(slicer.mrmlScene, rows, "batch")
    bundle = str(tmp_path / "scene.mrb")
    session.scene.SetURL(bundle)
    assert session.scene.WriteToMRB(bundle)
    session.scene.Clear(0)
    assert session.scene.ReadFromMRB(bundle)
    node = session.scene.GetFirstNode("batch", "vtkMRMLTableNode")
    assert batch_rows_of(node) == rows
    assert node.GetNodeReference("MultiTaskSeg.Row.3").GetName() == "Scan"


def test_a_table_of_somebody_else_or_with_other_rows_has_no_rows(session):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode")
    assert batch_rows_of(node) == []
    fill_batch_table(node, ROWS)
    node.GetTable().RemoveRow(0)
    assert batch_rows_of(node) == []


def test_a_csv_file_has_every_sign_of_every_text(tmp_path):
    write_batch_csv(ROWS, tmp_path / "batch.csv")
    with (tmp_path / "batch.csv").open(newline="", encoding="utf-8-sig") as stream:
        rows = list(csv.DictReader(stream))
    assert rows[1]["error"] == NASTY
    assert rows[1]["file"] == 'C:/x "y"/z.nrrd'
    assert rows[0]["score"] == "1.2"


def test_names_of_segments_do_not_mutilate_their_saved_table(session, tmp_path):
    row = result_table.SegmentRow("one", 'the "left"\tone', 1.0, 0.9, 0.8, 0.1, 7)
    other = result_table.SegmentRow("two", "the right one", 2.0, 0.9, 0.8, 0.1, 9)
    node = result_table.add_table(samples.volume(), [row, other], "segments")
    saved_and_read(node, tmp_path)
    assert [found.name for found in result_table.rows_of(node)] == ["the 'left' one", "the right one"]
    assert [found.volume_ml for found in result_table.rows_of(node)] == [1.0, 2.0]


@pytest.mark.parametrize(
    ("verdict", "task", "words"),
    [
        (VERDICT, "heart", "in distribution (unusual)"),
        (Verdict(False, 1.2, 1.4, 0.3, "heart", {}), "heart", "in distribution"),
        (Verdict(False, 1.2, 1.4, 0.3, "heart", {}), "", "in distribution"),
        (Verdict(False, 1.2, 1.4, 0.3, "heart", {}), "brain", "in distribution (unusual)"),
        (Verdict(True, 1.5, 1.4, 0.001, "heart", {}), "heart", "out of distribution"),
        (None, "heart", "not checked"),
    ],
)
def test_a_batch_tells_the_same_verdicts_as_a_single_run(stand_ins, verdict, task, words):
    from MultiTaskSegLib.panel.verdict_banner import Level, level_of

    assert verdict_words(verdict, task) == words
    assert (
        level_of(verdict, task)
        is {
            "in distribution": Level.KNOWN,
            "in distribution (unusual)": Level.UNUSUAL,
            "out of distribution": Level.FOREIGN,
            "not checked": Level.UNCHECKED,
        }[words]
    )


def test_an_image_or_structure_that_is_named_like_a_formula_is_a_text_in_the_csv_file(tmp_path):
    write_batch_csv([BatchRow("=cmd()", figures={"Roundness": {"@heart": -0.5}})], tmp_path / "batch.csv")
    with (tmp_path / "batch.csv").open(newline="", encoding="utf-8-sig") as stream:
        [row] = csv.DictReader(stream)
    assert row["image"] == "'=cmd()"
    assert row["'@heart: Roundness"] == "-0.5"
