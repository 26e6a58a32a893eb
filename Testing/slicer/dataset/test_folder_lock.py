"""Two programs add to one dataset one after the other, whoever dies meanwhile, and nobody waits for ever."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from MultiTaskSegLib.dataset import dataset_folder, folder_lock
from MultiTaskSegLib.dataset.dataset_folder import add_cases
from MultiTaskSegLib.dataset.folder_lock import LOCK, locked
from MultiTaskSegLib.dataset.groups_file import read_groups
from MultiTaskSegLib.runtime.errors import DatasetError, ResourceError
from Testing.slicer.dataset.test_dataset_folder import KEY, case, files, verified

KILLED = """
import os, pathlib, sys
from MultiTaskSegLib.dataset.folder_lock import locked
with locked(pathlib.Path(sys.argv[1])):
    os._exit(0)
"""


@pytest.mark.parametrize("is_there", [False, True])
def test_who_adds_at_the_same_time_loses_no_case_and_no_patient(tmp_path, monkeypatch, is_there):
    folder, wrote = tmp_path / "d", dataset_folder.write_dataset_file
    if is_there:
        add_cases(folder, [case("first", 9, patient="P9")], KEY)

    def slowly(*arguments) -> None:
        time.sleep(0.3)  # the other has read the files by now, unless it waits
        wrote(*arguments)

    monkeypatch.setattr(dataset_folder, "write_dataset_file", slowly)
    names = ["one", "two", "three"]
    threads = [
        threading.Thread(target=add_cases, args=(folder, [case(name, number, patient=name)], KEY))
        for number, name in enumerate(names)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wanted = {*names, *(["first"] if is_there else [])}
    assert set(read_groups(folder)) == wanted
    assert json.loads((folder / "dataset.json").read_text())["numTraining"] == len(wanted)
    assert not (folder / LOCK).exists()
    verified(folder)


def test_who_was_killed_keeps_nobody_out(tmp_path):
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "d")], check=True)
    assert (tmp_path / "d" / LOCK).exists()
    assert add_cases(tmp_path / "d", [case()], KEY).is_new
    assert not (tmp_path / "d" / LOCK).exists()


def test_who_waits_for_long_is_told_and_has_added_nothing(tmp_path, monkeypatch):
    folder = add_cases(tmp_path / "d", [case("a", 1)], KEY).folder
    before = files(folder)
    monkeypatch.setattr(folder_lock.locked.__wrapped__, "__defaults__", (0.1,))
    with locked(folder), pytest.raises(ResourceError, match="another program is adding"):
        add_cases(folder, [case("b", 2)], KEY)
    assert files(folder) == before


def test_what_was_added_is_not_said_to_have_failed_where_the_lock_cannot_be_removed(tmp_path, monkeypatch):
    unlink = Path.unlink

    def refuse(path, *arguments, **options) -> None:
        if path.name == LOCK:
            raise PermissionError(13, "Permission denied")
        unlink(path, *arguments, **options)

    monkeypatch.setattr(Path, "unlink", refuse)
    assert add_cases(tmp_path / "d", [case("a", 1)], KEY).cases == ("a",)
    assert add_cases(tmp_path / "d", [case("b", 2)], KEY).cases == ("b",)


def test_a_drive_without_locks_is_told_in_words(tmp_path, monkeypatch):
    def refuse(_stream) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(folder_lock, "_lock", refuse)
    with pytest.raises(ResourceError, match="cannot keep two programs from adding"):
        add_cases(tmp_path / "d", [case()], KEY)


def test_a_folder_that_is_no_dataset_is_left_as_it_is(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(DatasetError, match="has files, but no"):
        add_cases(tmp_path, [case()], KEY)
    with pytest.raises(DatasetError, match="has files, but no"):
        add_cases(tmp_path / "notes.txt", [case()], KEY)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
