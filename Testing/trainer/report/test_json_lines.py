"""Records of a process that ended anyhow: a last line that is not whole is nobody's, any other damage is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from MultiTaskSegLib.runtime.errors import ResourceError
from trainer.report.json_lines import read_json_lines

WHOLE = '{"step": 1, "loss": 2.0}\n{"step": 2, "dice": {"a": NaN}}\n'


@pytest.mark.parametrize(
    "tail", ["", '{"step": 3, "lo', '{"step": 3}', '{"step": 3, "lo\n', "\0\0\0\0", "\0\0\n", "\n", "17\n"]
)
def test_a_last_line_that_is_not_whole_is_left_out(tmp_path: Path, tail: str) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(WHOLE + tail, encoding="utf-8")
    records = read_json_lines(path)
    assert [record["step"] for record in records] == [1, 2]
    assert np.isnan(records[1]["dice"]["a"])


def test_a_last_line_that_is_cut_within_a_letter_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(WHOLE.encode() + '{"dice": {"ä'.encode()[:-1])
    assert len(read_json_lines(path)) == 2


@pytest.mark.parametrize("line", ['{"step": 1', "[1]", "\xff"])
def test_a_damaged_line_in_the_middle_is_said_with_file_and_line(tmp_path: Path, line: str) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(f'{{"step": 0}}\n{line}\n{{"step": 2}}\n', encoding="latin-1")
    with pytest.raises(ResourceError, match=r"line 2 of 3 is damaged: .*metrics\.jsonl"):
        read_json_lines(path)


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match=r"cannot be read .*metrics\.jsonl"):
        read_json_lines(tmp_path / "metrics.jsonl")


def test_an_empty_file_has_no_record(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").touch()
    assert read_json_lines(tmp_path / "metrics.jsonl") == []
