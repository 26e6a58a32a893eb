"""Patterns are expanded by the tool, for not every shell does it."""

from __future__ import annotations

from pathlib import Path

import pytest

from MultiTaskSegLib.runtime.errors import UsageError
from MultiTaskSegLib.runtime.machine.file_pattern import expanded


def test_a_pattern_becomes_what_it_matches_in_order_and_the_rest_stays(tmp_path: Path) -> None:
    for name in ("b.nii.gz", "a.nii.gz", "c.png"):
        (tmp_path / name).write_text("")
    missing = tmp_path / "missing.nii.gz"
    found = expanded([missing, tmp_path / "*.nii.gz", tmp_path / "?.png"])
    assert [path.name for path in found] == ["missing.nii.gz", "a.nii.gz", "b.nii.gz", "c.png"]


def test_a_file_that_is_named_like_a_pattern_is_itself(tmp_path: Path) -> None:
    for name in ("scan[1].nii", "scan1.nii"):
        (tmp_path / name).write_text("")
    assert expanded([tmp_path / "scan[1].nii"]) == [tmp_path / "scan[1].nii"]


def test_a_pattern_that_matches_nothing_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nothing matches the pattern.*\*\.mha"):
        expanded([tmp_path / "*.mha"])
