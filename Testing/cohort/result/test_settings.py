"""A folder of results takes those of one model and one way of running it, and says so before anything starts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from MultiTaskSegLib.cohort.result.settings import SEGMENT, CohortSettings
from MultiTaskSegLib.runtime.errors import InputError, ResourceError, UsageError

SETTINGS = CohortSettings(SEGMENT, "tiny", "ab" * 32, "auto", ("left",))
ALWAYS = {"schema", "command", "model", "model_sha256", "task", "structures"}


def test_the_same_settings_are_taken_and_so_is_a_new_or_an_empty_folder(tmp_path: Path):
    SETTINGS.require_same(tmp_path / "new")
    SETTINGS.require_same(tmp_path)
    SETTINGS.write(tmp_path)
    SETTINGS.require_same(tmp_path)


def test_a_folder_of_a_version_without_a_choice_goes_on_as_it_began(tmp_path: Path):
    earlier = {key: value for key, value in SETTINGS.as_dict().items() if key in ALWAYS}
    (tmp_path / "cohort.json").write_text(json.dumps(earlier))
    SETTINGS.require_same(tmp_path)
    for choice in ("dicom_seg", "thorough"):
        with pytest.raises(UsageError, match=f"{choice} False, not True"):
            replace(SETTINGS, **{choice: True}).require_same(tmp_path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model_sha256": "cd" * 32}, "model_sha256 'abab.*not 'cdcd"),
        ({"command": "check"}, "command 'segment', not 'check'"),
        ({"task": "Liver"}, "task 'auto', not 'Liver'"),
        ({"structures": ()}, r"structures \['left'\], not \[\]"),
        ({"thorough": True}, "thorough False, not True"),
    ],
)
def test_other_settings_are_refused_with_both(tmp_path: Path, change: dict, words: str):
    SETTINGS.write(tmp_path)
    with pytest.raises(UsageError, match=words):
        replace(SETTINGS, **change).require_same(tmp_path)


def test_a_folder_with_other_files_and_a_file_in_its_place_are_refused(tmp_path: Path):
    (tmp_path / "thesis.docx").write_bytes(b"")
    with pytest.raises(InputError, match=r"other files \(thesis.docx\)"):
        SETTINGS.require_same(tmp_path)
    with pytest.raises(ResourceError, match="a file is in the place"):
        SETTINGS.require_same(tmp_path / "thesis.docx")


@pytest.mark.parametrize("text", ["{", "[]"])
def test_damaged_settings_are_refused(tmp_path: Path, text: str):
    (tmp_path / "cohort.json").write_text(text)
    with pytest.raises(InputError, match="settings of these results"):
        SETTINGS.require_same(tmp_path)
